/**
 * Elements of columns that exist; NaN, which fits nowhere, for one that does not. One reader for each kind of array: a
 * shared one would see several kinds and be several times slower.
 */
export function f64(column: Float64Array, index: number): number {
  return column[index] ?? Number.NaN;
}

export function f32(column: Float32Array, index: number): number {
  return column[index] ?? Number.NaN;
}

export function i32(column: Int32Array, index: number): number {
  return column[index] ?? Number.NaN;
}

export function i16(column: Int16Array, index: number): number {
  return column[index] ?? Number.NaN;
}
