import { MAX_SEGMENTS } from "../limits.ts";
import { TRAITS } from "./element-types.ts";
import { columnsOf, type TensorPlace } from "./layout.ts";
import { MAX_COLUMNS } from "./segment-coder.ts";
import { byteLengthOf, type WeightsSegment } from "./weights-block.ts";

/** A stretch of the target with the place of its old values in the base, when it has any. */
export interface AlignedPiece extends Omit<WeightsSegment, "kind" | "sparse" | "baseAt"> {
  readonly targetAt: number;
  readonly baseAt: number | undefined;
  /** Bytes between tensors. */
  readonly isGap: boolean;
}

interface Side {
  readonly layout: readonly TensorPlace[];
  readonly sizeBytes: number;
}

/**
 * Lays the tensors of two files beside each other: by name, else in order among those of one type and shape. What lies
 * between tensors is aligned when it is as long as what lay before the same tensor.
 */
export function align(old: Side, target: Side): readonly AlignedPiece[] {
  const twins = twinsOf(old.layout, target.layout);
  const pieces: AlignedPiece[] = [];
  let end = 0;
  let oldEnd: number | undefined = 0;
  for (const tensor of target.layout) {
    const twin = twins.get(tensor);
    gap(pieces, { from: end, to: tensor.offset, oldFrom: oldEnd, oldTo: twin?.offset });
    pieces.push({
      targetAt: tensor.offset,
      type: tensor.type,
      count: tensor.count,
      columns: Math.min(MAX_COLUMNS, columnsOf(tensor.shape)),
      baseAt: twin?.offset,
      isGap: false,
    });
    end = tensor.offset + byteLengthOf(tensor);
    oldEnd = twin && twin.offset + byteLengthOf(twin);
  }
  gap(pieces, { from: end, to: target.sizeBytes, oldFrom: oldEnd, oldTo: old.sizeBytes });
  return pieces;
}

function twinsOf(
  old: readonly TensorPlace[],
  target: readonly TensorPlace[],
): ReadonlyMap<TensorPlace, TensorPlace> {
  const kindOf = (t: TensorPlace): string => `${t.type} ${t.shape.join("x")}`;
  const named = new Map(old.map((t) => [`${kindOf(t)} ${t.name}`, t]));
  const twins = new Map<TensorPlace, TensorPlace>();
  for (const tensor of target) {
    const key = `${kindOf(tensor)} ${tensor.name}`;
    const twin = named.get(key);
    if (twin === undefined) continue;
    twins.set(tensor, twin);
    // A name that stands twice names nothing the second time.
    named.delete(key);
  }
  const taken = new Set(twins.values());
  const rest = Map.groupBy(
    old.filter((t) => !taken.has(t)),
    kindOf,
  );
  for (const tensor of target) {
    const twin = twins.has(tensor) ? undefined : rest.get(kindOf(tensor))?.shift();
    if (twin !== undefined) twins.set(tensor, twin);
  }
  return twins;
}

function gap(
  pieces: AlignedPiece[],
  at: { from: number; to: number; oldFrom: number | undefined; oldTo: number | undefined },
): void {
  const count = at.to - at.from;
  if (count === 0) return;
  const same =
    at.oldFrom !== undefined && at.oldTo !== undefined && at.oldTo - at.oldFrom === count;
  // A gap whose begin is known may still be as long as before, when the next tensor is new.
  pieces.push({
    targetAt: at.from,
    type: "u8",
    count,
    columns: count,
    baseAt: same ? at.oldFrom : undefined,
    isGap: true,
  });
}

/** Unaligned gaps longer than this are no weights: they become blocks of their own. */
export const MAX_CODED_GAP_BYTES = 512;

/** Cuts pieces at block borders and where a block has as many segments as it may, tensors at whole rows where these are short; a long unaligned gap stands alone. */
export function cutIntoBlocks(
  pieces: readonly AlignedPiece[],
  blockBytes: number,
): readonly (readonly AlignedPiece[])[] {
  const blocks: AlignedPiece[][] = [];
  let current: AlignedPiece[] = [];
  let length = 0;
  const flush = (): void => {
    if (current.length > 0) blocks.push(current);
    current = [];
    length = 0;
  };
  for (const piece of pieces) {
    const alone = piece.isGap && piece.baseAt === undefined && piece.count > MAX_CODED_GAP_BYTES;
    if (alone) flush();
    for (const part of partsOf(piece, blockBytes)) {
      const bytes = byteLengthOf(part);
      if (length + bytes > blockBytes || current.length === MAX_SEGMENTS) flush();
      current.push(part);
      length += bytes;
      if (alone) flush();
    }
  }
  flush();
  return blocks;
}

function partsOf(piece: AlignedPiece, blockBytes: number): readonly AlignedPiece[] {
  const width = TRAITS[piece.type].widthBytes;
  const room = blockBytes / width;
  const columns = Math.min(piece.columns, piece.count);
  const step = columns <= room / 16 ? Math.floor(room / columns) * columns : room;
  const parts: AlignedPiece[] = [];
  for (let at = 0; at < piece.count; at += step)
    parts.push({
      ...piece,
      targetAt: piece.targetAt + at * width,
      count: Math.min(step, piece.count - at),
      columns: Math.min(columns, MAX_COLUMNS),
      baseAt: piece.baseAt === undefined ? undefined : piece.baseAt + at * width,
    });
  return parts;
}
