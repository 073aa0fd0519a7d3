import fc from "fast-check";
import { expect, test } from "vitest";
import { BitModel } from "./adaptive.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { type BinaryCoder, RangeDecoder, RangeEncoder } from "./range-coder.ts";

const SEED = 7;
const RUNS = { seed: SEED, numRuns: 300 };

test("what is coded with any probabilities is decoded again", () => {
  const step = fc.oneof(
    fc.record({ bit: fc.integer({ min: 0, max: 1 }), p: fc.integer({ min: 1, max: 65_535 }) }),
    fc.integer({ min: 0, max: 24 }).chain((count) =>
      fc.record({
        count: fc.constant(count),
        value: fc.integer({ min: 0, max: 2 ** count - 1 }),
      }),
    ),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const run = (coder: BinaryCoder): readonly number[] =>
        steps.map((s) => ("bit" in s ? coder.code(s.bit, s.p) : coder.raw(s.value, s.count)));
      const encoder = new RangeEncoder();
      const given = run(encoder);
      expect(run(new RangeDecoder(encoder.finish()))).toEqual(given);
    }),
    RUNS,
  );
});

test("carries run through long rows of full bytes", () => {
  const encoder = new RangeEncoder();
  const bits = Array.from({ length: 4000 }, (_, i) => (i % 97 === 0 ? 1 : 0));
  for (const bit of bits) encoder.code(bit, 3);
  const decoder = new RangeDecoder(encoder.finish());
  expect(bits.map(() => decoder.code(0, 3))).toEqual(bits);
});

test("a stream that ends too early is refused and not read for ever", () => {
  const decoder = new RangeDecoder(new Uint8Array(0));
  const readOn = (): void => {
    for (let i = 0; i < 1_000_000; i++) decoder.raw(0, 24);
  };
  expect(readOn).toThrow("ends too early");
});

test.each([1, 3])("a model of %i inputs codes skewed bits in less than they are long", (inputs) => {
  const bits = Array.from({ length: 8000 }, (_, i) => (i % 50 === 0 ? 1 : 0));
  const options = {
    slots: Array.from({ length: inputs }, () => 64),
    mixerSets: 1,
    countLimit: 255,
    learningRate: 0.01,
  };
  const run = (coder: BinaryCoder): readonly number[] => {
    const model = new BitModel(options);
    return bits.map((bit, i) => model.code(coder, bit, i % 50 === 0 ? 1 : 0, 0));
  };
  const encoder = new RangeEncoder();
  run(encoder);
  const bytes = encoder.finish();
  expect(bytes.length).toBeLessThan(60);
  expect(run(new RangeDecoder(bytes))).toEqual(bits);
});

test("numbers are written and read in their only form", () => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeNat()), fc.array(fc.integer()), (naturals, integers) => {
      const out = new ByteWriter(1);
      for (const n of naturals) out.varint(n);
      for (const n of integers) out.signed(n);
      const reader = new ByteReader(out.view());
      expect(naturals.map(() => reader.varint("n", Number.MAX_SAFE_INTEGER))).toEqual(naturals);
      expect(integers.map(() => reader.signed("n", 2 ** 31))).toEqual(integers);
      reader.end("the numbers");
    }),
    RUNS,
  );
});

test.each([
  ["2^63", [255, 255, 255, 255, 255, 255, 255, 255, 127], "longer than 8 bytes"],
  ["more than the limit", [232, 7], "is 1000, more than 999"],
  ["a longer form than needed", [129, 0], "shortest form"],
  ["cut off", [128], "is cut off"],
])("a length of %s is refused", (_, bytes, message) => {
  const reader = new ByteReader(Uint8Array.from(bytes));
  expect(() => reader.varint("length", 999)).toThrow(message);
});
