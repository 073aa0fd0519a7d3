import type { Compressor } from "./compressor.ts";
import type { Digests } from "./digest.ts";
import type { Asking, CodedBlock, EncodeDeps, EncodeInput } from "./encode-types.ts";
import { type BaseRange, type DeltaBlock, type DeltaManifest, totalOf } from "./envelope.ts";
import { GeneralEncoder } from "./general.ts";
import { identityOf } from "./identity.ts";
import { MAX_BLOCK_BASE_BYTES, MAX_BLOCK_RANGES } from "./limits.ts";
import { blockBytesFor } from "./memory.ts";
import { encodePlanes } from "./planes.ts";
import type { RandomAccess } from "./random-access.ts";
import { type AlignedPiece, align, cutIntoBlocks, MAX_CODED_GAP_BYTES } from "./weights/align.ts";
import { SegmentChooser } from "./weights/choose.ts";
import { type ElementType, TRAITS } from "./weights/element-types.ts";
import { tidyLayout } from "./weights/layout.ts";
import { byteLengthOf, encodeWeightsBlock, type WeightsSegment } from "./weights/weights-block.ts";

/** A piece of payload in the order in which the pieces follow each other. */
export type PayloadSink = (bytes: Uint8Array) => void;

/**
 * Makes a delta: writes its payload to `sink` and answers the manifest. Each block gets the smallest of the codecs that
 * suit it; none is larger than the bytes that it makes. Without bsdiff: `platform/delta/encode.ts` has one.
 */
export function encodeDelta(
  input: EncodeInput,
  deps: EncodeDeps,
  sink: PayloadSink,
): DeltaManifest {
  const work = encoding(input, deps, sink);
  let state = work.next();
  while (state.done !== true) state = work.next(undefined);
  return state.value;
}

/** As `encodeDelta`; what bsdiff has to say is asked of the caller, window by window. */
export function* encoding(
  input: EncodeInput,
  deps: EncodeDeps,
  sink: PayloadSink,
): Asking<DeltaManifest> {
  const { base, target } = input;
  const blockBytes = blockBytesFor(input.memoryBytesMax, target.size);
  const width = (type: ElementType): number => TRAITS[type].widthBytes;
  const asWeights = input.codecs?.includes("weights") !== false;
  const layout = asWeights ? tidyLayout(input.layouts.new, target.size, width) : [];
  const general = new GeneralEncoder(input, deps.compressor);
  const map = layout.length === 0 ? general.prepareMap() : undefined;
  const blocks: DeltaBlock[] = [];
  const waiting: Uint8Array[] = [];
  let mapWritten = false;
  const add = (coded: CodedBlock, bytes: Uint8Array): void => {
    blocks.push(blockOf(coded, bytes, deps.digests));
    // The map comes first, and only when a block turns out to need it.
    if (map === undefined || mapWritten) sink(coded.payload);
    else {
      waiting.push(coded.payload);
      if (coded.codec !== "program") return;
      sink(map);
      mapWritten = true;
      for (const payload of waiting.splice(0)) sink(payload);
    }
  };
  if (layout.length === 0)
    yield* generalBlocks({ start: 0, end: target.size }, { target, general, add, blockBytes });
  else {
    const old = {
      layout: base ? tidyLayout(input.layouts.old, base.size, width) : [],
      sizeBytes: base?.size ?? 0,
    };
    const encoder = new WeightsEncoder(input, deps.compressor);
    const aligned = align(old, { layout, sizeBytes: target.size });
    for (const pieces of cutIntoBlocks(aligned, blockBytes))
      yield* weightsBlocks(pieces, encoder, { target, general, add, blockBytes });
  }
  for (const payload of waiting) sink(payload);
  return {
    base: base && identityOf(base, deps.digests),
    target: identityOf(target, deps.digests),
    map: map && mapWritten ? { length: map.length, sha256: deps.digests.sha256(map) } : undefined,
    blocks,
  };
}

type AddBlock = (coded: CodedBlock, bytes: Uint8Array) => void;

/** Where blocks come from and go to. */
interface Blocks {
  readonly target: RandomAccess;
  readonly general: GeneralEncoder;
  readonly add: AddBlock;
  readonly blockBytes: number;
}

function* generalBlocks(part: { start: number; end: number }, to: Blocks): Asking<void> {
  for (let start = part.start; start < part.end; start += to.blockBytes) {
    const bytes = to.target.read(start, Math.min(to.blockBytes, part.end - start));
    to.add(yield* to.general.encode(start, bytes), bytes);
  }
}

