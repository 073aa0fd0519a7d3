import { at } from "./node-table.ts";

/**
 * A tournament over the scores of all nodes for one shape (Knuth, TAOCP 3 §5.4.1): the root is the best node, and a node's
 * new score is played up to the root in log₂ n matches. Equal scores are won by the lower index, as in a scan from the left.
 */
export class WinnerTree {
  readonly #scores: Float64Array;
  /** Winner of each match; the root is 1, the matches of the nodes themselves start at `#leaves / 2`. */
  readonly #winners: Int32Array;
  readonly #nodeCount: number;
  readonly #leaves: number;
  /** Position in the change log up to which the scores are those of now. */
  seen = 0;
  /** When it was asked last, to tell which tree may go. */
  usedAt = 0;

  constructor(nodeCount: number) {
    let leaves = 2;
    while (leaves < nodeCount) leaves *= 2;
    this.#leaves = leaves;
    this.#nodeCount = nodeCount;
    this.#scores = new Float64Array(nodeCount);
    this.#winners = new Int32Array(leaves);
  }

  /** Bytes that a tree over so many nodes takes. */
  static bytesOf(nodeCount: number): number {
    return nodeCount * 8 + 2 ** Math.ceil(Math.log2(Math.max(2, nodeCount))) * 4;
  }

  /** The best node; check its score, it may not fit. */
  get winner(): number {
    return this.#winners[1] ?? 0;
  }

  scoreOf(node: number): number {
    return at(this.#scores, node);
  }

  /** Sets a score without playing; `build` plays all matches. */
  set(node: number, score: number): void {
    this.#scores[node] = score;
  }

  build(): void {
    for (let match = this.#leaves - 1; match >= 1; match--) this.#play(match);
  }

  /** Plays a node's new score up. Ends early where a match that it was not in, and is not in now, comes out as before. */
  update(node: number, score: number): void {
    if (this.#scores[node] === score) return;
    this.#scores[node] = score;
    for (let match = (node + this.#leaves) >> 1; match >= 1; match >>= 1) {
      const before = this.#winners[match];
      if (this.#play(match) === before && before !== node) return;
    }
  }

  #play(match: number): number {
    const scores = this.#scores;
    const half = this.#leaves >> 1;
    const left = match < half ? at(this.#winners, match * 2) : match * 2 - this.#leaves;
    const right = match < half ? at(this.#winners, match * 2 + 1) : left + 1;
    // A place behind the last node loses to whoever is left of it.
    const winner = right < this.#nodeCount && at(scores, right) > at(scores, left) ? right : left;
    this.#winners[match] = winner;
    return winner;
  }
}
