import type { ScoreParts } from "../../model/resources/edge.ts";
import { resourcePartOf } from "../gpu/opportunity-cost.ts";
import { NEUTRAL, unit } from "../score/part.ts";
import { f64, i32 } from "./columns.ts";
import { NO_FIT, type NodeScore } from "./node-score.ts";
import { type NodeTable } from "./node-table.ts";
import { newCosts, type OpportunityScore, UNFIT } from "./opportunity-score.ts";
import type { Shape } from "./shape.ts";

/** Parts of each node in [0, 1] that do not change with what is free. What is no number counts as NEUTRAL. */
export interface NodeParts {
  readonly performance: Float64Array;
  readonly cost: Float64Array;
  readonly compliance: Float64Array;
  readonly topology: Float64Array;
}

/** Steps of a score; finer differences are noise and decide nothing. */
const SCORE_STEPS = 1e6;

/** The article's five parts, weighted; the resource part is the opportunity cost in GPUs. */
export class ArticleScore implements NodeScore {
  readonly #weights: ScoreParts;
  readonly #nodes: NodeTable;
  readonly #opportunity: OpportunityScore;
  readonly #parts: NodeParts;
  /** Weighted performance and cost of each node. */
  readonly #fixed: Float64Array;
  readonly #costs = newCosts();

  constructor(
    options: { readonly weights: ScoreParts },
    deps: {
      readonly nodes: NodeTable;
      readonly opportunity: OpportunityScore;
      readonly parts: NodeParts;
    },
  ) {
    this.#weights = options.weights;
    this.#nodes = deps.nodes;
    this.#opportunity = deps.opportunity;
    this.#parts = deps.parts;
    this.#fixed = new Float64Array(deps.nodes.nodeCount);
    for (let node = 0; node < deps.nodes.nodeCount; node++) this.#fix(node);
  }

  evaluate(shape: Shape, node: number): number {
    if (!this.#nodes.fits(shape, node)) return NO_FIT;
    return this.#weighed(shape, node, this.#opportunity.gpusLost(shape, node));
  }

  evaluateAll(shape: Shape, nodes: Int32Array, count: number, scores: Float32Array): void {
    this.#opportunity.costsOf(shape, nodes, count, this.#costs);
    const { slot, strand } = this.#costs;
    for (let i = 0; i < count; i++) {
      const lost = f64(slot, i);
      scores[i] =
        lost === UNFIT ? NO_FIT : this.#weighed(shape, i32(nodes, i), lost + f64(strand, i));
    }
  }

  chooseDevices(shape: Shape, node: number, devices: Int16Array): void {
    this.#opportunity.chooseDevices(shape, node, devices);
  }

  nodeChanged(node: number): void {
    this.#opportunity.nodeChanged(node);
    this.#fix(node);
  }

  #weighed(shape: Shape, node: number, gpusLost: number): number {
    const weights = this.#weights;
    const score =
      f64(this.#fixed, node) +
      weights.resource * resourcePartOf(gpusLost) +
      weights.compliance * this.#classPart(shape.compliance, this.#parts.compliance, node) +
      weights.topology * this.#classPart(shape.topology, this.#parts.topology, node);
    return Math.round(score * SCORE_STEPS) / SCORE_STEPS;
  }

  #fix(node: number): void {
    this.#fixed[node] =
      this.#weights.performance * unit(this.#parts.performance[node] ?? NEUTRAL) +
      this.#weights.cost * unit(this.#parts.cost[node] ?? NEUTRAL);
  }

  #classPart(ofClass: Float64Array | undefined, ofNode: Float64Array, node: number): number {
    return unit(
      ofClass === undefined ? f64(ofNode, node) : f64(ofClass, i32(this.#nodes.classOf, node)),
    );
  }
}
