import type { NodeFacts } from "../facts.ts";
import { NEUTRAL, unit } from "../score/part.ts";
import { performancePart } from "../score/performance.ts";
import type { FleetShape } from "./fleet-shape.ts";
import { plainKey } from "./node-classes.ts";

/** Most different ways to measure that are kept as columns: profiles' weights with the places that requests name. */
export const PERFORMANCE_COLUMNS_MAX = 64;

interface Column {
  /** One of the shapes that measure so. */
  readonly shape: FleetShape;
  readonly parts: Float64Array;
}

/**
 * The performance part of every row, for each way to measure it: weights of the metrics and the places that latency counts to. Few
 * shapes differ in that. The column that is one too many pushes out the oldest, which is made again when it is asked for.
 */
export class PerformanceColumns {
  readonly #columns = new Map<string, Column>();
  readonly #facts: (NodeFacts | undefined)[];
  /** Grows when columns are given up, so that shapes ask for theirs again. */
  madeAt = 0;

  constructor(rowCount: number) {
    this.#facts = Array.from({ length: rowCount });
  }

  /** The row's node, or none. */
  set(row: number, facts: NodeFacts | undefined): void {
    this.#facts[row] = facts;
    for (const { shape, parts } of this.#columns.values()) parts[row] = partOf(shape, facts);
  }

  of(shape: FleetShape): Float64Array {
    const { request, weights } = shape;
    const key = plainKey([weights.performance, request.placements.map((p) => p.latency?.to)]);
    const known = this.#columns.get(key);
    if (known !== undefined) return known.parts;
    const [oldest] = this.#columns.keys();
    if (this.#columns.size >= PERFORMANCE_COLUMNS_MAX && oldest !== undefined) {
      this.#columns.delete(oldest);
      this.madeAt++;
    }
    const parts = Float64Array.from(this.#facts, (facts) => partOf(shape, facts));
    this.#columns.set(key, { shape, parts });
    return parts;
  }
}

function partOf({ request, weights }: FleetShape, facts: NodeFacts | undefined): number {
  return facts === undefined ? NEUTRAL : unit(performancePart(facts, request, weights.performance));
}
