import { must } from "../../kernel/assert.ts";
import { i16, i32 } from "../engine/columns.ts";
import { Engine } from "../engine/engine.ts";
import { type Booking, GPUS_PER_NODE_MAX, type NodeRow, NodeTable } from "../engine/node-table.ts";
import { allocatable, INSTANCES_PER_NODE_MAX, type NodeFacts } from "../facts.ts";
import { MILLI_PER_GPU } from "../gpu/request-mix.ts";
import type { GpuValues } from "../gpu/values.ts";
import { inTieOrder } from "../select.ts";
import { ClassTerms } from "./class-terms.ts";
import { DeviceClasses } from "./device-classes.ts";
import { FleetScore } from "./fleet-score.ts";
import type { FleetShape } from "./fleet-shape.ts";
import { LabelTracker } from "./label-tracker.ts";
import { NO_CLASS, type NodeClass, NodeClasses } from "./node-classes.ts";
import { type Held, NO_ROW, type NodeEntry } from "./node-entry.ts";
import { PerformanceColumns } from "./performance-columns.ts";
import { ShapeBook } from "./shape-book.ts";

/** Spare rows for nodes to come: this share of the nodes, and at least SPARE_ROWS_MIN. */
const SPARE_RATIO = 1 / 4;
const SPARE_ROWS_MIN = 16;

/** Devices that a spare row has place for; a node with more makes the table anew. */
const SPARE_DEVICES = 8;

interface Parts {
  readonly nodes: NodeTable;
  readonly score: FleetScore;
  readonly engine: Engine;
  /** By row. */
  readonly entries: (NodeEntry | undefined)[];
  /** Rows without a node, the next one last. */
  readonly spare: number[];
}

/**
 * Rows of the engine for nodes that come, change and go. Rows lie in the order of ties when they are made; later nodes take spare
 * rows. When a node finds none, or has more devices than its row has place for, all rows, and with them all trees, are made anew by the
 * next question.
 */
export class FleetRows {
  readonly #options: { readonly engine: ConstructorParameters<typeof Engine>[0] };
  readonly #entries: ReadonlyMap<string, NodeEntry>;
  readonly #labels = new LabelTracker();
  readonly #classes = new NodeClasses({ labels: this.#labels });
  readonly #devices = new DeviceClasses();
  readonly #terms = new ClassTerms({ classes: this.#classes, devices: this.#devices });
  readonly #shapes: ShapeBook;
  readonly #bySite = new Map<string, Set<NodeEntry>>();
  #values: GpuValues;
  /** Undefined: to be made anew. */
  #parts: Parts | undefined;
  #nodeCount = 0;
  /** How often the rows were made. */
  #generation = 0;

  constructor(
    options: {
      readonly shapesMax: number;
      readonly values: GpuValues;
      readonly engine: ConstructorParameters<typeof Engine>[0];
    },
    deps: { readonly entries: ReadonlyMap<string, NodeEntry> },
  ) {
    this.#options = options;
    this.#values = options.values;
    this.#entries = deps.entries;
    this.#shapes = new ShapeBook(options, { labels: this.#labels });
  }

  get nodeCount(): number {
    return this.#nodeCount;
  }

  get engine(): Engine {
    return this.settle().engine;
  }

  get nodes(): NodeTable {
    return this.settle().nodes;
  }

  get score(): FleetScore {
    return this.settle().score;
  }

  get values(): GpuValues {
    return this.#values;
  }

  get terms(): ClassTerms {
    return this.#terms;
  }

  /** Classes by number. */
  get classes(): readonly NodeClass[] {
    return this.#classes.list;
  }

  /** Facts of a row's node, with what is assigned to it. */
  factsOf(row: number): NodeFacts {
    return must(this.entryOf(row)?.facts, `row ${row} has no node`);
  }

  /** Row of a node; NO_ROW without one. */
  rowOf(name: string): number {
    this.settle();
    return this.#entries.get(name)?.row ?? NO_ROW;
  }

  /** Nodes of a site. */
  entriesOf(site: string): Iterable<NodeEntry> {
    this.settle();
    return this.#bySite.get(site) ?? [];
  }

  entryOf(row: number): NodeEntry | undefined {
    return this.settle().entries[row];
  }

  setValues(values: GpuValues): void {
    this.#values = values;
    this.#parts?.score.setValues(values);
  }

