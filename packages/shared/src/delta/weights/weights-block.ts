import { ByteReader, ByteWriter } from "../bytes.ts";
import { corrupt, unsupported } from "../errors.ts";
import { MAX_BLOCK_BASE_BYTES, MAX_BLOCK_BYTES, MAX_SEGMENTS } from "../limits.ts";
import { RangeDecoder, RangeEncoder } from "../range-coder.ts";
import type { WeightsProfile } from "./element-coder.ts";
import { ELEMENT_TYPES, type ElementType, elementTypeOf, TRAITS } from "./element-types.ts";
import { SegmentCoder } from "./segment-coder.ts";

/** How a segment is coded. The numbers stand in the format. */
export const SEGMENT_KINDS = { same: 0, difference: 1, direct: 2 } as const;
export type SegmentKind = keyof typeof SEGMENT_KINDS;

/** Segments follow each other in the target. */
export interface WeightsSegment {
  readonly kind: SegmentKind;
  readonly type: ElementType;
  readonly count: number;
  readonly columns: number;
  readonly sparse: boolean;
  /** Where the old values begin in the block's joined base. */
  readonly baseAt: number;
}

/** Coders that forget between blocks but keep their memory. */
export class SegmentCoders {
  readonly #coders = new Map<WeightsProfile, SegmentCoder>();

  fresh(profile: WeightsProfile): SegmentCoder {
    const known = this.#coders.get(profile);
    known?.reset();
    const coder = known ?? new SegmentCoder(profile);
    this.#coders.set(profile, coder);
    return coder;
  }
}

const PROFILES = { fast: 0, slow: 1 } as const;
const SPARSE = 0x80;

export function byteLengthOf(segment: { type: ElementType; count: number }): number {
  return segment.count * TRAITS[segment.type].widthBytes;
}

export function encodeWeightsBlock(
  segments: readonly WeightsSegment[],
  data: { readonly base: Uint8Array; readonly target: Uint8Array },
  profile: WeightsProfile,
): Uint8Array {
  const out = new ByteWriter(65_536);
  out.u8(PROFILES[profile]);
  out.varint(segments.length);
  let expected = 0;
  for (const segment of segments) expected = writeSegment(out, segment, expected);
  const coder = new RangeEncoder(65_536);
  codeSegments(new SegmentCoder(profile), segments, data, coder);
  out.bytes(coder.finish());
  return out.view().slice();
}

/** Fills `target`; every length is checked before a byte is made. */
export function decodeWeightsBlock(
  payload: Uint8Array,
  { base, target }: { readonly base: Uint8Array; readonly target: Uint8Array },
  coders: SegmentCoders,
): void {
  const reader = new ByteReader(payload);
  const number = reader.u8("profile");
  const profile = number === 0 ? "fast" : number === 1 ? "slow" : undefined;
  if (profile === undefined) throw unsupported(`profile ${number} of weights`);
  const count = reader.varint("number of segments", MAX_SEGMENTS);
  const segments: WeightsSegment[] = [];
  let expected = 0;
  let made = 0;
  for (let i = 0; i < count; i++) {
    const segment = readSegment(reader, { expected, baseLength: base.length });
    const length = byteLengthOf(segment);
    made += length;
    if (made > target.length) throw corrupt("segments go beyond the block");
    expected = segment.kind === "direct" ? expected : segment.baseAt + length;
    segments.push(segment);
  }
  if (made !== target.length) throw corrupt("segments do not fill the block");
  const coder = new RangeDecoder(reader.bytes(reader.remaining, "coded weights"));
  codeSegments(coders.fresh(profile), segments, { base, target }, coder);
}

function codeSegments(
  segmentCoder: SegmentCoder,
  segments: readonly WeightsSegment[],
  data: { readonly base: Uint8Array; readonly target: Uint8Array },
  coder: RangeEncoder | RangeDecoder,
): void {
  let at = 0;
  for (const segment of segments) {
    const length = byteLengthOf(segment);
    const target = data.target.subarray(at, at + length);
    const old =
      segment.kind === "direct"
        ? undefined
        : data.base.subarray(segment.baseAt, segment.baseAt + length);
    at += length;
    if (segment.kind === "same") target.set(old ?? target);
    else segmentCoder.code(coder, segment, { old, target }, coder instanceof RangeDecoder);
  }
}

/** Answers where the next segment's old values are expected. */
function writeSegment(out: ByteWriter, segment: WeightsSegment, expected: number): number {
  out.u8(
    SEGMENT_KINDS[segment.kind] |
      (ELEMENT_TYPES[segment.type] << 2) |
      (segment.sparse ? SPARSE : 0),
  );
  out.varint(segment.count);
  if (segment.kind !== "same") out.varint(segment.columns);
  if (segment.kind === "direct") return expected;
  out.signed(segment.baseAt - expected);
  return segment.baseAt + byteLengthOf(segment);
}

function readSegment(
  reader: ByteReader,
  of: { expected: number; baseLength: number },
): WeightsSegment {
  const byte = reader.u8("kind of a segment");
  const type = elementTypeOf((byte >> 2) & 31);
  const kind = (["same", "difference", "direct"] as const)[byte & 3];
  if (type === undefined || kind === undefined) throw unsupported(`segment kind ${byte}`);
  const count = reader.varint("elements of a segment", MAX_BLOCK_BYTES);
  const columns = kind === "same" ? 1 : reader.varint("columns of a segment", MAX_BLOCK_BYTES);
  if (count === 0 || columns === 0) throw corrupt("a segment is empty");
  const shape = { kind, type, count, columns, sparse: byte >= SPARSE };
  if (kind === "direct") return { ...shape, baseAt: 0 };
  const baseAt = of.expected + reader.signed("place of old values", MAX_BLOCK_BASE_BYTES);
  if (baseAt < 0 || baseAt + byteLengthOf(shape) > of.baseLength)
    throw corrupt("a segment's old values lie outside the block's base");
  return { ...shape, baseAt };
}
