import { ByteReader, ByteWriter } from "../bytes.ts";
import type { Compressor } from "../compressor.ts";
import type { BaseRange } from "../envelope.ts";
import { corrupt } from "../errors.ts";
import { RangeDecoder, RangeEncoder } from "../range-coder.ts";
import { AddressMap } from "./address-map.ts";
import { AddressSpace } from "./image.ts";
import type { ProgramMap } from "./program-map.ts";
import { StepCoder, type StepSurroundings } from "./step-coder.ts";

/** A block of the target and the bytes of the base that it may use: `ranges` joined. */
export interface ProgramBlock {
  readonly map: ProgramMap;
  /** Where the block begins in the target. */
  readonly start: number;
  readonly base: Uint8Array;
  readonly ranges: readonly BaseRange[];
}

/** Bytes before and after a copy that its instructions may look at. */
const SURROUNDINGS = 64;
/** Gaps shorter than this are read along. */
const MERGE_GAP = 4096;

/** Stretches of the base that a block copies, with their surroundings, merged and in order. */
export function rangesOfBlock(
  map: ProgramMap,
  block: { start: number; length: number },
  baseSize: number,
): readonly BaseRange[] {
  const { from: starts, copied } = piecesOf(map, block);
  const needed = Array.from(starts, (from, i) => ({
    from: Math.max(0, from - SURROUNDINGS),
    to: Math.min(baseSize, from + (copied[i] ?? 0) + SURROUNDINGS),
  }))
    .filter((_, i) => copied[i] !== 0)
    .toSorted((a, b) => a.from - b.from);
  const merged: { from: number; to: number }[] = [];
  for (const range of needed) {
    const last = merged.at(-1);
    if (last !== undefined && range.from <= last.to + MERGE_GAP)
      last.to = Math.max(last.to, range.to);
    else merged.push({ ...range });
  }
  return merged.map(({ from, to }) => ({ offset: from, length: to - from }));
}

export function encodeProgramBlock(
  block: ProgramBlock,
  target: Uint8Array,
  compressor: Compressor,
): Uint8Array {
  const coder = new RangeEncoder(65_536);
  const added = new ByteWriter(65_536);
  codePieces(block, target, { coder, steps: new StepCoder() }, (at, length) => {
    added.bytes(target.subarray(at, at + length));
  });
  const out = new ByteWriter(65_536);
  writeAdded(out, added.view(), block.base, compressor);
  out.bytes(coder.finish());
  return out.view().slice();
}

export function decodeProgramBlock(
  block: ProgramBlock,
  payload: Uint8Array,
  target: Uint8Array,
  deps: { readonly compressor: Compressor; readonly steps: StepCoder },
): void {
  const { compressor, steps } = deps;
  const reader = new ByteReader(payload);
  const { added } = piecesOf(block.map, { start: block.start, length: target.length });
  const length = added.reduce((sum, n) => sum + n, 0);
  const fresh = readAdded(reader, length, block.base, compressor);
  const coder = new RangeDecoder(reader.bytes(reader.remaining, "coded stretches"));
  let taken = 0;
  codePieces(block, target, { coder, steps }, (at, count) => {
    target.set(fresh.subarray(taken, taken + count), at);
    taken += count;
  });
}

/** Codes all copied stretches of a block; new bytes after each are the caller's: their place in the target, and how many. */
function codePieces(
  block: ProgramBlock,
  target: Uint8Array,
  { coder, steps }: { readonly coder: RangeEncoder | RangeDecoder; readonly steps: StepCoder },
  onAdded: (at: number, length: number) => void,
): void {
  const { from, copied, added } = piecesOf(block.map, {
    start: block.start,
    length: target.length,
  });
  const joined = new JoinedRanges(block.ranges);
  steps.begin(surroundingsOf(block.map));
  let at = 0;
  for (let i = 0; i < from.length; i++) {
    const [oldOffset, length, fresh] = [from[i] ?? 0, copied[i] ?? 0, added[i] ?? 0];
    if (length > 0) {
      const place = joined.placeOf(oldOffset, length);
      const newOffset = block.start + at;
      steps.code(coder, block.base, target, {
        at: place,
        oldOffset,
        newOffset,
        targetAt: at,
        length,
      });
    }
    at += length;
    if (fresh > 0) onAdded(at, fresh);
    at += fresh;
  }
}

