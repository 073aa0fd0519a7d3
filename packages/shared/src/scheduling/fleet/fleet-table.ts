import { must } from "../../kernel/assert.ts";
import type { Candidate } from "../../model/resources/edge.ts";
import { type Adjustment, isPlain, NO_ADJUSTMENT, siblingCount } from "../adjustment.ts";
import { scoreOf } from "../decide.ts";
import { BestAdjusted } from "../engine/best-first.ts";
import { type Engine, NO_NODE } from "../engine/engine.ts";
import type { NodeTable } from "../engine/node-table.ts";
import { isSoundShape } from "../engine/shape.ts";
import type { Placed } from "../engine/trial.ts";
import type { Decision, NodeFacts, PlacementRequest, Use, Weights } from "../facts.ts";
import { type GpuValues, WHOLE_DEVICES_ONLY } from "../gpu/values.ts";
import { NEUTRAL } from "../score/part.ts";
import type { ScoreContext } from "../score.ts";
import { CANDIDATES_MAX } from "../select.ts";
import { AdjustedRows } from "./adjusted-rows.ts";
import { contextOf, Explanation } from "./explanation.ts";
import { FleetRows } from "./fleet-rows.ts";
import { FleetShape } from "./fleet-shape.ts";
import { Held, NO_ROW, NodeEntry } from "./node-entry.ts";
import { SHAPES_MAX } from "./shape-book.ts";

/** What `nodeIndex` answers for a node that is not known. */
export const UNKNOWN_NODE = NO_ROW;

export interface FleetTableOptions {
  /** As the engine's: `tree` and `scan` are for tests and measurements. */
  readonly mode?: "tree" | "scan";
  readonly treeBytesMax?: number;
  /** Most shapes that are kept. Default SHAPES_MAX. */
  readonly shapesMax?: number;
  /** What GPUs are worth until `setValues`. Default: only whole devices are worth something. */
  readonly values?: GpuValues;
}

interface Assigned {
  readonly entry: NodeEntry;
  readonly held: Held;
}

/**
 * The fleet as the scheduler decides on it: nodes as told, less what is assigned to them, as columns with winner trees. A decision
 * looks at the nodes that changed since its shape was asked for last, and is the one of `decide`.
 *
 * Assignments are known by their ids, and outlive their nodes: a node may be told before or after what is assigned to it, go,
 * and come back. Indexes of nodes, `engine` and `nodes` hold until the next `setNode` or `removeNode`.
 */
export class FleetTable {
  readonly #entries = new Map<string, NodeEntry>();
  readonly #assigned = new Map<string, Assigned>();
  readonly #rows: FleetRows;

  constructor({
    shapesMax = SHAPES_MAX,
    values = WHOLE_DEVICES_ONLY,
    ...engine
  }: FleetTableOptions = {}) {
    this.#rows = new FleetRows({ shapesMax, values, engine }, { entries: this.#entries });
  }

  /** Nodes that were told. */
  get nodeCount(): number {
    return this.#rows.nodeCount;
  }

  /** The engine on the table, for rounds that try and take back. What it reserves is seen by decisions, not by `facts`. */
  get engine(): Engine {
    return this.#rows.engine;
  }

  /** The engine's columns. */
  get nodes(): NodeTable {
    return this.#rows.nodes;
  }

  /** What GPUs are worth now. */
  get values(): GpuValues {
    return this.#rows.values;
  }

  /** Adds or updates a node. What the facts say of allocations is not asked: the table's own assignments count. */
  setNode(facts: NodeFacts): void {
    const entry = this.#entry(facts.name);
    entry.told = facts;
    this.#rows.tell(entry);
  }

  /** The node is gone; what is assigned to it is kept for when it comes back. */
  removeNode(name: string): void {
    const entry = this.#entries.get(name);
    if (entry?.told === undefined) return;
    this.#rows.forget(entry);
    this.#drop(entry);
  }

