import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteWriter } from "../bytes.ts";
import { inMemory } from "../random-access.ts";
import { layoutOf, rawLayout } from "./detect.ts";
import { ggufLayout } from "./layout-gguf.ts";
import { onnxLayout } from "./layout-onnx.ts";
import { safetensorsLayout } from "./layout-safetensors.ts";
import { tfjsLayout } from "./layout-tfjs.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function safetensors(header: unknown, dataLength: number): Uint8Array {
  const json = text(JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

/** A protobuf field of bytes. */
function field(number: number, content: Uint8Array): Uint8Array {
  const out = new ByteWriter();
  out.varint(number * 8 + 2);
  out.blob(content);
  return out.view().slice();
}

function number(fieldNumber: number, value: number): Uint8Array {
  const out = new ByteWriter();
  out.varint(fieldNumber * 8);
  out.varint(value);
  return out.view().slice();
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new ByteWriter();
  for (const part of parts) out.bytes(part);
  return out.view().slice();
}

function onnx(): Uint8Array {
  const tensor = joined(
    number(1, 2),
    number(1, 3),
    number(2, 1),
    field(8, text("w")),
    field(9, new Uint8Array(24)),
  );
  const inner = joined(
    field(1, joined(number(1, 4), number(2, 10), field(8, text("c")), field(9, new Uint8Array(8)))),
  );
  const attribute = field(5, joined(field(1, text("value")), field(5, inner.subarray(2))));
  return joined(
    number(1, 8),
    field(2, text("maker")),
    field(7, joined(field(1, attribute), field(5, tensor))),
  );
}

function gguf(): Uint8Array {
  const out = new ByteWriter();
  const word = (value: number): void => {
    for (let i = 0; i < 4; i++) out.u8((value >>> (8 * i)) & 255);
  };
  const long = (value: number): void => {
    word(value);
    word(0);
  };
  const string = (value: string): void => {
    long(value.length);
    out.bytes(text(value));
  };
  word(0x46554747);
  word(3);
  long(2);
  long(2);
  string("general.alignment");
  word(4);
  word(16);
  string("tokens");
  word(9);
  word(8);
  long(2);
  string("a");
  string("bc");
  for (const [name, type, offset] of [
    ["half", 1, 0],
    ["packed", 2, 32],
  ] as const) {
    string(name);
    word(2);
    long(32);
    long(2);
    word(type);
    long(offset);
  }
  return joined(out.view(), new Uint8Array(400));
}

test("safetensors: tensors lie behind the header", () => {
  const header = {
    __metadata__: { format: "pt" },
    w: { dtype: "BF16", shape: [2, 3], data_offsets: [4, 16] },
  };
  const bytes = safetensors(header, 16);
  expect(safetensorsLayout(inMemory(bytes))).toEqual([
    { name: "w", type: "bf16", shape: [2, 3], offset: bytes.length - 12, count: 6 },
  ]);
});

test("ONNX: initializers are found, and tensors in attributes of nodes", () => {
  const layout = onnxLayout(inMemory(onnx()));
  expect(layout?.map(({ name, type, shape }) => ({ name, type, shape }))).toContainEqual({
    name: "w",
    type: "f32",
    shape: [2, 3],
  });
});

test("GGUF: plain types by element, packed ones by block", () => {
  const bytes = gguf();
  const layout = ggufLayout(inMemory(bytes));
  const start = Math.ceil((bytes.length - 400) / 16) * 16;
  expect(layout).toEqual([
    { name: "half", type: "f16", shape: [2, 32], offset: start, count: 64 },
    { name: "packed", type: "u8", shape: [2, 18], offset: start + 32, count: 36 },
  ]);
});

test("tfjs: weights lie in the order of the manifest, in the type that they are stored in", () => {
  const weights = [
    { name: "a", shape: [2, 2], dtype: "float32", quantization: { dtype: "float16" } },
    { name: "b", shape: [3], dtype: "int32" },
    { name: "c", shape: [], dtype: "string" },
    { name: "d", shape: [1], dtype: "float32" },
  ];
  const model = JSON.stringify({ weightsManifest: [{ paths: ["m.bin"], weights }] });
  expect(tfjsLayout(model, "m.bin")).toEqual([
    { name: "a", type: "f16", shape: [2, 2], offset: 0, count: 4 },
    { name: "b", type: "i32", shape: [3], offset: 8, count: 3 },
  ]);
  expect(tfjsLayout(model, "other.bin")).toBeUndefined();
});

test("raw numbers fill the file", () => {
  expect(rawLayout("f32", 11)).toEqual([
    { name: "raw", type: "f32", shape: [2], offset: 0, count: 2 },
  ]);
});

test("damaged heads never throw: the file then holds no weights that are known", () => {
  const good = [
    safetensors({ w: { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, 4),
    onnx(),
    gguf(),
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...good),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
      fc.nat(),
      (bytes, changes, cut) => {
        const altered = Uint8Array.from(
          bytes.subarray(0, cut % (bytes.length + 1) || bytes.length),
        );
        for (const [at, value] of changes) altered[at % altered.length] = value;
        expect(Array.isArray(layoutOf(inMemory(altered)))).toBe(true);
      },
    ),
    { seed: 3, numRuns: 2000 },
  );
});