function* weightsBlocks(
  pieces: readonly AlignedPiece[],
  encoder: WeightsEncoder,
  to: Blocks,
): Asking<void> {
  const [first] = pieces;
  if (first === undefined) return;
  const start = first.targetAt;
  const length = pieces.reduce((sum, p) => sum + byteLengthOf(p), 0);
  if (
    first.isGap &&
    first.baseAt === undefined &&
    length > MAX_CODED_GAP_BYTES &&
    pieces.length === 1
  ) {
    yield* generalBlocks({ start, end: start + length }, to);
    return;
  }
  const bytes = to.target.read(start, length);
  const coded = encoder.encode(pieces, bytes);
  const suits = coded.payload.length < length && to.general.fits(coded, length);
  to.add(suits ? coded : yield* to.general.encode(start, bytes), bytes);
}

class WeightsEncoder {
  readonly #input: EncodeInput;
  readonly #compressor: Compressor;
  readonly #chooser = new SegmentChooser();

  constructor(input: EncodeInput, compressor: Compressor) {
    this.#input = input;
    this.#compressor = compressor;
  }

  encode(pieces: readonly AlignedPiece[], target: Uint8Array): CodedBlock {
    const ranges = rangesOf(pieces);
    if (totalOf(ranges) > MAX_BLOCK_BASE_BYTES || ranges.length > MAX_BLOCK_RANGES)
      return this.#code(
        pieces.map((p) => ({ ...p, baseAt: undefined })),
        target,
        [],
      );
    return this.#code(pieces, target, ranges);
  }

  #code(
    pieces: readonly AlignedPiece[],
    target: Uint8Array,
    ranges: readonly BaseRange[],
  ): CodedBlock {
    const joined = this.#join(ranges);
    const segments: WeightsSegment[] = [];
    let at = 0;
    for (const piece of pieces) {
      const length = byteLengthOf(piece);
      const baseAt = piece.baseAt === undefined ? 0 : placeIn(ranges, piece.baseAt);
      const old = piece.baseAt === undefined ? undefined : joined.subarray(baseAt, baseAt + length);
      segments.push(
        this.#chooser.segmentOf(piece, { old, target: target.subarray(at, at + length) }, baseAt),
      );
      at += length;
    }
    const [only] = ranges;
    if (
      ranges.length === 1 &&
      only?.length === target.length &&
      segments.every((s) => s.kind === "same") &&
      inOrder(segments)
    )
      return { codec: "copy", payload: new Uint8Array(0), ranges };
    const payload = encodeWeightsBlock(segments, { base: joined, target }, this.#input.profile);
    const weights = { codec: "weights", payload, ranges } as const;
    if (this.#input.base !== undefined) return weights;
    const widest = TRAITS[pieces[0]?.type ?? "u8"].widthBytes;
    if (widest === 1) return weights;
    const planes = encodePlanes(target, widest, this.#compressor);
    // Planes decode much faster: the models must be worth it.
    return planes.length < payload.length * 1.02
      ? { codec: "planes", payload: planes, ranges: [] }
      : weights;
  }

  #join(ranges: readonly BaseRange[]): Uint8Array {
    const joined = new Uint8Array(totalOf(ranges));
    let at = 0;
    for (const range of ranges) {
      joined.set(this.#input.base?.read(range.offset, range.length) ?? [], at);
      at += range.length;
    }
    return joined;
  }
}

/** The stretches of the base that pieces refer to, in order, merged where they touch or overlap. */
function rangesOf(pieces: readonly AlignedPiece[]): readonly BaseRange[] {
  const merged: { offset: number; length: number }[] = [];
  const needed = pieces
    .flatMap((p) => (p.baseAt === undefined ? [] : [{ offset: p.baseAt, length: byteLengthOf(p) }]))
    .toSorted((a, b) => a.offset - b.offset);
  for (const range of needed) {
    const last = merged.at(-1);
    if (last !== undefined && range.offset <= last.offset + last.length)
      last.length = Math.max(last.length, range.offset + range.length - last.offset);
    else merged.push({ ...range });
  }
  return merged;
}

function placeIn(ranges: readonly BaseRange[], offset: number): number {
  let joined = 0;
  for (const range of ranges) {
    if (offset >= range.offset && offset < range.offset + range.length)
      return joined + offset - range.offset;
    joined += range.length;
  }
  return 0;
}

function inOrder(segments: readonly WeightsSegment[]): boolean {
  let at = 0;
  return segments.every((s) => {
    const place = at;
    at += byteLengthOf(s);
    return s.baseAt === place;
  });
}

function blockOf(coded: CodedBlock, bytes: Uint8Array, digests: Digests): DeltaBlock {
  return {
    codec: coded.codec,
    targetLength: bytes.length,
    payloadLength: coded.payload.length,
    payloadSha256: digests.sha256(coded.payload),
    targetSha256: digests.sha256(bytes),
    ranges: coded.ranges,
  };
}
