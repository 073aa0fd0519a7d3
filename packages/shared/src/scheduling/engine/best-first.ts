import { f32, f64, i32 } from "./columns.ts";
import { NO_FIT, NO_NODE, soundScore } from "./node-score.ts";
import { BLOCK, BLOCK_BITS, type WinnerTree } from "./winner-tree.ts";

/** Scores of one decision that differ from its shape's own. */
export interface AdjustedScore {
  /** As `NodeScore.evaluate`. Not greater than the shape's own, but for raised nodes. */
  evaluate(node: number): number;
  /** Every node whose score may be greater than the shape's own. */
  readonly raised: readonly number[];
  /** Nodes whose score has to be asked for. That of all others is the shape's own and what `offsets` says of their group. */
  readonly special: readonly number[];
  readonly offsets: Offsets;
}

/** What is added to a score by group of the node: whole steps, so that the sum is exact. −Infinity: it does not fit. */
export interface Offsets {
  /** Steps of a score between 0 and 1; scores are whole numbers of them. Below 2²³, for single precision tells those apart. */
  readonly stepCount: number;
  readonly groupOf: Int32Array;
  readonly byGroup: Float64Array;
}

/** Nodes of a tree from the best down, of equal ones the lower index first; those that do not fit never come. */
export class BestFirst {
  readonly #best: Float32Array;
  readonly #starts: Int32Array;
  /** A heap of subtrees: level and index within it, the best first. */
  readonly #heap: Subtree[] = [];
  /** Score of the last node. */
  score = NO_FIT;

  constructor(tree: WinnerTree) {
    const { best, starts, top } = tree.levels;
    this.#best = best;
    this.#starts = starts;
    this.#push(top, 0);
  }

  next(): number {
    for (;;) {
      const subtree = this.#pop();
      if (subtree === undefined) return NO_NODE;
      if (subtree.level === 0) {
        this.score = subtree.score;
        return subtree.index;
      }
      const first = subtree.index * BLOCK;
      const end = i32(this.#starts, subtree.level) - i32(this.#starts, subtree.level - 1);
      for (let index = first; index < Math.min(first + BLOCK, end); index++)
        this.#push(subtree.level - 1, index);
    }
  }

  #push(level: number, index: number): void {
    const score = f32(this.#best, i32(this.#starts, level) + index);
    if (!(score > NO_FIT)) return;
    const heap = this.#heap;
    const subtree = { level, index, score, first: index * 2 ** (BLOCK_BITS * level) };
    let at = heap.push(subtree) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(subtree, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = subtree;
  }

  #pop(): Subtree | undefined {
    const heap = this.#heap;
    const [root] = heap;
    const last = heap.pop();
    if (root === undefined || last === undefined || heap.length === 0) return root;
    let at = 0;
    for (;;) {
      const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
      const isRight = left !== undefined && right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (child === undefined || !isBefore(child, last)) break;
      heap[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    heap[at] = last;
    return root;
  }
}

interface Subtree {
  readonly level: number;
  readonly index: number;
  readonly score: number;
  /** The first node of it. */
  readonly first: number;
}

function isBefore(a: Subtree, b: Subtree): boolean {
  return a.score > b.score || (a.score === b.score && a.first < b.first);
}

/** The best of the nodes looked at so far. */
export class BestAdjusted {
  readonly #adjusted: AdjustedScore;
  #score = NO_FIT;
  node = NO_NODE;

  constructor(adjusted: AdjustedScore) {
    this.#adjusted = adjusted;
  }

  look(node: number): void {
    const score = soundScore(this.#adjusted.evaluate(node));
    if (!this.isBeatenBy(score, node)) return;
    this.#score = score;
    this.node = node;
  }

  /** Whether a node of this score would be chosen instead. */
  isBeatenBy(score: number, node: number): boolean {
    return score > this.#score || (score === this.#score && score > NO_FIT && node < this.node);
  }

  ofAll(nodeCount: number): number {
    for (let node = 0; node < nodeCount; node++) this.look(node);
    return this.node;
  }

  /** As `ofAll`, from the shape's own scores by node: no node is looked at but the special ones. */
  ofOwn(own: Float32Array, nodeCount: number): number {
    const { special, offsets } = this.#adjusted;
    const { stepCount, groupOf, byGroup } = offsets;
    const isSpecial = new Uint8Array(nodeCount);
    for (const node of special) isSpecial[node] = 1;
    let best = NO_NODE;
    let bestSteps = NO_FIT;
    // Runs over every node of a large fleet for one decision: whole steps are compared, nothing is called.
    for (let node = 0; node < nodeCount; node++) {
      const steps = Math.round(f32(own, node) * stepCount) + f64(byGroup, i32(groupOf, node));
      if (steps > bestSteps && isSpecial[node] === 0) {
        best = node;
        bestSteps = steps;
      }
    }
    const score = soundScore(bestSteps / stepCount);
    if (best !== NO_NODE && this.isBeatenBy(score, best)) {
      this.#score = score;
      this.node = best;
    }
    for (const node of special) this.look(node);
    return this.node;
  }
}
