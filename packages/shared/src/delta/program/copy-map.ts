import type { ByteReader, ByteWriter } from "../bytes.ts";
import { corrupt } from "../errors.ts";

/**
 * One step of a copy map: `copied` bytes of the target resemble the base from `from` on, then `added` bytes are new.
 * The steps follow each other in the target.
 */
export interface CopyMap {
  readonly from: Float64Array;
  readonly copied: Float64Array;
  readonly added: Float64Array;
}

export function copyMapOf(
  steps: readonly { from: number; copied: number; added: number }[],
): CopyMap {
  return {
    from: Float64Array.from(steps, (s) => s.from),
    copied: Float64Array.from(steps, (s) => s.copied),
    added: Float64Array.from(steps, (s) => s.added),
  };
}

/** Columns of numbers: all copied lengths, all added lengths, all jumps. */
export function writeCopyMap(map: CopyMap, out: ByteWriter): void {
  out.varint(map.from.length);
  for (const value of map.copied) out.varint(value);
  for (const value of map.added) out.varint(value);
  let end = 0;
  map.from.forEach((from, i) => {
    out.signed(from - end);
    end = from + (map.copied[i] ?? 0);
  });
}

/** Reads a map and proves that it covers the target and stays inside the base. */
export function readCopyMap(
  reader: ByteReader,
  sizes: { readonly base: number; readonly target: number },
): CopyMap {
  const count = reader.varint("number of copies", Math.floor(reader.remaining / 3));
  const copied = new Float64Array(count);
  const added = new Float64Array(count);
  const from = new Float64Array(count);
  for (let i = 0; i < count; i++) copied[i] = reader.varint("copied length", sizes.base);
  for (let i = 0; i < count; i++) added[i] = reader.varint("added length", sizes.target);
  let end = 0;
  let covered = 0;
  for (let i = 0; i < count; i++) {
    const start = end + reader.signed("jump", sizes.base);
    end = start + (copied[i] ?? 0);
    covered += (copied[i] ?? 0) + (added[i] ?? 0);
    if (start < 0 || end > sizes.base) throw corrupt("a copy lies outside the base");
    if (covered > sizes.target) throw corrupt("the copies go beyond the target");
    from[i] = start;
  }
  if (covered !== sizes.target) throw corrupt("the copies do not cover the target");
  return { from, copied, added };
}

/** Where each byte of the base went: stretches of the base, in order, none over another; the longest copies first. */
export class OldToNew {
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #shifts: Float64Array;
  #last = 0;

  constructor(map: CopyMap) {
    const { starts, ends, shifts, count } = paint(map);
    this.#starts = starts.slice(0, count);
    this.#ends = ends.slice(0, count);
    this.#shifts = shifts.slice(0, count);
  }

  /** The target's offset of what lies at `offset` in the base; between stretches the shift of the one before counts. */
  at(offset: number): number {
    const starts = this.#starts;
    const last = this.#last;
    if (offset >= (starts[last] ?? 0) && offset < (this.#ends[last] ?? 0))
      return offset + (this.#shifts[last] ?? 0);
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    this.#last = low;
    return offset + (this.#shifts[low] ?? 0);
  }
}

/** Stretches of the base, columns of numbers: maps have many, and objects take ten times the memory. */
class Pieces {
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly shifts: Float64Array;
  count = 0;

  constructor(most: number) {
    this.starts = new Float64Array(most);
    this.ends = new Float64Array(most);
    this.shifts = new Float64Array(most);
  }

  add(start: number, end: number, shift: number): void {
    const last = this.count - 1;
    if (last >= 0 && this.ends[last] === start && this.shifts[last] === shift) {
      this.ends[last] = end;
      return;
    }
    this.starts[this.count] = start;
    this.ends[this.count] = end;
    this.shifts[this.count] = shift;
    this.count += 1;
  }
}

/** Walks along the base: each place belongs to the longest copy that covers it. */
function paint(map: CopyMap): Pieces {
  const starts = startsOf(map);
  const order = Uint32Array.from(map.from, (_, i) => i)
    .filter((i) => (map.copied[i] ?? 0) > 0)
    .sort((a, b) => (map.from[a] ?? 0) - (map.from[b] ?? 0) || a - b);
  const open = new LongestFirst(map.copied);
  const endOf = (i: number): number => (map.from[i] ?? 0) + (map.copied[i] ?? 0);
  // Each begin and each end of a copy begins a piece at most.
  const pieces = new Pieces(2 * order.length + 1);
  let next = 0;
  let at = 0;
  for (;;) {
    for (; next < order.length && (map.from[order[next] ?? 0] ?? 0) <= at; next++)
      open.push(order[next] ?? 0);
    while (open.top !== undefined && endOf(open.top) <= at) open.pop();
    const following =
      next < order.length ? (map.from[order[next] ?? 0] ?? 0) : Number.POSITIVE_INFINITY;
    const { top } = open;
    if (top === undefined) {
      if (following === Number.POSITIVE_INFINITY) return pieces;
      at = following;
      continue;
    }
    const end = Math.min(endOf(top), following);
    pieces.add(at, end, (starts[top] ?? 0) - (map.from[top] ?? 0));
    at = end;
  }
}

/** A heap of copies, the longest on top, among equals the first. */
class LongestFirst {
  readonly #lengths: Float64Array;
  readonly #heap: number[] = [];

  constructor(lengths: Float64Array) {
    this.#lengths = lengths;
  }

  get top(): number | undefined {
    return this.#heap[0];
  }

  push(copy: number): void {
    const heap = this.#heap;
    let at = heap.push(copy) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(copy, heap[parent] ?? 0)) break;
      heap[at] = heap[parent] ?? 0;
      at = parent;
    }
    heap[at] = copy;
  }

  pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= heap.length) break;
      const right = left + 1;
      const child =
        right < heap.length && this.#before(heap[right] ?? 0, heap[left] ?? 0) ? right : left;
      if (!this.#before(heap[child] ?? 0, last)) break;
      heap[at] = heap[child] ?? 0;
      at = child;
    }
    heap[at] = last;
  }

  #before(a: number, b: number): boolean {
    const [long, short] = [this.#lengths[a] ?? 0, this.#lengths[b] ?? 0];
    return long > short || (long === short && a < b);
  }
}

/** Where each step begins in the target. */
export function startsOf(map: CopyMap): Float64Array {
  const starts = new Float64Array(map.from.length);
  let at = 0;
  for (let i = 0; i < starts.length; i++) {
    starts[i] = at;
    at += (map.copied[i] ?? 0) + (map.added[i] ?? 0);
  }
  return starts;
}
