import { must } from "../../kernel/assert.ts";
import { type Adjustment, NO_ADJUSTMENT, siblingCount } from "../adjustment.ts";
import { Engine } from "../engine/engine.ts";
import type { NodeTable } from "../engine/node-table.ts";
import type { NodeFacts, PlacementRequest, Use, Weights } from "../facts.ts";
import type { RequestMix } from "../gpu/request-mix.ts";
import { type GpuValues, WHOLE_DEVICES_ONLY } from "../gpu/values.ts";
import { NEUTRAL } from "../score/part.ts";
import { FleetRows } from "./fleet-rows.ts";
import type { FleetShape } from "./fleet-shape.ts";
import { Held, NO_ROW, NodeEntry } from "./node-entry.ts";
import { ObservedMix } from "./observed-mix.ts";
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
  readonly #mix = new ObservedMix();
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
    this.#mix.add(held);
    if (!reserved) this.#rows.book(entry, held, 1);
  }

  /** Takes an assignment away; one that is not known is none. */
  unassign(id: string): void {
    const assigned = this.#assigned.get(id);
    if (assigned === undefined) return;
    const { entry, held } = assigned;
    this.#assigned.delete(id);
    entry.letGo(id);
    this.#rows.book(entry, held, -1);
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
    return this.#rows.shapeOf({
      request,
      weights,
      topologyBase: topologyBaseOf(request, adjustment),
    });
  }

  /** What was asked for, from what is and was assigned: what slices of GPUs are worth is made from it (`gpuValues`). */
  observedMix(): RequestMix {
    return this.#mix.entries();
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
