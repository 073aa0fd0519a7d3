import type { RandomAccess } from "../random-access.ts";
import { type ElementType, TRAITS } from "./element-types.ts";
import type { TensorPlace } from "./layout.ts";
import { ggufLayout } from "./layout-gguf.ts";
import { onnxLayout } from "./layout-onnx.ts";
import { safetensorsLayout } from "./layout-safetensors.ts";

/** Layout of a file of weights that describes itself: safetensors, GGUF or ONNX; empty for anything else. */
export function layoutOf(file: RandomAccess): readonly TensorPlace[] {
  return safetensorsLayout(file) ?? ggufLayout(file) ?? onnxLayout(file) ?? [];
}

/** A file of nothing but numbers of one type. */
export function rawLayout(type: ElementType, sizeBytes: number): readonly TensorPlace[] {
  const count = Math.floor(sizeBytes / TRAITS[type].widthBytes);
  return count === 0 ? [] : [{ name: "raw", type, shape: [count], offset: 0, count }];
}
