import type { RandomAccess } from "../random-access.ts";
import type { ElementType } from "./element-types.ts";
import { countOf, MAX_TENSORS, type TensorPlace } from "./layout.ts";

/** TensorProto.DataType of those that are stored in raw_data as we know them. */
const TYPES: ReadonlyMap<number, ElementType> = new Map([
  [1, "f32"],
  [2, "u8"],
  [3, "i8"],
  [4, "i16"],
  [5, "i16"],
  [6, "i32"],
  [9, "u8"],
  [10, "f16"],
  [16, "bf16"],
]);

/** Messages that are walked into, by field number: ModelProto.graph (7), then nodes' attributes and subgraphs. */
type Message = "model" | "graph" | "node" | "attribute";
const INNER: Readonly<Record<Message, ReadonlyMap<number, Message | "tensor">>> = {
  model: new Map([[7, "graph"]]),
  graph: new Map<number, Message | "tensor">([
    [1, "node"],
    [5, "tensor"],
  ]),
  node: new Map([[5, "attribute"]]),
  attribute: new Map<number, Message | "tensor">([
    [5, "tensor"],
    [6, "graph"],
  ]),
};
const MAX_DEPTH = 24;
/** Most fields that are looked at: a file of nothing but empty fields ends here. */
const MAX_FIELDS = 4_000_000;

interface Field {
  readonly number: number;
  /** Where the content begins and ends; a number's value is in `value`. */
  readonly start: number;
  readonly end: number;
  readonly value: number;
}

/** Walks an ONNX model as protobuf, reading only heads of fields; undefined when it does not look like one. */
export function onnxLayout(file: RandomAccess): readonly TensorPlace[] | undefined {
  const walk = new Walk(file);
  return walk.message("model", 0, { end: file.size, depth: 0 }) && walk.places.length > 0
    ? walk.places
    : undefined;
}

class Walk {
  readonly places: TensorPlace[] = [];
  readonly #file: RandomAccess;
  #fields = 0;
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;

  constructor(file: RandomAccess) {
    this.#file = file;
  }

  /** False when the bytes are no message. */
  message(kind: Message, start: number, { end, depth }: { end: number; depth: number }): boolean {
    if (depth > MAX_DEPTH) return false;
    let at = start;
    while (at < end) {
      const field = this.#field(at, end);
      if (field === undefined) return false;
      const inner = INNER[kind].get(field.number);
      if (inner === "tensor") this.#tensor(field.start, field.end);
      else if (inner !== undefined && field.end > field.start)
        if (!this.message(inner, field.start, { end: field.end, depth: depth + 1 })) return false;
      at = field.end;
      if (this.places.length >= MAX_TENSORS) return true;
    }
    return true;
  }

  #tensor(start: number, end: number): void {
    const shape: number[] = [];
    let type = 0;
    let name = "";
    let raw: Field | undefined;
    for (let at = start; at < end; ) {
      const field = this.#field(at, end);
      if (field === undefined) return;
      if (field.number === 1) this.#dimensions(field, shape);
      else if (field.number === 2) type = field.value;
      else if (field.number === 8 && field.end - field.start < 4096)
        name = new TextDecoder().decode(this.#bytes(field.start, field.end - field.start));
      else if (field.number === 9) raw = field;
      else if (field.number === 4 && raw === undefined) raw = field;
      at = field.end;
    }
    const element = TYPES.get(type);
    const count = countOf(shape);
    if (raw === undefined || element === undefined || count === undefined) return;
    // Packed float_data has the same bytes as raw_data; other typed fields are numbers of varying length.
    if (raw.number === 4 && element !== "f32") return;
    this.places.push({ name, type: element, shape, offset: raw.start, count });
  }

  /** dims: one number a field, or packed. */
  #dimensions(field: Field, shape: number[]): void {
    if (field.end === field.start || field.value >= 0) {
      shape.push(field.value);
      return;
    }
    for (let at = field.start; at < field.end && shape.length < 32; ) {
      const number = this.#varint(at, field.end);
      if (number === undefined) return;
      shape.push(number.value);
      at = number.next;
    }
  }

  #field(at: number, end: number): Field | undefined {
    if (++this.#fields > MAX_FIELDS) return undefined;
    const key = this.#varint(at, end);
    if (key === undefined || key.value < 8) return undefined;
    const number = Math.floor(key.value / 8);
    const wire = key.value % 8;
    const start = key.next;
    if (wire === 0) {
      const value = this.#varint(start, end);
      return value && { number, start, end: value.next, value: value.value };
    }
    if (wire === 1 || wire === 5) {
      const next = start + (wire === 1 ? 8 : 4);
      return next > end ? undefined : { number, start, end: next, value: -1 };
    }
    const length = wire === 2 ? this.#varint(start, end) : undefined;
    if (length === undefined || length.value > end - length.next) return undefined;
    return { number, start: length.next, end: length.next + length.value, value: -1 };
  }

  #varint(at: number, end: number): { value: number; next: number } | undefined {
    const bytes = this.#bytes(at, Math.min(10, end - at));
    let value = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] ?? 0;
      value += (byte & 127) * 2 ** (7 * i);
      if (byte < 128) return { value, next: at + i + 1 };
    }
    return undefined;
  }

  #bytes(at: number, length: number): Uint8Array {
    const inside = at - this.#windowStart;
    if (inside < 0 || inside + length > this.#window.length) {
      this.#windowStart = at;
      this.#window = this.#file.read(at, Math.min(Math.max(length, 4096), this.#file.size - at));
      return this.#window.subarray(0, length);
    }
    return this.#window.subarray(inside, inside + length);
  }
}
