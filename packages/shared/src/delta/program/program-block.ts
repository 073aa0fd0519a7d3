import { ByteReader, ByteWriter } from "../bytes.ts";
import type { Compressor } from "../compressor.ts";
import type { BaseRange } from "../envelope.ts";
import { corrupt } from "../errors.ts";
import { RangeDecoder, RangeEncoder } from "../range-coder.ts";
import { AddressMap } from "./address-map.ts";
import { AddressSpace } from "./image.ts";
import type { ProgramMap } from "./program-map.ts";
import { StepCoder, type StepSurroundings, type Stretch } from "./step-coder.ts";

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
  const needed = piecesOf(map, block)
    .filter((p) => p.copied > 0)
    .map((p) => ({
      from: Math.max(0, p.from - SURROUNDINGS),
      to: Math.min(baseSize, p.from + p.copied + SURROUNDINGS),
    }))
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
  const pieces = piecesOf(block.map, { start: block.start, length: target.length });
  const joined = new JoinedRanges(block.ranges);
  const steps = new StepCoder();
  steps.begin(surroundingsOf(block.map));
  const added = new ByteWriter(65_536);
  let at = 0;
  for (const piece of pieces) {
    steps.code(coder, block.base, target, stretchOf(block.start, joined, piece, at));
    added.bytes(target.subarray(at + piece.copied, at + piece.copied + piece.added));
    at += piece.copied + piece.added;
  }
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
  const pieces = piecesOf(block.map, { start: block.start, length: target.length });
  const reader = new ByteReader(payload);
  const length = pieces.reduce((sum, p) => sum + p.added, 0);
  const added = readAdded(reader, length, block.base, compressor);
  const coder = new RangeDecoder(reader.bytes(reader.remaining, "coded stretches"));
  steps.begin(surroundingsOf(block.map));
  const joined = new JoinedRanges(block.ranges);
  let at = 0;
  let taken = 0;
  for (const piece of pieces) {
    steps.code(coder, block.base, target, stretchOf(block.start, joined, piece, at));
    target.set(added.subarray(taken, taken + piece.added), at + piece.copied);
    taken += piece.added;
    at += piece.copied + piece.added;
  }
}

interface Piece {
  readonly from: number;
  readonly copied: number;
  readonly added: number;
}

/** Steps of the map that lie in the block, cut at its borders. */
function piecesOf(map: ProgramMap, block: { start: number; length: number }): readonly Piece[] {
  const { starts, copies } = map;
  const end = block.start + block.length;
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= block.start) low = middle;
    else high = middle - 1;
  }
  const pieces: Piece[] = [];
  for (let i = low; i < starts.length && (starts[i] ?? 0) < end; i++) {
    const start = starts[i] ?? 0;
    const border = start + (copies.copied[i] ?? 0);
    const stop = border + (copies.added[i] ?? 0);
    const first = Math.max(start, block.start);
    pieces.push({
      from: (copies.from[i] ?? 0) + Math.min(first, border) - start,
      copied: Math.max(0, Math.min(border, end) - first),
      added: Math.max(0, Math.min(stop, end) - Math.max(border, first)),
    });
  }
  return pieces;
}

function stretchOf(start: number, joined: JoinedRanges, piece: Piece, targetAt: number): Stretch {
  return {
    at: piece.copied === 0 ? 0 : joined.placeOf(piece),
    oldOffset: piece.from,
    newOffset: start + targetAt,
    targetAt,
    length: piece.copied,
  };
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

  placeOf(piece: Piece): number {
    const ranges = this.#ranges;
    let low = 0;
    let high = ranges.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((ranges[middle]?.offset ?? 0) <= piece.from) low = middle;
      else high = middle - 1;
    }
    const range = ranges[low];
    const end = piece.from + piece.copied;
    if (range === undefined || piece.from < range.offset || end > range.offset + range.length)
      throw corrupt("a copied stretch lies in no range of its block");
    return (this.#joined[low] ?? 0) + piece.from - range.offset;
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