  /**
   * Counts an assignment: `use` is what it takes of the node. The same id again replaces what it took before. `reserved`: the engine
   * has given the room already (`Engine.reserve`, `Engine.place`); from now on the assignment holds it.
   */
  assign(
    id: string,
    nodeName: string,
    use: Use,
    { reserved = false }: { readonly reserved?: boolean } = {},
  ): void {
    this.unassign(id);
    const entry = this.#entry(nodeName);
    const held = new Held(use);
    entry.hold(id, held);
    this.#assigned.set(id, { entry, held });
    if (!reserved) this.#rows.book(entry, held, 1);
  }

  /**
   * Takes an assignment away; one that is not known is none. `released`: the engine has taken the room back already (`Engine.release`),
   * and may have given it to others.
   */
  unassign(id: string, { released = false }: { readonly released?: boolean } = {}): void {
    const assigned = this.#assigned.get(id);
    if (assigned === undefined) return;
    const { entry, held } = assigned;
    this.#assigned.delete(id);
    entry.letGo(id);
    if (!released) this.#rows.book(entry, held, -1);
    this.#drop(entry);
  }

  /** The node with what is assigned to it; undefined when it was not told. */
  facts(name: string): NodeFacts | undefined {
    return this.#entries.get(name)?.facts;
  }

  /** Index of the node in the engine; UNKNOWN_NODE when it was not told. */
  nodeIndex(name: string): number {
    this.#rows.settle();
    return this.#entries.get(name)?.row ?? UNKNOWN_NODE;
  }

