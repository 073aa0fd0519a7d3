import { f32, i32 } from "./columns.ts";
import { NO_FIT } from "./node-score.ts";

/** Scores of one block, which are compared in a row; they share a cache line. */
const BLOCK = 8;

/**
 * A tournament over the scores of all nodes for one shape (Knuth, TAOCP 3 §5.4.1): the root is the best node, and a node's
 * new score is played up to the root in log₂ n matches. Equal scores are won by the lower index, as in a scan from the left.
 * The first three rounds are one look at a block of neighbours, and every match keeps its winner's score beside it:
 * hundreds of trees are larger than any cache, so what counts is how many lines are touched.
 */
export class WinnerTree {
  /** By node, in single precision as `soundScore` makes them; NO_FIT behind the last one. */
  readonly #scores: Float32Array;
  /** Winner and its score by match: the root is 1, the block b is match `#blocks + b`. */
  readonly #winners: Int32Array;
  readonly #best: Float32Array;
  readonly #blocks: number;
  /** Position in the change log up to which the scores are those of now. */
  seen = 0;
  /** When it was asked last, to tell which tree may go. */
  usedAt = 0;

  constructor(nodeCount: number) {
    this.#blocks = blocksOf(nodeCount);
    this.#scores = new Float32Array(Math.ceil(nodeCount / BLOCK) * BLOCK).fill(NO_FIT);
    this.#winners = new Int32Array(this.#blocks * 2);
    this.#best = new Float32Array(this.#blocks * 2).fill(NO_FIT);
  }

  /** Bytes that a tree over so many nodes takes. */
  static bytesOf(nodeCount: number): number {
    return Math.ceil(nodeCount / BLOCK) * BLOCK * 4 + blocksOf(nodeCount) * 2 * (4 + 4);
  }

  /** The best node; check its score, it may not fit. */
  get winner(): number {
    return i32(this.#winners, 1);
  }

  /** Score of the best node. */
  get winnerScore(): number {
    return f32(this.#best, 1);
  }

  /** Sets a score without playing; `build` plays all matches. */
  set(node: number, score: number): void {
    this.#scores[node] = score;
  }

  build(): void {
    for (let first = 0; first < this.#scores.length; first += BLOCK) {
      const winner = this.#blockWinner(first);
      this.#settle(this.#blocks + first / BLOCK, winner, f32(this.#scores, winner));
    }
    for (let match = this.#blocks - 1; match >= 1; match--) this.#play(match);
  }

  /** Plays a node's new score up; ends where a match comes out as before. Mostly no more than one block is touched. */
  update(node: number, score: number): void {
    const scores = this.#scores;
    if (scores[node] === score) return;
    const first = node - (node % BLOCK);
    const before = this.#blockWinner(first);
    const bestBefore = f32(scores, before);
    scores[node] = score;
    const winner = this.#blockWinner(first);
    const best = f32(scores, winner);
    if (winner === before && best === bestBefore) return;
    let match = this.#blocks + first / BLOCK;
    let changed = this.#settle(match, winner, best);
    match >>= 1;
    while (changed && match >= 1) {
      changed = this.#play(match);
      match >>= 1;
    }
  }

  /** The first of the greatest of a block. */
  #blockWinner(first: number): number {
    const scores = this.#scores;
    let winner = first;
    let best = f32(scores, first);
    for (let node = first + 1; node < first + BLOCK; node++) {
      const score = f32(scores, node);
      if (score > best) {
        best = score;
        winner = node;
      }
    }
    return winner;
  }

  /** Whether the outcome is another than before. */
  #play(match: number): boolean {
    const left = match * 2;
    const winning = f32(this.#best, left + 1) > f32(this.#best, left) ? left + 1 : left;
    return this.#settle(match, i32(this.#winners, winning), f32(this.#best, winning));
  }

  #settle(match: number, winner: number, best: number): boolean {
    if (this.#winners[match] === winner && this.#best[match] === best) return false;
    this.#winners[match] = winner;
    this.#best[match] = best;
    return true;
  }
}

/** Blocks, rounded up to a power of two so that every match has two sides. */
function blocksOf(nodeCount: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, Math.ceil(nodeCount / BLOCK))));
}
