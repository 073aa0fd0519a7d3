import type { Compressor } from "./compressor.ts";
import type { Digests } from "./digest.ts";
import type { BaseRange, BlockCodec } from "./envelope.ts";
import type { CopyStep } from "./program/matcher.ts";
import type { RandomAccess } from "./random-access.ts";
import type { WeightsProfile } from "./weights/element-coder.ts";
import type { TensorPlace } from "./weights/layout.ts";

/** A coded block: what a delta's payload is made of. */
export interface CodedBlock {
  readonly codec: BlockCodec;
  readonly payload: Uint8Array;
  readonly ranges: readonly BaseRange[];
}

/** What encoding needs besides the files. */
export interface EncodeDeps {
  readonly compressor: Compressor;
  readonly digests: Digests;
}

/** What an encoder asks of a bsdiff that runs elsewhere: what does the target of this window take from its base? */
export interface DiffQuestion {
  readonly base: Uint8Array;
  readonly target: Uint8Array;
}

/** Steps that cover the target and stay inside the base; undefined when there is no bsdiff here. */
export type DiffAnswer = readonly CopyStep[] | undefined;

/** Work that now and then asks a question and goes on with the answer: pure code need not know who answers, or when. */
export type Asking<Result> = Generator<DiffQuestion, Result, DiffAnswer>;

export interface EncodeInput {
  /** Undefined: a full file is made. */
  readonly base: RandomAccess | undefined;
  readonly target: RandomAccess;
  /** Where weights lie in both; empty for what holds none. */
  readonly layouts: { readonly old: readonly TensorPlace[]; readonly new: readonly TensorPlace[] };
  /** `slow` is for metered links: smaller, several times the work on both sides. */
  readonly profile: WeightsProfile;
  /** Memory above the runtime that the decoder may take, bytes: blocks and codecs are chosen so that it does; where none can, the one that takes least. Undefined: no limit. */
  readonly memoryBytesMax?: number | undefined;
  /** Only these codecs may be chosen (`stored` always may): what each of them is worth alone. Undefined: all. */
  readonly codecs?: readonly BlockCodec[] | undefined;
  /** Steps of a copy map that was made elsewhere (a native bsdiff); without it the map is made here. */
  readonly steps?: readonly CopyStep[] | undefined;
}
