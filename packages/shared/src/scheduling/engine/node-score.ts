import type { Shape } from "./shape.ts";

/** The score of a node that the shape does not fit on, and of one whose score is not a number. */
export const NO_FIT = Number.NEGATIVE_INFINITY;

/** What a choice answers when no node fits. */
export const NO_NODE = -1;

/** Most nodes that are evaluated in one call: what lies between the steps of it stays in the nearest cache. */
export const EVALUATIONS_MAX = 256;

/**
 * How good a node is for a shape, as the engine asks for it: a function of the shape and of that node's row alone, so that
 * only the scores of changed nodes have to be asked for again. Allocates nothing.
 */
export interface NodeScore {
  /**
   * Called before each decision on the shape. Answers a number that is another one when scores of nodes that were not told as
   * changed are others than before; absent: they never are.
   */
  prepare?(shape: Shape): number;
  /** Greater is better; NO_FIT where it does not fit. */
  evaluate(shape: Shape, node: number): number;
  /**
   * The same of the first `count` nodes (at most EVALUATIONS_MAX), written to `scores`: many at once are cheaper. A score
   * without it is asked node by node.
   */
  evaluateAll?(shape: Shape, nodes: Int32Array, count: number, scores: Float32Array): void;
  /** Writes the shape's `gpuCount` devices of a node that it fits on, as indexes within the node. */
  chooseDevices(shape: Shape, node: number, devices: Int16Array): void;
  /** Called after each change of the node's row, before it is asked about again. */
  nodeChanged(node: number): void;
}

/**
 * A score that may decide: a finite number in single precision, which halves what the trees take, or NO_FIT. Trees and scans
 * compare these and nothing else.
 */
export function soundScore(score: number): number {
  const single = Math.fround(score);
  return single > Number.NEGATIVE_INFINITY && single < Number.POSITIVE_INFINITY ? single : NO_FIT;
}
