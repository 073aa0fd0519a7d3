import type { RandomAccess } from "../random-access.ts";
import type { ElementType } from "./element-types.ts";
import { countOf, MAX_TENSORS, type TensorPlace } from "./layout.ts";

/** ggml types with one number per element; packed ones are placed as bytes. */
const TYPES: ReadonlyMap<number, ElementType> = new Map([
  [0, "f32"],
  [1, "f16"],
  [24, "i8"],
  [25, "i16"],
  [26, "i32"],
  [30, "bf16"],
]);

/** Elements and bytes of one packed block, by ggml type: q4_0 … q8_K. */
const PACKED: ReadonlyMap<number, readonly [elements: number, bytes: number]> = new Map([
  [2, [32, 18]],
  [3, [32, 20]],
  [6, [32, 22]],
  [7, [32, 24]],
  [8, [32, 34]],
  [10, [256, 84]],
  [11, [256, 110]],
  [12, [256, 144]],
  [13, [256, 176]],
  [14, [256, 210]],
  [15, [256, 292]],
]);

const SCALAR_BYTES: readonly number[] = [1, 1, 2, 2, 4, 4, 4, 1, -1, -1, 8, 8, 8];
const STRING = 8;
const ARRAY = 9;
/** Largest head that is read, bytes: vocabularies lie in it. */
const MAX_HEAD_BYTES = 64 * 1024 * 1024;

/** Reads the head of a GGUF file (version 2 or 3, little endian); undefined when it is none. */
export function ggufLayout(file: RandomAccess): readonly TensorPlace[] | undefined {
  if (file.size < 24) return undefined;
  const cursor = new Cursor(file.read(0, Math.min(file.size, MAX_HEAD_BYTES)));
  try {
    if (cursor.u32() !== 0x46554747) return undefined;
    const version = cursor.u32();
    if (version !== 2 && version !== 3) return undefined;
    const tensors = cursor.u64(MAX_TENSORS);
    const pairs = cursor.u64(1_000_000);
    let alignment = 32;
    for (let i = 0; i < pairs; i++) {
      const key = cursor.text();
      const type = cursor.u32();
      if (key === "general.alignment" && type === 4) alignment = cursor.u32();
      else cursor.skipValue(type, 0);
    }
    const places = Array.from({ length: tensors }, () => tensorOf(cursor));
    const start = Math.ceil(cursor.at / alignment) * alignment;
    return places.flatMap((p) => (p === undefined ? [] : [{ ...p, offset: start + p.offset }]));
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function tensorOf(cursor: Cursor): TensorPlace | undefined {
  const name = cursor.text();
  // The first side is the fastest: rows and columns as elsewhere are the other way round.
  const shape = Array.from({ length: Math.min(8, cursor.u32()) }, () =>
    cursor.u64(2 ** 40),
  ).toReversed();
  const number = cursor.u32();
  const offset = cursor.u64(Number.MAX_SAFE_INTEGER);
  const count = countOf(shape);
  if (count === undefined) return undefined;
  const type = TYPES.get(number);
  if (type !== undefined) return { name, type, shape, offset, count };
  const packed = PACKED.get(number);
  if (packed === undefined) return undefined;
  const blocks = Math.floor(count / packed[0]);
  return { name, type: "u8", shape: [blocks, packed[1]], offset, count: blocks * packed[1] };
}

/** Reads little-endian values; running over the end throws RangeError, as DataView does. */
class Cursor {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u32(): number {
    this.at += 4;
    return this.#view.getUint32(this.at - 4, true);
  }

  u64(max: number): number {
    this.at += 8;
    const value = Number(this.#view.getBigUint64(this.at - 8, true));
    if (value > max) throw new RangeError(`${value} is too large`);
    return value;
  }

  text(): string {
    const length = this.u64(this.#bytes.length - this.at);
    this.#skip(length);
    return new TextDecoder().decode(this.#bytes.subarray(this.at - length, this.at));
  }

  skipValue(type: number, depth: number): void {
    if (type === STRING) this.#skip(this.u64(this.#bytes.length - this.at));
    else if (type === ARRAY) {
      const inner = this.u32();
      const count = this.u64(this.#bytes.length);
      const width = SCALAR_BYTES[inner] ?? -1;
      if (width > 0) this.#skip(width * count);
      else {
        if (depth > 4) throw new RangeError("arrays lie too deep");
        for (let i = 0; i < count; i++) this.skipValue(inner, depth + 1);
      }
    } else {
      const width = SCALAR_BYTES[type] ?? -1;
      if (width < 0) throw new RangeError(`value type ${type} is unknown`);
      this.#skip(width);
    }
  }

  #skip(length: number): void {
    this.at += length;
    if (this.at > this.#bytes.length) throw new RangeError("the head is cut off");
  }
}