  shapeOf(parts: Pick<FleetShape, "request" | "weights" | "topologyBase">): FleetShape {
    return this.#shapes.of(parts, (isConcerned) => {
      for (const entry of this.#entries.values())
        if (entry.told !== undefined && isConcerned(entry.told)) this.#classify(entry, entry.told);
    });
  }

  /** A node was added or has other facts. */
  tell(entry: NodeEntry): void {
    const { told } = entry;
    if (told === undefined) return;
    if (entry.nodeClass === NO_CLASS) this.#nodeCount++;
    this.#moveTo(entry, told.site.name);
    this.#classify(entry, told);
    if (this.#parts === undefined) return;
    if (entry.row !== NO_ROW) this.#write(this.#parts, entry, told);
    else if (this.#takeRow(this.#parts, entry)) this.#moveIn(this.#parts, entry, told);
  }

  /** A node is gone. */
  forget(entry: NodeEntry): void {
    this.#classes.leave(entry.nodeClass);
    entry.nodeClass = NO_CLASS;
    entry.told = undefined;
    this.#moveTo(entry, undefined);
    this.#nodeCount--;
    const parts = this.#parts;
    const { row } = entry;
    entry.row = NO_ROW;
    if (parts === undefined || row === NO_ROW) return;
    entry.slots = [];
    parts.nodes.clear(row);
    parts.nodes.setClass(row, NO_CLASS);
    parts.entries[row] = undefined;
    parts.score.setRow(row, undefined);
    parts.engine.changed(row);
    parts.spare.push(row);
  }

  /** Counts (1) or takes back (-1) what an assignment holds. */
  book(entry: NodeEntry, held: Held, sign: 1 | -1): void {
    const { row, slots } = entry;
    if (this.#parts === undefined || row === NO_ROW) return;
    const devices = slots.flatMap((uuid = "", slot): Booking["devices"] => {
      const milli = held.milliOf(uuid);
      if (milli === 0) return [];
      const after = entry.milliOf(uuid);
      return [[slot, sign * (saturated(after) - saturated(after - sign * milli))]];
    });
    this.#parts.nodes.book(row, { ...held.amounts, devices }, sign);
    this.#parts.engine.changed(row);
  }

  /** Makes the rows if they are to be made. */
  settle(): Parts {
    this.#parts ??= this.#make();
    return this.#parts;
  }

  #moveTo(entry: NodeEntry, site: string | undefined): void {
    if (entry.site === site) return;
    const before = this.#bySite.get(entry.site ?? "");
    before?.delete(entry);
    if (before?.size === 0) this.#bySite.delete(entry.site ?? "");
    entry.site = site;
    if (site === undefined) return;
    this.#bySite.set(site, (this.#bySite.get(site) ?? new Set()).add(entry));
  }

  #classify(entry: NodeEntry, told: NodeFacts): void {
    const before = entry.nodeClass;
    entry.nodeClass = this.#classes.enter(told);
    const parts = this.#parts;
    const isMoved = before !== entry.nodeClass && parts !== undefined && entry.row !== NO_ROW;
    if (isMoved) {
      parts.nodes.setClass(entry.row, entry.nodeClass);
      if (!this.#classes.isSameButReadiness(before, entry.nodeClass)) parts.score.costsChanged();
      parts.engine.changed(entry.row);
    }
    this.#classes.leave(before);
  }

  #make(): Parts {
    const known = [...this.#entries.values()]
      .flatMap((entry) => (entry.told === undefined ? [] : [{ entry, told: entry.told }]))
      .toSorted((a, b) => inTieOrder(a.told, b.told))
      .map(({ entry }) => entry);
    const spareCount = Math.max(SPARE_ROWS_MIN, Math.ceil(known.length * SPARE_RATIO));
    const rowCount = known.length + spareCount;
    const entries: (NodeEntry | undefined)[] = Array.from({ length: rowCount }, (_, i) => known[i]);
    const places = entries.map((entry) => ({
      ...NOTHING,
      gpuCount: Math.min(
        GPUS_PER_NODE_MAX,
        entry?.told === undefined ? SPARE_DEVICES : entry.told.devices.length,
      ),
    }));
    const nodes = new NodeTable(places);
    for (let row = 0; row < rowCount; row++) nodes.clear(row);
    const parts = this.#assemble(nodes, entries);
    for (let row = rowCount - 1; row >= known.length; row--) parts.spare.push(row);
    for (const [row, entry] of known.entries()) {
      entry.row = row;
      entry.slots = [];
      this.#moveIn(parts, entry, must(entry.told, "only nodes that were told have rows"));
    }
    return parts;
  }

  /** A node takes a row of its own, with all that is assigned to it; its devices are booked as they get their places. */
  #moveIn(parts: Parts, entry: NodeEntry, told: NodeFacts): void {
    for (const held of entry.held.values())
      parts.nodes.book(entry.row, { ...held.amounts, devices: [] }, 1);
    this.#write(parts, entry, told);
  }

  #assemble(nodes: NodeTable, entries: (NodeEntry | undefined)[]): Parts {
    const score = new FleetScore(
      { values: this.#values, generation: ++this.#generation },
      {
        nodes,
        terms: this.#terms,
        performance: new PerformanceColumns(nodes.nodeCount),
        entryOf: (row) => entries[row],
      },
    );
    const engine = new Engine(this.#options.engine, { nodes, score });
    return { nodes, score, engine, entries, spare: [] };
  }

  /** False: there is none, and all will be made anew. */
  #takeRow(parts: Parts, entry: NodeEntry): boolean {
    const row = parts.spare.pop();
    if (row === undefined) {
      this.#giveUp();
      return false;
    }
    entry.row = row;
    parts.entries[row] = entry;
    return true;
  }

  #giveUp(): void {
    for (const entry of this.#parts?.entries ?? []) if (entry !== undefined) entry.row = NO_ROW;
    this.#parts = undefined;
  }

  /** Brings a row up to date with the node's facts. What is assigned to a new row is booked by it. */
  #write(parts: Parts, entry: NodeEntry, told: NodeFacts): void {
    const { row } = entry;
    if (!this.#placeDevices(parts, entry, told)) {
      this.#giveUp();
      return;
    }
    parts.nodes.resize(row, { ...allocatable(told), instanceCount: INSTANCES_PER_NODE_MAX });
    parts.nodes.setClass(row, entry.nodeClass);
    parts.score.setRow(row, told);
    parts.engine.changed(row);
  }

  /** Each device has a place of its own in the row, which it keeps while it is away. False: there are too few. */
  #placeDevices(parts: Parts, entry: NodeEntry, told: NodeFacts): boolean {
    const { row, slots } = entry;
    const first = i32(parts.nodes.gpuFirst, row);
    const slotCount = i32(parts.nodes.gpuFirst, row + 1) - first;
    const devices = told.devices.slice(0, GPUS_PER_NODE_MAX);
    const present = new Map(devices.map((device) => [device.uuid, device] as const));
    for (const { uuid } of devices)
      if (!slots.includes(uuid)) {
        if (slots.length === slotCount) return false;
        slots.push(uuid);
        parts.nodes.setDevice(row, slots.length - 1, {
          freeMilli: -AWAY - saturated(entry.milliOf(uuid)),
          deviceClass: 0,
        });
      }
    for (const [slot, uuid = ""] of slots.entries()) {
      const device = present.get(uuid);
      const free = i16(parts.nodes.gpuFree, first + slot);
      const isAway = free < -AWAY / 2;
      if (device === undefined && !isAway)
        parts.nodes.setDevice(row, slot, {
          freeMilli: free - MILLI_PER_GPU - AWAY,
          deviceClass: 0,
        });
      else if (device !== undefined)
        parts.nodes.setDevice(row, slot, {
          freeMilli: isAway ? free + AWAY + MILLI_PER_GPU : free,
          deviceClass: this.#devices.of(device),
        });
    }
    return true;
  }
}

/** Free milli of a device that is away lie so far below what they would be. */
const AWAY = 16_000;

/** More than this is not counted as taken of one device, so that what is free of it stays within 16 bits. */
const DEVICE_MILLI_MAX = 8_000;

function saturated(milli: number): number {
  return Math.min(DEVICE_MILLI_MAX, milli);
}

const NOTHING: NodeRow & { readonly instanceCount: number } = {
  milliCpu: 0,
  memoryBytes: 0,
  diskBytes: 0,
  gpuCount: 0,
  instanceCount: 0,
};
