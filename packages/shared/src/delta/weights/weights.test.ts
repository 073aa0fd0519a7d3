import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteWriter } from "../bytes.ts";
import { BLOCK_BYTES, MAX_SEGMENTS } from "../limits.ts";
import { align, cutIntoBlocks } from "./align.ts";
import { ELEMENT_TYPES, type ElementType } from "./element-types.ts";
import { columnsOf, tidyLayout } from "./layout.ts";
import {
  byteLengthOf,
  decodeWeightsBlock,
  encodeWeightsBlock,
  SegmentCoders,
  type WeightsSegment,
} from "./weights-block.ts";

const SEED = 11;
const TYPES = Object.keys(ELEMENT_TYPES) as ElementType[];

function roundTrip(
  segments: readonly WeightsSegment[],
  base: Uint8Array,
  target: Uint8Array,
  profile: "fast" | "slow",
): { size: number; made: Uint8Array } {
  const payload = encodeWeightsBlock(segments, { base, target }, profile);
  const made = new Uint8Array(target.length);
  decodeWeightsBlock(payload, { base, target: made }, new SegmentCoders());
  return { size: payload.length, made };
}

test.each(["fast", "slow"] as const)(
  "any bits of any type come back exactly, NaN, infinities and negative zero included (%s)",
  (profile) => {
    const bytes = fc
      .uint8Array({ minLength: 8, maxLength: 480 })
      .map((a) => a.subarray(0, a.length - (a.length % 8)));
    fc.assert(
      fc.property(
        fc.tuple(
          bytes,
          bytes,
          fc.constantFrom(...TYPES),
          fc.integer({ min: 1, max: 40 }),
          fc.boolean(),
          fc.constantFrom("difference", "direct"),
        ),
        ([old, fresh, type, columns, sparse, kind]) => {
          const length = Math.min(old.length, fresh.length);
          const width = byteLengthOf({ type, count: 1 });
          const segment = {
            kind,
            type,
            count: length / width,
            columns,
            sparse,
            baseAt: 0,
          } as const;
          const target = fresh.subarray(0, length);
          expect(roundTrip([segment], old.subarray(0, length), target, profile).made).toEqual(
            target,
          );
        },
      ),
      { seed: SEED, numRuns: 40 },
    );
  },
);

test("special values next to ordinary ones come back exactly", () => {
  const old = Float32Array.of(0, -0, 1, Number.NaN, Number.POSITIVE_INFINITY, 1e-45, -1e-45, 3e38);
  const fresh = Float32Array.of(
    -0,
    0,
    Number.NaN,
    1,
    Number.NEGATIVE_INFINITY,
    -1e-45,
    1e-45,
    -3e38,
  );
  const segment = {
    kind: "difference",
    type: "f32",
    count: 8,
    columns: 4,
    sparse: false,
    baseAt: 0,
  } as const;
  const target = new Uint8Array(fresh.buffer);
  expect(roundTrip([segment], new Uint8Array(old.buffer), target, "slow").made).toEqual(target);
});

test("a small fine-tune codes to a fraction of what the weights are long", () => {
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  const old = Float32Array.from({ length: 16_384 }, random);
  const fresh = old.map((w) => w + random() * 1e-5);
  const segment = {
    kind: "difference",
    type: "f32",
    count: 16_384,
    columns: 128,
    sparse: false,
    baseAt: 0,
  } as const;
  const target = new Uint8Array(fresh.buffer);
  const { size, made } = roundTrip([segment], new Uint8Array(old.buffer), target, "fast");
  expect(made).toEqual(target);
  expect(size).toBeLessThan(old.byteLength * 0.35);
});

test("unchanged chunks of a sparse segment cost next to nothing", () => {
  const old = new Uint8Array(65_536).map((_, i) => i * 31);
  const fresh = old.with(40_000, 1);
  const segment = {
    kind: "difference",
    type: "i8",
    count: 65_536,
    columns: 256,
    sparse: true,
    baseAt: 0,
  } as const;
  expect(roundTrip([segment], old, fresh, "fast").size).toBeLessThan(60);
});

test.each([
  ["goes beyond the block", { count: 9, baseAt: 0, baseLength: 16 }, "beyond the block"],
  ["does not fill the block", { count: 7, baseAt: 0, baseLength: 8 }, "do not fill"],
  ["reads behind its base", { count: 8, baseAt: 1, baseLength: 8 }, "outside the block's base"],
])("a segment that %s is refused", (_, { count, baseAt, baseLength }, message) => {
  const segment = {
    kind: "difference",
    type: "u8",
    count,
    columns: 1,
    sparse: false,
    baseAt,
  } as const;
  const base = new Uint8Array(baseAt + count);
  const payload = encodeWeightsBlock([segment], { base, target: new Uint8Array(count) }, "fast");
  expect(() =>
    decodeWeightsBlock(
      payload,
      { base: new Uint8Array(baseLength), target: new Uint8Array(8) },
      new SegmentCoders(),
    ),
  ).toThrow(message);
});

