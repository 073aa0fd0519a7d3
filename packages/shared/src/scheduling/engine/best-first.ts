import { f32, i32 } from "./columns.ts";
import { NO_FIT, NO_NODE, soundScore } from "./node-score.ts";
import { BLOCK, BLOCK_BITS, type WinnerTree } from "./winner-tree.ts";

/** Scores of one decision that differ from its shape's own. */
export interface AdjustedScore {
  /** As `NodeScore.evaluate`. Not greater than the shape's own, but for raised nodes. */
  evaluate(node: number): number;
  /** Every node whose score may be greater than the shape's own. */
  readonly raised: readonly number[];
  /**
   * The same score made from the shape's own, without looking at the node: for all nodes but `special`, and of those only
   * such as the shape fits on.
   */
  from(node: number, own: number): number;
  readonly special: readonly number[];
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
    const adjusted = this.#adjusted;
    const { special } = adjusted;
    const isSpecial = new Uint8Array(nodeCount);
    for (const node of special) isSpecial[node] = 1;
    let best = NO_NODE;
    let bestScore = NO_FIT;
    for (let node = 0; node < nodeCount; node++) {
      const score = f32(own, node);
      if (score === NO_FIT || isSpecial[node] === 1) continue;
      const after = Math.fround(adjusted.from(node, score));
      if (after > bestScore) {
        best = node;
        bestScore = after;
      }
    }
    if (best !== NO_NODE && this.isBeatenBy(bestScore, best)) {
      this.#score = bestScore;
      this.node = best;
    }
    for (const node of special) this.look(node);
    return this.node;
  }
}
