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
  /** Steps of a copy map that was made elsewhere (a native bsdiff); without it the map is made here. */
  readonly steps?: readonly CopyStep[] | undefined;
}
