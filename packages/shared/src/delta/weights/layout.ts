import type { ElementType } from "./element-types.ts";

/** Where a tensor's values lie in a file. */
export interface TensorPlace {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly count: number;
}

/** Most tensors that a layout may list; what comes after is coded as bytes. */
export const MAX_TENSORS = 50_000;

/** Values in a shape; undefined when it is no shape of a file (negative, broken, beyond 2^53). */
export function countOf(shape: readonly number[]): number | undefined {
  let count = 1;
  for (const side of shape) {
    if (!Number.isSafeInteger(side) || side < 0) return undefined;
    count *= side;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

/**
 * Columns of the matrix that a tensor is seen as: the cut of its shape that makes it most square. Filters then have
 * their output channels as columns (or rows), whose changes are alike in size.
 */
export function columnsOf(shape: readonly number[]): number {
  const count = countOf(shape) ?? 1;
  let best = { columns: count, skew: Number.POSITIVE_INFINITY };
  let columns = 1;
  for (let cut = shape.length - 1; cut > 0; cut--) {
    columns *= shape[cut] ?? 1;
    const rows = count / columns;
    if (columns < 2 || rows < 2) continue;
    const skew = columns > rows ? columns / rows : rows / columns;
    if (skew < best.skew) best = { columns, skew };
  }
  return Math.max(1, best.columns);
}

/** Keeps what lies inside the file, in order, none over another. */
export function tidyLayout(
  tensors: readonly TensorPlace[],
  sizeBytes: number,
  widthOf: (type: ElementType) => number,
): readonly TensorPlace[] {
  const kept: TensorPlace[] = [];
  let end = 0;
  for (const tensor of tensors.toSorted((a, b) => a.offset - b.offset)) {
    const length = tensor.count * widthOf(tensor.type);
    if (tensor.count === 0 || tensor.offset < end || tensor.offset + length > sizeBytes) continue;
    kept.push(tensor);
    end = tensor.offset + length;
    if (kept.length === MAX_TENSORS) break;
  }
  return kept;
}
