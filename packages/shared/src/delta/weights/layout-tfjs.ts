import type { ElementType } from "./element-types.ts";
import { TRAITS } from "./element-types.ts";
import { countOf, type TensorPlace } from "./layout.ts";

const TYPES: Readonly<Record<string, ElementType>> = {
  float32: "f32",
  int32: "i32",
  float16: "f16",
  uint16: "i16",
  uint8: "u8",
  bool: "u8",
};

/**
 * Layout of one weight file of a tfjs model: `model` is the text of its model.json, `fileName` the name by which the
 * manifest calls the file. Undefined when the model has no such file or more than one file in its group.
 */
export function tfjsLayout(model: string, fileName: string): readonly TensorPlace[] | undefined {
  const groups = groupsOf(model);
  const group = groups?.find((g) => g.paths.length === 1 && g.paths[0] === fileName);
  if (group === undefined) return undefined;
  const places: TensorPlace[] = [];
  let offset = 0;
  for (const weight of group.weights) {
    const place = placeOf(weight, offset);
    // Strings and complex numbers have no fixed length: nothing after them can be placed.
    if (place === undefined) break;
    places.push(place);
    offset += place.count * TRAITS[place.type].widthBytes;
  }
  return places;
}

interface Group {
  readonly paths: readonly unknown[];
  readonly weights: readonly unknown[];
}

function groupsOf(model: string): readonly Group[] | undefined {
  try {
    const value: unknown = JSON.parse(model);
    const groups = (value as { weightsManifest?: unknown } | null)?.weightsManifest;
    return Array.isArray(groups) ? groups.filter(isGroup) : undefined;
  } catch {
    return undefined;
  }
}

function isGroup(value: unknown): value is Group {
  const group = value as { paths?: unknown; weights?: unknown } | null;
  return Array.isArray(group?.paths) && Array.isArray(group.weights);
}

function placeOf(weight: unknown, offset: number): TensorPlace | undefined {
  if (typeof weight !== "object" || weight === null) return undefined;
  const { name, shape, dtype, quantization } = weight as Record<string, unknown>;
  const stored = (quantization as { dtype?: unknown } | undefined)?.dtype ?? dtype;
  const type = typeof stored === "string" ? TYPES[stored] : undefined;
  if (type === undefined || !Array.isArray(shape)) return undefined;
  const sides = shape.map(Number);
  const count = countOf(sides);
  return count === undefined
    ? undefined
    : { name: String(name), type, shape: sides, offset, count };
}
