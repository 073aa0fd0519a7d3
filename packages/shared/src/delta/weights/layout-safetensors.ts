import type { RandomAccess } from "../random-access.ts";
import type { ElementType } from "./element-types.ts";
import { countOf, type TensorPlace } from "./layout.ts";

const TYPES: Readonly<Record<string, ElementType>> = {
  F32: "f32",
  F16: "f16",
  BF16: "bf16",
  I32: "i32",
  U32: "i32",
  I16: "i16",
  U16: "i16",
  I8: "i8",
  U8: "u8",
  F8_E4M3: "u8",
  F8_E5M2: "u8",
  BOOL: "u8",
};

/** Largest header that is read, bytes. */
const MAX_HEADER_BYTES = 32 * 1024 * 1024;

/** Reads the header of a safetensors file; undefined when it is none. */
export function safetensorsLayout(file: RandomAccess): readonly TensorPlace[] | undefined {
  if (file.size < 10) return undefined;
  const head = file.read(0, 9);
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES || length + 8 > file.size || head[8] !== 0x7b) return undefined;
  const header = parse(file.read(8, length));
  if (header === undefined) return undefined;
  return Object.entries(header).flatMap(([name, entry]) => placeOf(name, entry, 8 + length));
}

function parse(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function placeOf(name: string, entry: unknown, dataStart: number): readonly TensorPlace[] {
  if (typeof entry !== "object" || entry === null) return [];
  const { dtype, shape, data_offsets } = entry as Record<string, unknown>;
  const type = typeof dtype === "string" ? TYPES[dtype] : undefined;
  if (type === undefined || !numbers(shape) || !numbers(data_offsets)) return [];
  const count = countOf(shape);
  const offset = data_offsets[0];
  if (count === undefined || offset === undefined || !Number.isSafeInteger(offset) || offset < 0)
    return [];
  return [{ name, type, shape, offset: dataStart + offset, count }];
}

function numbers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((v) => typeof v === "number");
}
