import { inMemory } from "@flotilla/shared/delta/random-access";
import { layoutOf, rawLayout } from "@flotilla/shared/delta/weights/detect";
import { type ElementType, TRAITS } from "@flotilla/shared/delta/weights/element-types";
import type { TensorPlace } from "@flotilla/shared/delta/weights/layout";
import { tfjsLayout } from "@flotilla/shared/delta/weights/layout-tfjs";
import type { Files, Pair } from "./manifest.ts";

export interface Layouts {
  readonly old: readonly TensorPlace[];
  readonly new: readonly TensorPlace[];
}

const TYPES: Readonly<Record<string, ElementType>> = {
  fp32: "f32",
  fp16: "f16",
  bf16: "bf16",
  int8: "i8",
};

/** Where weights lie in the files of a pair: what the files say themselves, a model.json, or the manifest's type. */
export function layoutsOf(pair: Pair, files: Files): Layouts {
  const own = { old: layoutOf(inMemory(files.old)), new: layoutOf(inMemory(files.new)) };
  if (own.new.length > 0) return own;
  const type = pair.dtype === undefined ? undefined : TYPES[pair.dtype];
  if (type === undefined) return { old: [], new: [] };
  return {
    old: ofModel(files.oldModel, type, files.old.length) ?? rawLayout(type, files.old.length),
    new: ofModel(files.newModel, type, files.new.length) ?? rawLayout(type, files.new.length),
  };
}

function ofModel(
  model: string | undefined,
  type: ElementType,
  sizeBytes: number,
): readonly TensorPlace[] | undefined {
  const name = model && firstFileOf(model);
  const stored = name && model ? tfjsLayout(model, name) : undefined;
  if (stored === undefined) return undefined;
  const end = stored.reduce((sum, t) => sum + t.count * TRAITS[t.type].widthBytes, 0);
  // The model describes this very file, or the one that it was converted from.
  if (end === sizeBytes) return stored;
  return type === "i8" ? quantised(stored, sizeBytes) : converted(stored, type);
}

function firstFileOf(model: string): string | undefined {
  const value = JSON.parse(model) as { weightsManifest?: readonly { paths?: readonly string[] }[] };
  return value.weightsManifest?.[0]?.paths?.[0];
}

/** The floats of a model in another type, whole numbers dropped. */
function converted(stored: readonly TensorPlace[], type: ElementType): readonly TensorPlace[] {
  let offset = 0;
  return stored
    .filter((t) => t.type === "f32")
    .map((t) => {
      const place = { ...t, type, offset };
      offset += t.count * TRAITS[type].widthBytes;
      return place;
    });
}

/** Matrices and filters as int8, then all else as float32. */
function quantised(stored: readonly TensorPlace[], sizeBytes: number): readonly TensorPlace[] {
  const matrices = converted(
    stored.filter((t) => t.shape.length >= 2),
    "i8",
  );
  const end = matrices.reduce((sum, t) => sum + t.count, 0);
  const count = Math.floor((sizeBytes - end) / 4);
  return count <= 0
    ? matrices
    : [...matrices, { name: "scales", type: "f32", shape: [count], offset: end, count }];
}