  /** Name of the node of an index that the engine answered. */
  nodeName(index: number): string {
    return must(this.#rows.entryOf(index), `no node has the index ${index}`).name;
  }

  /**
   * The kind of request that this is; to be asked for again for each decision. Jobs of which something runs are another shape:
   * their topology part begins at 0.
   */
  shapeOf(
    request: PlacementRequest,
    weights: Weights,
    adjustment: Adjustment = NO_ADJUSTMENT,
  ): FleetShape {
    const shape = this.#rows.shapeOf({
      request,
      weights,
      topologyBase: topologyBaseOf(request, adjustment),
    });
    // Rounds look at its classes before they ask for a node.
    this.#rows.score.prepare(shape);
    return shape;
  }

  /** The best node, or NO_NODE. Always the one of a scan over all nodes. */
  choose(shape: FleetShape, adjustment: Adjustment = NO_ADJUSTMENT): number {
    if (isPlain(adjustment)) return this.#rows.engine.choose(shape);
    return this.#chooseOf(shape, new AdjustedRows(this.#rows, shape, adjustment));
  }

  /** Devices that the shape gets on a node that it fits on, as the engine reserves them. */
  devicesOn(shape: FleetShape, index: number): Int16Array {
    const devices = new Int16Array(shape.gpuCount);
    this.#rows.score.chooseDevices(shape, index, devices);
    return devices;
  }

  /** What an assignment takes that the engine has given this room. */
  useOf({ shape, node, devices }: Placed): Use {
    const { milliCpu, memoryBytes, diskBytes, gpuMilli, ports = [] } = shape;
    const { slots } = must(this.#rows.entryOf(node), `no node has the index ${node}`);
    const shares = Array.from(devices.subarray(0, shape.gpuCount), (slot) => ({
      uuid: must(slots[slot], "a device was given that is none"),
      milli: gpuMilli,
    }));
    const gpuCount = shape instanceof FleetShape ? shape.request.amounts.gpuCount : 0;
    return {
      amounts: { milliCpu, memoryBytes, diskBytes, gpuCount },
      ports,
      ...(shares.length === 0 ? {} : { devices: shares }),
    };
  }

  /** The room that an assignment holds, to be released and given back by a round; undefined when its node is not known. */
  placed(id: string): Placed | undefined {
    this.#rows.settle();
    const { entry, held } = this.#assigned.get(id) ?? {};
    if (entry === undefined || held === undefined || entry.row === NO_ROW) return undefined;
    const shares = held.devices.filter(({ uuid }) => entry.slots.includes(uuid));
    const { milliCpu, memoryBytes, diskBytes, ports } = held.amounts;
    return {
      shape: {
        milliCpu,
        memoryBytes,
        diskBytes,
        ports,
        gpuCount: shares.length,
        gpuMilli: shares[0]?.milli ?? 0,
      },
      node: entry.row,
      devices: Int16Array.from(shares, ({ uuid }) => entry.slots.indexOf(uuid)),
    };
  }

  /**
   * Where one instance belongs: the winner and the runners-up with their parts, or, when no node fits, why (nothing at all when
   * `explains` is false). Reserves nothing: `assign` does. `explain` tells the same with every node counted, and looks at all of them.
   */
  decide(
    request: PlacementRequest,
    weights: Weights,
    adjustment: Adjustment = NO_ADJUSTMENT,
    {
      runnersUp = 1,
      explains = true,
    }: { readonly runnersUp?: number; readonly explains?: boolean } = {},
  ): Decision {
    const shape = this.shapeOf(request, weights, adjustment);
    const rows = new AdjustedRows(this.#rows, shape, adjustment);
    const winner = isPlain(adjustment)
      ? this.#rows.engine.choose(shape)
      : this.#chooseOf(shape, rows);
    if (winner === NO_NODE)
      return explains ? this.explain(request, weights, adjustment) : { candidates: [] };
    const context = contextOf(this.#rows, shape, adjustment);
    const candidates: Candidate[] = [];
    for (let row = winner; row !== NO_NODE; row = this.#chooseOf(shape, rows)) {
      candidates.push(scoreOf(this.#rows.factsOf(row), context));
      if (candidates.length > runnersUp) break;
      rows.exclude(row);
    }
    const omitted = this.nodeCount - candidates.length;
    return { ...this.#decided(shape, winner, context), candidates, omitted };
  }

  /**
   * The same decision with its reasons: the best candidates, per filter how many nodes failed it and some of them, and for a
   * request that no node fits what would make it fit. Looks at every node once.
   */
  explain(
    request: PlacementRequest,
    weights: Weights,
    adjustment: Adjustment = NO_ADJUSTMENT,
    { countMax = CANDIDATES_MAX }: { readonly countMax?: number } = {},
  ): Decision {
    const shape = this.shapeOf(request, weights, adjustment);
    const explanation = new Explanation(this.#rows, { shape, adjustment }, countMax);
    const winner = explanation.winner;
    if (winner === NO_NODE) return explanation.explained();
    const context = contextOf(this.#rows, shape, adjustment);
    return { ...this.#decided(shape, winner, context), ...explanation.explained() };
  }

  #chooseOf(shape: FleetShape, rows: AdjustedRows): number {
    const { only } = rows;
    if (only === undefined) return this.#rows.engine.chooseAdjusted(shape, rows);
    if (!isSoundShape(shape)) return NO_NODE;
    this.#rows.score.prepare(shape);
    const best = new BestAdjusted(rows);
    for (const row of only) best.look(row);
    return best.node;
  }

  /** The part of a decision that says where to. */
  #decided(shape: FleetShape, row: number, context: ScoreContext): Omit<Decision, "candidates"> {
    const scored = scoreOf(this.#rows.factsOf(row), context);
    const { devices = [] } = this.useOf({ shape, node: row, devices: this.devicesOn(shape, row) });
    return { ...scored, ...(devices.length === 0 ? {} : { devices }) };
  }

  /** What GPUs are worth from now on. Every score is made anew. */
  setValues(values: GpuValues): void {
    this.#rows.setValues(values);
  }

  #entry(name: string): NodeEntry {
    const known = this.#entries.get(name);
    if (known !== undefined) return known;
    const entry = new NodeEntry(name);
    this.#entries.set(name, entry);
    return entry;
  }

  #drop(entry: NodeEntry): void {
    if (entry.isEmpty) this.#entries.delete(entry.name);
  }
}

/** The topology part of nodes that no adjustment names. */
function topologyBaseOf({ kind }: PlacementRequest, adjustment: Adjustment): number {
  if (kind === "Deployment") return 1;
  return siblingCount(adjustment) > 0 ? 0 : NEUTRAL;
}
