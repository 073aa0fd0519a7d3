import { decodeBsdiffBlock } from "./bsdiff/bsdiff-block.ts";
import type { Compressor } from "./compressor.ts";
import { type Digests, sameBytes } from "./digest.ts";
import { type DeltaBlock, type DeltaManifest, totalOf } from "./envelope.ts";
import { corrupt, wrongBase } from "./errors.ts";
import { decodePlanes } from "./planes.ts";
import { decodeProgramBlock } from "./program/program-block.ts";
import { type ProgramMap, readProgramMap } from "./program/program-map.ts";
import { StepCoder } from "./program/step-coder.ts";
import type { RandomAccess } from "./random-access.ts";
import { decodeWeightsBlock, SegmentCoders } from "./weights/weights-block.ts";

/** What decoding needs besides the bytes. */
export interface DecodeDeps {
  readonly compressor: Compressor;
  readonly digests: Digests;
  /** For whoever decodes many small deltas one after another. */
  readonly models?: DecoderModels;
}

/** Models of the codecs: megabytes that each block begins anew, but need not make anew. */
export class DecoderModels {
  readonly weights = new SegmentCoders();
  #steps: StepCoder | undefined;

  get steps(): StepCoder {
    this.#steps ??= new StepCoder();
    return this.#steps;
  }
}

/**
 * Decodes the blocks of one delta, in any order. It holds one block of the target, the stretches of the base that this
 * block names, and the map of programs; nothing it is given is trusted, and no block leaves it that has not its digest.
 */
export class BlockDecoder {
  readonly #manifest: DeltaManifest;
  readonly #base: RandomAccess;
  readonly #deps: DecodeDeps;
  readonly #map: ProgramMap | undefined;
  readonly #starts: readonly number[];
  /** Memory that every block uses again: what is thrown away is collected late. */
  readonly #joined: Scratch;
  readonly #target: Scratch;
  readonly #models: DecoderModels;

  /** `map` is the begin of the payload when the manifest names one. Throws `delta-corrupt` when it has not its digest, `delta-wrong-base` when the base has another size. */
  constructor(
    options: { manifest: DeltaManifest; base: RandomAccess; map: Uint8Array | undefined },
    deps: DecodeDeps,
  ) {
    const { manifest, base, map } = options;
    if (base.size !== (manifest.base?.size ?? 0))
      throw wrongBase(manifest.base?.size ?? 0, base.size);
    this.#manifest = manifest;
    this.#base = base;
    this.#deps = deps;
    this.#models = deps.models ?? new DecoderModels();
    this.#starts = startsOfBlocks(manifest);
    const { blocks } = manifest;
    this.#joined = new Scratch(blocks.reduce((most, b) => Math.max(most, totalOf(b.ranges)), 0));
    this.#target = new Scratch(blocks.reduce((most, b) => Math.max(most, b.targetLength), 0));
    this.#map = manifest.map === undefined ? undefined : this.#readMap(manifest.map.sha256, map);
  }

  /** The bytes of block `index`, checked against its digest. They are good until the next call, which may use their memory again. */
  decode(index: number, payload: Uint8Array): Uint8Array {
    const block = this.#manifest.blocks[index];
    if (block === undefined) throw corrupt(`there is no block ${index}`);
    if (payload.length !== block.payloadLength || !this.#is(payload, block.payloadSha256))
      throw corrupt(`the payload of block ${index} is not the signed one`);
    const target = this.#decode(block, payload, this.#starts[index] ?? 0);
    if (!this.#is(target, block.targetSha256))
      throw corrupt(`block ${index} does not give what was signed`);
    return target;
  }

  #decode(block: DeltaBlock, payload: Uint8Array, start: number): Uint8Array {
    const { compressor } = this.#deps;
    const length = block.targetLength;
    switch (block.codec) {
      case "copy":
        return this.#read(block);
      case "stored":
        if (payload.length !== length) throw corrupt("a stored block has another length");
        return payload;
      case "zstd":
        return compressor.unzstd(payload, length);
      case "brotli":
        return compressor.unbrotli(payload, length);
      case "prefix":
        return compressor.unzstd(payload, length, { dictionary: this.#read(block) });
      case "planes":
      case "weights":
      case "program":
      case "bsdiff": {
        const target = this.#target.take(length).fill(0);
        this.#decodeInto(block, payload, { target, start });
        return target;
      }
    }
  }

  #decodeInto(
    block: DeltaBlock,
    payload: Uint8Array,
    into: { target: Uint8Array; start: number },
  ): void {
    const { compressor } = this.#deps;
    const { target, start } = into;
    if (block.codec === "planes") decodePlanes(payload, target, compressor);
    else if (block.codec === "weights")
      decodeWeightsBlock(payload, { base: this.#read(block), target }, this.#models.weights);
    else if (block.codec === "bsdiff")
      decodeBsdiffBlock(payload, { base: this.#read(block), target }, compressor);
    else {
      const map = this.#map;
      if (map === undefined) throw corrupt("a block of a program needs a map");
      const of = { map, start, base: this.#read(block), ranges: block.ranges };
      decodeProgramBlock(of, payload, target, { compressor, steps: this.#models.steps });
    }
  }

  /** The ranges of the base that a block names, joined. */
  #read(block: DeltaBlock): Uint8Array {
    const [only] = block.ranges;
    if (only !== undefined && block.ranges.length === 1)
      return this.#base.read(only.offset, only.length, this.#joined.take(only.length));
    const joined = this.#joined.take(totalOf(block.ranges));
    let at = 0;
    for (const range of block.ranges) {
      joined.set(this.#base.read(range.offset, range.length, joined.subarray(at)), at);
      at += range.length;
    }
    return joined;
  }

  #readMap(sha256: Uint8Array, map: Uint8Array | undefined): ProgramMap {
    const { base, target, map: named } = this.#manifest;
    if (map === undefined || map.length !== named?.length || !this.#is(map, sha256))
      throw corrupt("the map is not the signed one");
    const sizes = { base: base?.size ?? 0, target: target.size };
    return readProgramMap(map, sizes, this.#deps.compressor);
  }

  #is(bytes: Uint8Array, sha256: Uint8Array): boolean {
    return sameBytes(this.#deps.digests.sha256(bytes), sha256);
  }
}

/** Where each block begins in the target. */
export function startsOfBlocks(manifest: DeltaManifest): readonly number[] {
  let at = 0;
  return manifest.blocks.map((block) => {
    at += block.targetLength;
    return at - block.targetLength;
  });
}

/** Bytes that are taken again and again, `most` at a time: made once, when they are first needed. */
class Scratch {
  readonly #most: number;
  #bytes: Uint8Array | undefined;

  constructor(most: number) {
    this.#most = most;
  }

  take(length: number): Uint8Array {
    this.#bytes ??= new Uint8Array(this.#most);
    return this.#bytes.subarray(0, length);
  }
}
