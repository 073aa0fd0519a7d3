import { f32, i32 } from "./columns.ts";
import { NO_FIT } from "./node-score.ts";

/** Scores that are compared in one match, a power of two: sixteen in single precision are a cache line. */
export const BLOCK = 16;
export const BLOCK_BITS = 4;

/**
 * A tournament over the scores of all nodes for one shape (Knuth, TAOCP 3 §5.4.1), sixteen to a match: the root is the best
 * score, and a node's new score is played up to the root in log₁₆ n matches, of which most end the tournament. Only
 * scores are kept; the winner is found by walking down from the root, and of equal scores the lower index is met first,
 * as in a scan from the left. Hundreds of trees are larger than any cache, so what counts is how few lines are touched.
 */
export class WinnerTree {
  /** Level by level: the nodes' scores as `soundScore` makes them, the best of each sixteen of them, …, the root. */
  readonly #best: Float32Array;
  /** Where each level starts; NO_FIT fills each up to whole blocks. */
  readonly #starts: Int32Array;
  readonly #top: number;
  /** Time of the change log up to which the scores are those of now. */
  seen = 0;
  /** Version of the shape's scores, as NodeScore tells it. */
  version = 0;
  /** Whether it was asked again since it was made, or last passed over, to tell which tree may go. */
  isAskedAgain = false;

  constructor(nodeCount: number) {
    const starts = levelsOf(nodeCount);
    this.#top = starts.length - 2;
    this.#starts = Int32Array.from(starts);
    this.#best = new Float32Array(starts.at(-1) ?? 0).fill(NO_FIT);
  }

  /** Bytes that a tree over so many nodes takes. */
  static bytesOf(nodeCount: number): number {
    return (levelsOf(nodeCount).at(-1) ?? 0) * 4;
  }

  /** The best node; check its score, it may not fit. */
  get winner(): number {
    const best = this.#best;
    const score = this.winnerScore;
    let index = 0;
    for (let level = this.#top - 1; level >= 0; level--) {
      const start = i32(this.#starts, level);
      index <<= BLOCK_BITS;
      while (f32(best, start + index) !== score) index++;
    }
    return index;
  }

  /** Score of the best node. */
  get winnerScore(): number {
    return f32(this.#best, i32(this.#starts, this.#top));
  }

  /** The tree as it lies in memory, for `BestFirst`: scores level by level, and where each of the `top + 1` levels starts. */
  get levels(): { readonly best: Float32Array; readonly starts: Int32Array; readonly top: number } {
    return { best: this.#best, starts: this.#starts, top: this.#top };
  }

  /** Sets a score without playing; `build` plays all matches. */
  set(node: number, score: number): void {
    this.#best[node] = score;
  }

  build(): void {
    const best = this.#best;
    for (let level = 0; level < this.#top; level++) {
      const above = i32(this.#starts, level + 1);
      for (let first = i32(this.#starts, level); first < above; first += BLOCK) {
        best[above + ((first - i32(this.#starts, level)) >> BLOCK_BITS)] = this.#mostOf(first);
      }
    }
  }

  /**
   * Plays the new scores of the first `count` nodes, as `soundScore` makes them; overwrites both lists. All are first looked
   * up in a row: those look-ups wait for memory together, and most find that nothing changed.
   */
  updateAll(nodes: Int32Array, count: number, scores: Float32Array): void {
    const best = this.#best;
    let changed = 0;
    for (let i = 0; i < count; i++) {
      const node = i32(nodes, i);
      const score = f32(scores, i);
      nodes[changed] = node;
      scores[changed] = score;
      changed += f32(best, node) === score ? 0 : 1;
    }
    for (let i = 0; i < changed; i++) this.update(i32(nodes, i), f32(scores, i));
  }

  #mostOf(first: number): number {
    let most = f32(this.#best, first);
    for (let i = first + 1; i < first + BLOCK; i++) {
      const score = f32(this.#best, i);
      if (score > most) most = score;
    }
    return most;
  }

  /** Plays a node's new score up; ends where a block's best stays what it was. Mostly one block is touched. */
  update(node: number, score: number): void {
    const best = this.#best;
    let index = node;
    let after = score;
    for (let level = 0; ; level++) {
      const start = i32(this.#starts, level);
      const before = f32(best, start + index);
      if (before === after) return;
      best[start + index] = after;
      if (level === this.#top) return;
      const deciding = before > after ? before : after;
      const first = start + (index & -BLOCK);
      for (let i = first; i < first + BLOCK; i++) {
        const other = f32(best, i);
        if (other >= deciding && i !== start + index) return;
        if (other > after) after = other;
      }
      index >>= BLOCK_BITS;
    }
  }
}

/** Where each level starts, with the end of the last; the last has one score. */
function levelsOf(nodeCount: number): readonly number[] {
  const starts = [0];
  let [end, count] = [0, Math.max(1, nodeCount)];
  for (;;) {
    const blocks = Math.ceil(count / BLOCK);
    end += blocks * BLOCK;
    starts.push(end);
    if (count === 1) return starts;
    count = blocks;
  }
}
