import { encodeBsdiffBlock } from "./bsdiff/bsdiff-block.ts";
import type { Compressor } from "./compressor.ts";
import type { Asking, CodedBlock, EncodeInput } from "./encode-types.ts";
import { type BaseRange, type BlockCodec, totalOf } from "./envelope.ts";
import { MAX_BLOCK_BASE_BYTES, MAX_BLOCK_RANGES } from "./limits.ts";
import { blockMemoryBytes, mapMemoryBytes } from "./memory.ts";
import { type CopyMap, copyMapOf } from "./program/copy-map.ts";
import { type Architecture, imageOf } from "./program/image.ts";
import { type CopyStep, Matcher } from "./program/matcher.ts";
import { encodeProgramBlock, rangesOfBlock } from "./program/program-block.ts";
import { type ProgramMap, programMapOf, writeProgramMap } from "./program/program-map.ts";
import type { RandomAccess } from "./random-access.ts";

/** Files up to this size are matched as a whole; larger ones window by window, which costs nothing on programs. */
export const WHOLE_MATCH_BYTES = 48 * 1024 * 1024;
/** Target bytes of one window, and how much further than its share of the base the window reaches on both sides. */
const WINDOW_BYTES = 16 * 1024 * 1024;
const WINDOW_MARGIN_BYTES = 4 * 1024 * 1024;
/** Up to this size every codec is tried. */
const TRY_ALL_BYTES = 256 * 1024;
/** Brotli is tried up to this size: beyond it zstd is nearly as small and much faster. */
const BROTLI_BYTES = 512 * 1024;
/** Files up to this size fit a dictionary and nothing else: a copy map could only add to them. */
const PREFIX_ONLY_BYTES = 32 * 1024;
/** How far a dictionary, and what bsdiff searches, reach around a block's share of the base. */
const PREFIX_MARGIN_BYTES = 4 * 1024 * 1024;
const BSDIFF_MARGIN_BYTES = 2 * 1024 * 1024;
/** What no codec makes smaller than this share of it is noise. */
const NOISE = 0.95;

/** Bytes in which a copy must agree to be worth a step of the map; code changes in more places than other bytes. */
const LEAST_EQUAL: Readonly<Record<Architecture, number>> = {
  none: 32,
  arm64: 20,
  x64: 20,
  wasm: 38,
};

/** Encodes blocks that hold no weights: programs, texts, containers, anything. */
export class GeneralEncoder {
  readonly #input: EncodeInput;
  readonly #compressor: Compressor;
  readonly #budgetBytes: number;
  #map: ProgramMap | undefined;
  #mapBytes = 0;

  constructor(input: EncodeInput, compressor: Compressor) {
    this.#input = input;
    this.#compressor = compressor;
    this.#budgetBytes = input.memoryBytesMax ?? Number.POSITIVE_INFINITY;
  }