/** Steps of a map as far as they lie in a block: columns, since there are many and all are held at once. */
interface Pieces {
  readonly from: Float64Array;
  readonly copied: Uint32Array;
  readonly added: Uint32Array;
}

/** Steps of the map that lie in the block, cut at its borders. */
function piecesOf(map: ProgramMap, block: { start: number; length: number }): Pieces {
  const { starts, copies } = map;
  const end = block.start + block.length;
  const first = lastAtOrBefore(starts, block.start);
  const count = starts.length === 0 ? 0 : lastAtOrBefore(starts, end - 1) - first + 1;
  const pieces = {
    from: new Float64Array(count),
    copied: new Uint32Array(count),
    added: new Uint32Array(count),
  };
  for (let k = 0; k < count; k++) {
    const start = starts[first + k] ?? 0;
    const border = start + (copies.copied[first + k] ?? 0);
    const stop = border + (copies.added[first + k] ?? 0);
    const begin = Math.max(start, block.start);
    pieces.from[k] = (copies.from[first + k] ?? 0) + Math.min(begin, border) - start;
    pieces.copied[k] = Math.max(0, Math.min(border, end) - begin);
    pieces.added[k] = Math.max(0, Math.min(stop, end) - Math.max(border, begin));
  }
  return pieces;
}

/** Place of the last number that is not larger; 0 when all are. */
function lastAtOrBefore(numbers: Float64Array, most: number): number {
  let low = 0;
  let high = numbers.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((numbers[middle] ?? 0) <= most) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Finds where copied stretches lie in the joined ranges of a block. */
class JoinedRanges {
  readonly #ranges: readonly BaseRange[];
  readonly #joined: Float64Array;

  /** Ranges in order; a stretch is not found in others. */
  constructor(ranges: readonly BaseRange[]) {
    this.#ranges = ranges;
    this.#joined = new Float64Array(ranges.length);
    for (let i = 1; i < ranges.length; i++)
      this.#joined[i] = (this.#joined[i - 1] ?? 0) + (ranges[i - 1]?.length ?? 0);
  }

  placeOf(from: number, length: number): number {
    const ranges = this.#ranges;
    let low = 0;
    let high = ranges.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((ranges[middle]?.offset ?? 0) <= from) low = middle;
      else high = middle - 1;
    }
    const range = ranges[low];
    if (range === undefined || from < range.offset || from + length > range.offset + range.length)
      throw corrupt("a copied stretch lies in no range of its block");
    return (this.#joined[low] ?? 0) + from - range.offset;
  }
}

function surroundingsOf(map: ProgramMap): StepSurroundings {
  const spaces = { old: new AddressSpace(map.old), new: new AddressSpace(map.new) };
  return {
    architecture: map.architecture,
    spaces,
    map: new AddressMap(spaces, map.places),
    wasm: map.wasm,
  };
}

/** A larger base is not worth the time as dictionary of new bytes. */
const PREFIX_BASE_BYTES = 2 * 1024 * 1024;
const ADDED_BROTLI = 0;
const ADDED_PREFIX = 1;

/** New bytes: brotli, or zstd with the block's base as dictionary, whichever is smaller. */
function writeAdded(
  out: ByteWriter,
  added: Uint8Array,
  base: Uint8Array,
  compressor: Compressor,
): void {
  if (added.length === 0) return;
  const brotli = compressor.brotli(added, "generic");
  const prefix =
    base.length === 0 || base.length > PREFIX_BASE_BYTES
      ? undefined
      : compressor.zstd(added, { dictionary: base });
  const usePrefix = prefix !== undefined && prefix.length < brotli.length;
  out.u8(usePrefix ? ADDED_PREFIX : ADDED_BROTLI);
  out.blob(usePrefix ? prefix : brotli);
}

function readAdded(
  reader: ByteReader,
  length: number,
  base: Uint8Array,
  compressor: Compressor,
): Uint8Array {
  if (length === 0) return new Uint8Array(0);
  const kind = reader.u8("codec of new bytes");
  const bytes = reader.blob("new bytes", 2 * length + 1024);
  if (kind === ADDED_BROTLI) return compressor.unbrotli(bytes, length);
  if (kind === ADDED_PREFIX) return compressor.unzstd(bytes, length, { dictionary: base });
  throw corrupt(`codec ${kind} of new bytes is unknown`);
}
