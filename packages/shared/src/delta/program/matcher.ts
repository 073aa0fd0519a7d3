import { suffixArray } from "./suffix-array.ts";

/** A stretch of the target that resembles the base, and new bytes after it. */
export interface CopyStep {
  from: number;
  copied: number;
  added: number;
}

/**
 * Finds what a target took over from its base: the approximate matching of bsdiff (Percival 2003). Exact matches from a
 * suffix array are stretched forwards and backwards as long as more than half of the bytes agree.
 */
export class Matcher {
  readonly #old: Uint8Array;
  readonly #suffixes: Int32Array;
  /** First suffix of each two first bytes. */
  readonly #heads: Int32Array;
  #found = 0;

  constructor(old: Uint8Array) {
    this.#old = old;
    this.#suffixes = suffixArray(old);
    this.#heads = headsOf(old);
  }

  /**
   * Steps that make `target`; offsets count from the begin of `old`. A copy that agrees in fewer bytes than `leastEqual`
   * is not worth its place in the map: its bytes count as new.
   */
  steps(target: Uint8Array, leastEqual: number): readonly CopyStep[] {
    const kept: CopyStep[] = [];
    let at = 0;
    for (const step of this.#all(target)) {
      const last = kept.at(-1);
      if (last !== undefined && this.#equalBytes(target, at, step) < leastEqual)
        last.added += step.copied + step.added;
      else kept.push(step);
      at += step.copied + step.added;
    }
    return kept;
  }

  #equalBytes(target: Uint8Array, at: number, step: CopyStep): number {
    let equal = 0;
    for (let i = 0; i < step.copied; i++)
      if (this.#old[step.from + i] === target[at + i]) equal += 1;
    return equal;
  }

  #all(target: Uint8Array): readonly CopyStep[] {
    const steps: CopyStep[] = [];
    let scan = 0;
    let length = 0;
    let position = 0;
    let lastScan = 0;
    let lastPosition = 0;
    let lastOffset = 0;
    while (scan < target.length) {
      const stop = this.#nextMatch(target, { scan: scan + length, lastOffset });
      scan = stop.scan;
      length = stop.length;
      position = stop.position;
      if (length === stop.oldScore && scan !== target.length) continue;
      const forward = this.#forward(target, { scan: lastScan, position: lastPosition, end: scan });
      const backward =
        scan < target.length ? this.#backward(target, { scan, position, start: lastScan }) : 0;
      const cut = this.#overlap(target, {
        end: lastScan + forward,
        start: scan - backward,
        oldEnd: lastPosition + forward,
        oldStart: position - backward,
      });
      const copied = forward - cut.fromForward;
      const back = backward - cut.fromBackward;
      steps.push({ from: lastPosition, copied, added: scan - back - (lastScan + copied) });
      lastScan = scan - back;
      lastPosition = position - back;
      lastOffset = position - scan;
    }
    return steps;
  }

  /** Goes on until a match is found that agrees in more than eight bytes more than the last stretch would. */
  #nextMatch(
    target: Uint8Array,
    at: { scan: number; lastOffset: number },
  ): { scan: number; length: number; position: number; oldScore: number } {
    const old = this.#old;
    const { lastOffset } = at;
    let scan = at.scan;
    let counted = scan;
    let oldScore = 0;
    let length = 0;
    for (; scan < target.length; scan++) {
      length = this.#longest(target, scan);
      for (; counted < scan + length; counted++)
        if (old[counted + lastOffset] === target[counted]) oldScore += 1;
      if ((length === oldScore && length !== 0) || length > oldScore + 8) break;
      if (old[scan + lastOffset] === target[scan]) oldScore -= 1;
    }
    return { scan, length, position: this.#found, oldScore };
  }

  /** Length of the longest match at `scan`; its place goes to #found. */
  #longest(target: Uint8Array, scan: number): number {
    const sa = this.#suffixes;
    if (scan + 1 >= target.length) return 0;
    const head = (target[scan] ?? 0) * 256 + (target[scan + 1] ?? 0);
    let low = this.#heads[head] ?? 0;
    let high = (this.#heads[head + 1] ?? 0) - 1;
    if (low > high) return 0;
    let lowLength = 2;
    let highLength = 2;
    let best = 0;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const p = sa[middle] ?? 0;
      let same = lowLength < highLength ? lowLength : highLength;
      const old = this.#old;
      const limit = Math.min(old.length - p, target.length - scan);
      while (same < limit && old[p + same] === target[scan + same]) same++;
      if (same > best) {
        best = same;
        this.#found = p;
      }
      if (scan + same === target.length) break;
      if (p + same === old.length || (old[p + same] ?? 0) < (target[scan + same] ?? 0)) {
        low = middle + 1;
        lowLength = same;
      } else {
        high = middle - 1;
        highLength = same;
      }
    }
    return best;
  }

  #forward(target: Uint8Array, at: { scan: number; position: number; end: number }): number {
    const old = this.#old;
    let score = 0;
    let best = 0;
    let length = 0;
    const limit = Math.min(at.end - at.scan, old.length - at.position);
    for (let i = 0; i < limit; ) {
      if (old[at.position + i] === target[at.scan + i]) score += 1;
      i += 1;
      if (score * 2 - i > best * 2 - length) {
        best = score;
        length = i;
      }
    }
    return length;
  }

  #backward(target: Uint8Array, at: { scan: number; position: number; start: number }): number {
    const old = this.#old;
    let score = 0;
    let best = 0;
    let length = 0;
    const limit = Math.min(at.scan - at.start, at.position);
    for (let i = 1; i <= limit; i++) {
      if (old[at.position - i] === target[at.scan - i]) score += 1;
      if (score * 2 - i > best * 2 - length) {
        best = score;
        length = i;
      }
    }
    return length;
  }

  /** Where two stretches meet: the best border between them. */
  #overlap(
    target: Uint8Array,
    at: { end: number; start: number; oldEnd: number; oldStart: number },
  ): { fromForward: number; fromBackward: number } {
    const overlap = at.end - at.start;
    if (overlap <= 0) return { fromForward: 0, fromBackward: 0 };
    const old = this.#old;
    let score = 0;
    let best = 0;
    let border = 0;
    for (let i = 0; i < overlap; i++) {
      if (target[at.end - overlap + i] === old[at.oldEnd - overlap + i]) score += 1;
      if (target[at.start + i] === old[at.oldStart + i]) score -= 1;
      if (score > best) {
        best = score;
        border = i + 1;
      }
    }
    return { fromForward: overlap - border, fromBackward: border };
  }
}

function headsOf(old: Uint8Array): Int32Array {
  const heads = new Int32Array(65_537);
  for (let i = 0; i + 1 < old.length; i++) {
    const head = (old[i] ?? 0) * 256 + (old[i + 1] ?? 0);
    heads[head + 1] = (heads[head + 1] ?? 0) + 1;
  }
  // The last suffix is a single byte: it stands before all others that begin with it.
  const last = old[old.length - 1];
  for (let head = 0; head < 65_536; head++)
    heads[head + 1] = (heads[head + 1] ?? 0) + (heads[head] ?? 0);
  if (last !== undefined)
    for (let head = last * 256; head <= 65_536; head++) heads[head] = (heads[head] ?? 0) + 1;
  return heads;
}