  /** Matches target and base; the coded map, when one is worth having. */
  prepareMap(): Uint8Array | undefined {
    const { base, target, steps } = this.#input;
    if (base === undefined || base.size === 0 || target.size === 0) return undefined;
    if (!this.#may("program")) return undefined;
    if (steps === undefined && target.size <= PREFIX_ONLY_BYTES) return undefined;
    const images = { old: imageOf(base), new: imageOf(target) };
    const copies = copyMapOf(steps ?? matched(base, target, LEAST_EQUAL[images.new.architecture]));
    if (!isWorth(copies, target.size)) return undefined;
    const map = programMapOf(images, copies, { base, target });
    const coded = writeProgramMap(map, this.#compressor);
    if (coded === undefined) return undefined;
    const mapBytes = mapMemoryBytes(coded.length);
    // Every block shares memory with the map: one that leaves them little is no help.
    if (mapBytes > this.#budgetBytes / 3) return undefined;
    this.#map = map;
    this.#mapBytes = mapBytes;
    return coded;
  }

  /** True when a decoder has the memory for this block, which makes `targetLength` bytes. */
  fits(coded: CodedBlock, targetLength: number): boolean {
    return this.#memoryOf(coded, targetLength) <= this.#budgetBytes;
  }

  #memoryOf({ codec, payload, ranges }: CodedBlock, targetLength: number): number {
    const block = { codec, targetLength, payloadLength: payload.length, ranges };
    return this.#mapBytes + blockMemoryBytes(block);
  }

  *encode(start: number, bytes: Uint8Array): Asking<CodedBlock> {
    const program = this.#program(start, bytes);
    // A well-matched block of a program is not tried with what cannot win.
    const good = program !== undefined && program.payload.length < bytes.length / 3;
    if (good && bytes.length > TRY_ALL_BYTES && this.fits(program, bytes.length)) return program;
    const candidates: CodedBlock[] = [{ codec: "stored", payload: bytes, ranges: [] }];
    if (program !== undefined) candidates.push(program);
    candidates.push(...this.#alone(bytes));
    const prefix = this.#prefix(start, bytes);
    if (prefix !== undefined) candidates.push(prefix);
    const bsdiff = yield* this.#bsdiff(start, bytes, candidates);
    if (bsdiff !== undefined) candidates.push(bsdiff);
    const fitting = candidates.filter((c) => this.fits(c, bytes.length));
    if (fitting.length > 0) return smallest(fitting, (c) => c.payload.length);
    return smallest(candidates, (c) => this.#memoryOf(c, bytes.length));
  }

  #may(codec: BlockCodec): boolean {
    return this.#input.codecs?.includes(codec) !== false;
  }

  /** Without the base. */
  #alone(bytes: Uint8Array): readonly CodedBlock[] {
    const blocks: CodedBlock[] = [];
    if (this.#may("zstd"))
      blocks.push({ codec: "zstd", payload: this.#compressor.zstd(bytes), ranges: [] });
    if (this.#may("brotli") && bytes.length <= BROTLI_BYTES)
      blocks.push({
        codec: "brotli",
        payload: this.#compressor.brotli(bytes, "text"),
        ranges: [],
      });
    return blocks;
  }

  #program(start: number, bytes: Uint8Array): CodedBlock | undefined {
    const { base } = this.#input;
    const map = this.#map;
    if (map === undefined || base === undefined) return undefined;
    const ranges = rangesOfBlock(map, { start, length: bytes.length }, base.size);
    if (ranges.length > MAX_BLOCK_RANGES || totalOf(ranges) > MAX_BLOCK_BASE_BYTES)
      return undefined;
    const joined = join(base, ranges);
    const payload = encodeProgramBlock(
      { map, start, base: joined, ranges },
      bytes,
      this.#compressor,
    );
    return { codec: "program", payload, ranges };
  }

  #prefix(start: number, bytes: Uint8Array): CodedBlock | undefined {
    const { base } = this.#input;
    const range = this.#windowOf(start, bytes.length, PREFIX_MARGIN_BYTES);
    if (base === undefined || range === undefined || !this.#may("prefix")) return undefined;
    const dictionary = base.read(range.offset, range.length);
    const payload = this.#compressor.zstd(bytes, { dictionary });
    return { codec: "prefix", payload, ranges: [range] };
  }

  /** Noise is not tried: it takes a minute and loses. Nor is what fits a dictionary and nothing else. */
  *#bsdiff(
    start: number,
    bytes: Uint8Array,
    others: readonly CodedBlock[],
  ): Asking<CodedBlock | undefined> {
    const { base, codecs } = this.#input;
    const range = this.#windowOf(start, bytes.length, BSDIFF_MARGIN_BYTES);
    if (base === undefined || range === undefined || !this.#may("bsdiff")) return undefined;
    const noise = smallest(others, (c) => c.payload.length).payload.length > bytes.length * NOISE;
    if (codecs === undefined && (noise || bytes.length <= PREFIX_ONLY_BYTES)) return undefined;
    const steps = yield { base: base.read(range.offset, range.length), target: bytes };
    if (steps === undefined) return undefined;
    const used = steps.filter((s) => s.copied > 0);
    const from = used.reduce((least, s) => Math.min(least, s.from), range.length);
    const to = used.reduce((most, s) => Math.max(most, s.from + s.copied), from);
    const moved = steps.map((s) => ({ ...s, from: s.copied > 0 ? s.from - from : 0 }));
    const offset = range.offset + from;
    const payload = encodeBsdiffBlock(
      moved,
      { base: base.read(offset, to - from), target: bytes },
      this.#compressor,
    );
    return payload && { codec: "bsdiff", payload, ranges: [{ offset, length: to - from }] };
  }

  /** The base as a whole when it is small, else a block's share of it and `marginBytes` around that. */
  #windowOf(start: number, length: number, marginBytes: number): BaseRange | undefined {
    const { base, target } = this.#input;
    if (base === undefined || base.size === 0) return undefined;
    const ratio = base.size / target.size;
    const whole = base.size <= MAX_BLOCK_BASE_BYTES / 2;
    const from = whole ? 0 : Math.max(0, Math.floor(start * ratio) - marginBytes);
    const to = whole
      ? base.size
      : Math.min(base.size, Math.ceil((start + length) * ratio) + marginBytes);
    if (to <= from || to - from > MAX_BLOCK_BASE_BYTES) return undefined;
    return { offset: from, length: to - from };
  }
}

/** The first of those for which `size` is least. */
function smallest(
  candidates: readonly CodedBlock[],
  size: (coded: CodedBlock) => number,
): CodedBlock {
  return candidates.reduce((best, c) => (size(c) < size(best) ? c : best));
}

/** A map that copies next to nothing only adds to the delta. */
function isWorth(copies: CopyMap, targetSize: number): boolean {
  return copies.copied.reduce((sum, n) => sum + n, 0) > targetSize / 50;
}

function join(
  base: RandomAccess,
  ranges: readonly { offset: number; length: number }[],
): Uint8Array {
  const joined = new Uint8Array(totalOf(ranges));
  let at = 0;
  for (const range of ranges) {
    joined.set(base.read(range.offset, range.length), at);
    at += range.length;
  }
  return joined;
}

function matched(
  base: RandomAccess,
  target: RandomAccess,
  leastEqual: number,
): readonly CopyStep[] {
  if (base.size <= WHOLE_MATCH_BYTES)
    return new Matcher(base.read(0, base.size)).steps(target.read(0, target.size), leastEqual);
  const ratio = base.size / target.size;
  const steps: CopyStep[] = [];
  for (let start = 0; start < target.size; start += WINDOW_BYTES) {
    const length = Math.min(WINDOW_BYTES, target.size - start);
    const from = Math.max(0, Math.floor(start * ratio) - WINDOW_MARGIN_BYTES);
    const to = Math.min(base.size, Math.ceil((start + length) * ratio) + WINDOW_MARGIN_BYTES);
    const found = new Matcher(base.read(from, to - from)).steps(
      target.read(start, length),
      leastEqual,
    );
    for (const step of found) steps.push({ ...step, from: step.from + from });
  }
  return steps;
}