test("tensors are aligned by name, else by type and shape, and gaps between them when they are as long", () => {
  const tensor = (name: string, offset: number, count: number) =>
    ({ name, type: "f32", shape: [count], offset, count }) as const;
  const old = {
    layout: [tensor("a", 4, 8), tensor("x", 36, 5), tensor("gone", 60, 9)],
    sizeBytes: 100,
  };
  const fresh = {
    layout: [tensor("y", 0, 5), tensor("a", 24, 8), tensor("new", 56, 3)],
    sizeBytes: 70,
  };
  const pieces = align(old, fresh).map(({ targetAt, count, baseAt, isGap }) => ({
    targetAt,
    count,
    baseAt,
    isGap,
  }));
  expect(pieces).toEqual([
    { targetAt: 0, count: 5, baseAt: 36, isGap: false },
    { targetAt: 20, count: 4, baseAt: undefined, isGap: true },
    { targetAt: 24, count: 8, baseAt: 4, isGap: false },
    { targetAt: 56, count: 3, baseAt: undefined, isGap: false },
    { targetAt: 68, count: 2, baseAt: undefined, isGap: true },
  ]);
});

test("blocks cover the file in order and none is longer than a decoder takes", () => {
  const layout = [
    { name: "big", type: "f32", shape: [3000, 1000], offset: 100, count: 3_000_000 } as const,
    {
      name: "flat",
      type: "f16",
      shape: [5_000_000],
      offset: 12_000_100,
      count: 5_000_000,
    } as const,
  ];
  const blocks = cutIntoBlocks(
    align({ layout: [], sizeBytes: 0 }, { layout, sizeBytes: 22_000_200 }),
    BLOCK_BYTES,
  );
  const lengths = blocks.map((b) => b.reduce((sum, p) => sum + byteLengthOf(p), 0));
  expect(Math.max(...lengths)).toBeLessThanOrEqual(BLOCK_BYTES);
  expect(lengths.reduce((a, b) => a + b, 0)).toBe(22_000_200);
});

test("a block has at most so many segments, whoever makes it: tiny tensors begin another", () => {
  const layout = Array.from(
    { length: MAX_SEGMENTS + 10 },
    (_, i) => ({ name: `t${i}`, type: "u8", shape: [1], offset: i, count: 1 }) as const,
  );
  const file = { layout, sizeBytes: layout.length };
  const blocks = cutIntoBlocks(align(file, file), BLOCK_BYTES);
  expect(blocks.map((b) => b.length)).toEqual([MAX_SEGMENTS, 10]);
  const segments = (count: number): WeightsSegment[] =>
    Array.from({ length: count }, (_, i) => ({
      kind: "same",
      type: "u8",
      count: 1,
      columns: 1,
      sparse: false,
      baseAt: i,
    }));
  const bytes = new Uint8Array(MAX_SEGMENTS + 1).map((_, i) => i);
  const most = bytes.subarray(0, MAX_SEGMENTS);
  expect(roundTrip(segments(MAX_SEGMENTS), bytes, most, "fast").made).toEqual(most);
  expect(() => roundTrip(segments(MAX_SEGMENTS + 1), bytes, bytes, "fast")).toThrow(
    "number of segments",
  );
});

test("a segment of 2^63 elements is refused", () => {
  const payload = new ByteWriter();
  for (const byte of [0, 1, 1 | (6 << 2), 128, 128, 128, 128, 128, 128, 128, 128, 128, 1])
    payload.u8(byte);
  const data = { base: new Uint8Array(8), target: new Uint8Array(8) };
  expect(() => decodeWeightsBlock(payload.view(), data, new SegmentCoders())).toThrow(
    "elements of a segment is longer than 8 bytes",
  );
});

test("a shape is cut to the matrix that is most square", () => {
  expect([[3, 3, 64, 64], [64, 64, 3, 3], [7], [], [1, 1, 512, 1024]].map(columnsOf)).toEqual([
    64, 576, 7, 1, 1024,
  ]);
});

test("tensors that overlap or leave the file are left out of a layout", () => {
  const tensor = (offset: number, count: number) =>
    ({ name: "t", type: "u8", shape: [count], offset, count }) as const;
  const kept = tidyLayout(
    [tensor(10, 10), tensor(15, 5), tensor(0, 10), tensor(20, 99)],
    30,
    () => 1,
  );
  expect(kept.map((t) => t.offset)).toEqual([0, 10]);
});
