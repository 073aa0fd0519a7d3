import { RangeEncoder } from "../range-coder.ts";
import type { AlignedPiece } from "./align.ts";
import { TRAITS } from "./element-types.ts";
import { SegmentCoder } from "./segment-coder.ts";
import { byteLengthOf, type WeightsSegment } from "./weights-block.ts";

/** Elements of which a trial is made. */
const TRIAL_ELEMENTS = 8192;
/** A segment with this share of unchanged bytes tells unchanged chunks by a bit. */
const SPARSE_SHARE = 0.97;

/** Turns aligned pieces into segments: what is unchanged, what differs a little, and what was trained anew. */
export class SegmentChooser {
  /** Made once: its tables are worth more than a trial. */
  #trial: SegmentCoder | undefined;

  segmentOf(
    piece: AlignedPiece,
    data: { readonly old: Uint8Array | undefined; readonly target: Uint8Array },
    baseAt: number,
  ): WeightsSegment {
    const { type, count, columns } = piece;
    const { old, target } = data;
    if (old === undefined)
      return { kind: "direct", type, count, columns, sparse: false, baseAt: 0 };
    const same = sameCount(old, target);
    if (same === target.length)
      return { kind: "same", type, count, columns, sparse: false, baseAt };
    const sparse = same > SPARSE_SHARE * target.length;
    const difference = { kind: "difference", type, count, columns, sparse, baseAt } as const;
    if (sparse || TRAITS[type].exponentBits === 0 || !this.#anew(piece, old, target))
      return difference;
    return { kind: "direct", type, count, columns, sparse: false, baseAt: 0 };
  }

  /** True when the values code shorter without the old ones. */
  #anew(piece: AlignedPiece, old: Uint8Array, target: Uint8Array): boolean {
    const count = Math.min(piece.count, TRIAL_ELEMENTS);
    const length = byteLengthOf({ type: piece.type, count });
    const shape = {
      type: piece.type,
      count,
      columns: Math.min(piece.columns, count),
      sparse: false,
    };
    const sizeWith = (base: Uint8Array | undefined): number => {
      const coder = new RangeEncoder(65_536);
      this.#trial ??= new SegmentCoder("fast");
      this.#trial.reset();
      this.#trial.code(coder, shape, { old: base, target: target.subarray(0, length) }, false);
      return coder.finish().length;
    };
    return sizeWith(undefined) < sizeWith(old.subarray(0, length));
  }
}

function sameCount(a: Uint8Array, b: Uint8Array): number {
  let same = 0;
  for (let i = 0; i < a.length; i++) if (a[i] === b[i]) same += 1;
  return same;
}
