import { TRAITS } from "@flotilla/shared/delta/weights/element-types";
import { columnsOf, type TensorPlace } from "@flotilla/shared/delta/weights/layout";
import type { Layouts } from "./layouts.ts";
import type { Files } from "./manifest.ts";

/** What a release would cost that is defined as its base plus a coarse update: an estimate, nothing is written. */
export interface NativeEstimate {
  readonly bytes: number;
  readonly bitsPerWeight: number;
  /** Length of what the update loses over length of the update, 0 … 1. */
  readonly relativeError: number;
}

/** A step of each column is sent as a float. */
const STEP_BYTES = 4;

/**
 * Rounds the update of every fp32 tensor to multiples of `share` times its root mean square in each column (output
 * channel) and counts the entropy of the multiples. What is no fp32 tensor of both files is left out.
 */
export function nativeEstimate(files: Files, layouts: Layouts, share: number): NativeEstimate {
  const old = new Map(layouts.old.map((t) => [t.name, t]));
  const counts = new Map<number, number>();
  let [steps, weights, lost, moved] = [0, 0, 0, 0];
  for (const tensor of layouts.new) {
    const twin = old.get(tensor.name);
    if (tensor.type !== "f32" || twin?.count !== tensor.count) continue;
    const wide = columnsOf(tensor.shape);
    // A vector is one column: a step for each of its values would be the values themselves.
    const columns = wide < tensor.count ? wide : 1;
    const before = valuesOf(files.old, twin);
    const update = valuesOf(files.new, tensor).map((w, i) => w - (before[i] ?? 0));
    const step = stepsOf(update, columns, share);
    steps += columns;
    weights += update.length;
    update.forEach((u, i) => {
      const size = step[i % columns] ?? 0;
      const multiple = size === 0 ? 0 : Math.round(u / size);
      counts.set(multiple, (counts.get(multiple) ?? 0) + 1);
      moved += u * u;
      lost += (u - multiple * size) ** 2;
    });
  }
  const bits = [...counts.values()].reduce((sum, n) => sum - n * Math.log2(n / weights), 0);
  return {
    bytes: Math.ceil(bits / 8) + steps * STEP_BYTES,
    bitsPerWeight: bits / weights,
    relativeError: Math.sqrt(lost / moved),
  };
}

function valuesOf(file: Buffer, tensor: TensorPlace): Float32Array {
  const length = tensor.count * TRAITS.f32.widthBytes;
  return new Float32Array(
    Uint8Array.from(file.subarray(tensor.offset, tensor.offset + length)).buffer,
  );
}

function stepsOf(update: Float32Array, columns: number, share: number): Float64Array {
  const squares = new Float64Array(columns);
  update.forEach((u, i) => {
    squares[i % columns] = (squares[i % columns] ?? 0) + u * u;
  });
  return squares.map((sum) => share * Math.sqrt(sum / (update.length / columns)));
}
