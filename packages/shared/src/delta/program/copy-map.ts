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
    const pieces = paint(map);
    this.#starts = Float64Array.from(pieces, (p) => p.start);
    this.#ends = Float64Array.from(pieces, (p) => p.end);
    this.#shifts = Float64Array.from(pieces, (p) => p.shift);
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

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly shift: number;
}

/** Lays the longest copy first; a shorter one keeps only what is still free, in at most two pieces a neighbour. */
function paint(map: CopyMap): readonly Piece[] {
  const order = Array.from(map.from, (_, i) => i).toSorted(
    (a, b) => (map.copied[b] ?? 0) - (map.copied[a] ?? 0) || a - b,
  );
  const starts = startsOf(map);
  const laid = new Laid();
  for (const i of order) {
    const from = map.from[i] ?? 0;
    laid.add(from, from + (map.copied[i] ?? 0), (starts[i] ?? 0) - from);
  }
  return laid.pieces();
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

/** Pieces kept in buckets by their start, so that adding stays cheap. */
class Laid {
  static readonly #BUCKET = 4096;
  readonly #buckets = new Map<number, Piece[]>();
  #longest = 0;

  add(start: number, end: number, shift: number): void {
    let at = start;
    while (at < end) {
      const cover = this.#coverOf(at);
      if (cover !== undefined) {
        at = cover.end;
        continue;
      }
      const stop = Math.min(end, this.#nextStart(at, end));
      this.#insert({ start: at, end: stop, shift });
      at = stop;
    }
  }

  pieces(): readonly Piece[] {
    return [...this.#buckets.values()].flat().toSorted((a, b) => a.start - b.start);
  }

  /** A piece is cut at bucket borders, so what covers a place lies in the place's bucket. */
  #insert(piece: Piece): void {
    this.#longest = Math.max(this.#longest, piece.end - piece.start);
    for (let at = piece.start; at < piece.end; ) {
      const bucket = Math.floor(at / Laid.#BUCKET);
      const end = Math.min(piece.end, (bucket + 1) * Laid.#BUCKET);
      const list = this.#buckets.get(bucket);
      const part = { start: at, end, shift: piece.shift };
      if (list === undefined) this.#buckets.set(bucket, [part]);
      else list.push(part);
      at = end;
    }
  }

  #coverOf(at: number): Piece | undefined {
    return this.#buckets
      .get(Math.floor(at / Laid.#BUCKET))
      ?.find((p) => p.start <= at && at < p.end);
  }

  #nextStart(at: number, end: number): number {
    const last = Math.floor((end - 1) / Laid.#BUCKET);
    for (let bucket = Math.floor(at / Laid.#BUCKET); bucket <= last; bucket++) {
      let next = Number.POSITIVE_INFINITY;
      for (const p of this.#buckets.get(bucket) ?? [])
        if (p.start > at && p.start < next) next = p.start;
      if (next < Number.POSITIVE_INFINITY) return next;
    }
    return end;
  }
}
