import { type Adjustment, affinityRejection, type Spot, topologyOf } from "../adjustment.ts";
import type { AdjustedScore } from "../engine/best-first.ts";
import { f64, i32 } from "../engine/columns.ts";
import { NO_FIT } from "../engine/node-score.ts";
import { SCORE_STEPS, topologySteps } from "../score.ts";
import type { FleetRows } from "./fleet-rows.ts";
import type { FleetShape } from "./fleet-shape.ts";
import { NO_ROW } from "./node-entry.ts";

/** The scores of one request: its shape's, with what the adjustment makes of some sites and nodes. */
export class AdjustedRows implements AdjustedScore {
  readonly #rows: FleetRows;
  readonly #shape: FleetShape;
  readonly #adjustment: Adjustment;
  readonly #topology: (spot: Spot) => number;
  /** Rows that are not chosen any more. */
  readonly #excluded = new Set<number>();
  readonly raised: readonly number[];
  readonly #classOf: Int32Array;
  #steps: Float64Array | undefined;

  constructor(rows: FleetRows, shape: FleetShape, adjustment: Adjustment) {
    this.#rows = rows;
    this.#shape = shape;
    this.#adjustment = adjustment;
    this.#topology = topologyOf(shape.request.kind, adjustment);
    this.#classOf = rows.nodes.classOf;
    this.raised = this.#raised();
  }

  exclude(row: number): void {
    this.#excluded.add(row);
  }

  /** Rows that are named, or taken out: what is said of their class and site does not tell their score. */
  get special(): readonly number[] {
    const { siblings, barred, preferred } = this.#adjustment;
    const named = [
      ...(siblings?.byNode.keys() ?? []),
      ...(barred?.nodes.keys() ?? []),
      ...(preferred?.nodes.keys() ?? []),
    ];
    return [...new Set([...this.#rowsOf([], named), ...this.#excluded])];
  }

  /** Nodes of a class share a site, and so all that an adjustment says of nodes that it does not name. */
  from(row: number, own: number): number {
    const steps = (this.#steps ??= this.#stepsByClass());
    const more = f64(steps, i32(this.#classOf, row));
    return (Math.round(own * SCORE_STEPS) + more) / SCORE_STEPS;
  }

  /** What the adjustment adds to the score of a node of each class, in steps; −Infinity where it rejects. */
  #stepsByClass(): Float64Array {
    const { weights, topologyBase } = this.#shape;
    const base = topologySteps(topologyBase, weights.parts);
    const bySite = new Map<string, number>();
    return Float64Array.from(this.#rows.classes, ({ representative }) => {
      const site = representative?.site.name ?? "";
      const known = bySite.get(site);
      if (known !== undefined) return known;
      const spot = { node: "", site };
      const steps =
        affinityRejection(this.#adjustment, spot) === undefined
          ? topologySteps(this.#topology(spot), weights.parts) - base
          : Number.NEGATIVE_INFINITY;
      bySite.set(site, steps);
      return steps;
    });
  }

  evaluate(row: number): number {
    const spot = this.#spotOf(row);
    if (spot === undefined || this.#excluded.has(row)) return NO_FIT;
    if (affinityRejection(this.#adjustment, spot) !== undefined) return NO_FIT;
    const { score } = this.#rows;
    if (!score.fits(this.#shape, row)) return NO_FIT;
    return score.scoreWith(this.#shape, row, this.#topology(spot));
  }

  /** The only rows that may be chosen, where an affinity is required; undefined: any. */
  get only(): readonly number[] | undefined {
    let fewest: ReadonlySet<number> | undefined;
    for (const { sites, nodes } of this.#adjustment.required ?? []) {
      const rows = this.#rowsOf(sites, nodes);
      if (fewest === undefined || rows.size < fewest.size) fewest = rows;
    }
    return fewest === undefined ? undefined : [...fewest];
  }

  /** Where the topology part may be above that of places without a name: siblings of a Job are near, or it is preferred. */
  #raised(): readonly number[] {
    const { siblings, preferred } = this.#adjustment;
    if (this.#shape.topologyBase === 1) return [];
    const sites = new Set<string>(siblings?.bySite.keys());
    const nodes = new Set<string>();
    for (const [site, preference] of preferred?.sites ?? []) if (preference > 0) sites.add(site);
    for (const [node, preference] of preferred?.nodes ?? []) if (preference > 0) nodes.add(node);
    return [...this.#rowsOf(sites, nodes)];
  }

  #rowsOf(sites: Iterable<string>, nodes: Iterable<string>): ReadonlySet<number> {
    const rows = new Set<number>();
    for (const site of sites) for (const entry of this.#rows.entriesOf(site)) rows.add(entry.row);
    for (const node of nodes) rows.add(this.#rows.rowOf(node));
    rows.delete(NO_ROW);
    return rows;
  }

  #spotOf(row: number): Spot | undefined {
    const told = this.#rows.settle().entries[row]?.told;
    return told === undefined ? undefined : { node: told.name, site: told.site.name };
  }
}
