import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteReader, ByteWriter } from "../bytes.ts";
import { inMemory } from "../random-access.ts";
import { RangeDecoder, RangeEncoder } from "../range-coder.ts";
import { AddressMap } from "./address-map.ts";
import { Arm64, type Guess } from "./arm64.ts";
import { copyMapOf, OldToNew, readCopyMap, writeCopyMap } from "./copy-map.ts";
import { AddressSpace, type Architecture, imageOf } from "./image.ts";
import { Matcher } from "./matcher.ts";
import { StepCoder } from "./step-coder.ts";
import { suffixArray } from "./suffix-array.ts";
import { readValueMap, ValueMap, ValueVotes, writeValueMap } from "./value-map.ts";
import { NO_WASM_MAPS } from "./wasm-coder.ts";
import { WasmTokens } from "./wasm-tokens.ts";

const SEED = 5;
const few = fc
  .array(fc.integer({ min: 0, max: 2 }), { maxLength: 60 })
  .map((a) => Uint8Array.from(a));
const any = fc.uint8Array({ maxLength: 300 });

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at < 0 ? a.length - b.length : (a[at] ?? 0) - (b[at] ?? -1);
}

test("a suffix array holds all suffixes in order", () => {
  fc.assert(
    fc.property(fc.oneof(few, any), (bytes) => {
      const naive = Array.from(bytes, (_, i) => i).toSorted((a, b) =>
        compareBytes(bytes.subarray(a), bytes.subarray(b)),
      );
      expect([...suffixArray(bytes)]).toEqual(naive);
    }),
    { seed: SEED, numRuns: 500 },
  );
});

test("steps cover the target and stay inside the base, whatever both hold", () => {
  fc.assert(
    fc.property(fc.oneof(few, any), fc.oneof(few, any), (old, fresh) => {
      const steps = new Matcher(old).steps(fresh, 0);
      expect(steps.reduce((sum, s) => sum + s.copied + s.added, 0)).toBe(fresh.length);
      expect(
        steps.every(
          (s) => s.from >= 0 && s.copied >= 0 && s.added >= 0 && s.from + s.copied <= old.length,
        ),
      ).toBe(true);
    }),
    { seed: SEED, numRuns: 500 },
  );
});

test("what was moved as a whole is found as a whole", () => {
  const old = Uint8Array.from({ length: 4000 }, (_, i) => (i * i * 7 + (i >> 3)) & 255);
  const fresh = Uint8Array.of(
    ...old.subarray(2000, 4000),
    ...new TextEncoder().encode("between"),
    ...old.subarray(0, 2000),
  );
  const steps = new Matcher(old).steps(fresh, 0).filter((s) => s.copied > 0);
  expect(steps.map((s) => [s.from, s.copied])).toEqual([
    [2000, 2000],
    [0, 2000],
  ]);
});

const MAP = copyMapOf([
  { from: 100, copied: 50, added: 3 },
  { from: 0, copied: 120, added: 0 },
]);

test("a copy map comes back as it was written", () => {
  const out = new ByteWriter();
  writeCopyMap(MAP, out);
  const read = readCopyMap(new ByteReader(out.view()), { base: 150, target: 173 });
  expect(read).toEqual(MAP);
});

test.each([
  ["leaves the base", { base: 149, target: 173 }, "outside the base"],
  ["is longer than the target", { base: 150, target: 172 }, "beyond the target"],
  ["is shorter than the target", { base: 150, target: 174 }, "do not cover"],
])("a copy map that %s is refused", (_, sizes, message) => {
  const out = new ByteWriter();
  writeCopyMap(MAP, out);
  expect(() => readCopyMap(new ByteReader(out.view()), sizes)).toThrow(message);
});

test("a place of the base belongs to the longest copy that took it", () => {
  const places = new OldToNew(MAP);
  // 0 … 119 went to 53 with the long copy, 120 … 149 to 20 with the short one.
  expect([0, 100, 119, 120, 149, 160].map((at) => places.at(at))).toEqual([
    53, 153, 172, 20, 49, 60,
  ]);
});

const segment = (offset: number, address: number, executable: boolean) =>
  ({ offset, length: 400, address, memoryLength: 500, executable }) as const;

function coderOf(architecture: Architecture, executable: boolean): StepCoder {
  const spaces = {
    old: new AddressSpace([segment(0, 0x1000, executable)]),
    new: new AddressSpace([segment(0, 0x3000, executable)]),
  };
  const coder = new StepCoder();
  coder.begin({
    architecture,
    spaces,
    map: new AddressMap(spaces, new OldToNew(MAP)),
    wasm: NO_WASM_MAPS,
  });
  return coder;
}

test.each([
  ["arm64", true],
  ["arm64", false],
  ["x64", true],
  ["x64", false],
  ["wasm", true],
  ["none", false],
] as const)(
  "any bytes come back through the codec of %s (code: %s)",
  (architecture, executable) => {
    const bytes = fc.uint8Array({ minLength: 300, maxLength: 300 });
    // Opcodes that refer somewhere, so that every guess is made.
    const likely = fc
      .array(fc.constantFrom(0xe8, 0x0f, 0x84, 0x05, 0x8b, 0, 0x94, 0x91, 0x90, 0xb0, 0x54, 0x39), {
        minLength: 300,
        maxLength: 300,
      })
      .map((a) => Uint8Array.from(a));
    fc.assert(
      fc.property(
        fc.oneof(bytes, likely),
        fc.oneof(bytes, likely),
        fc.nat(8),
        fc.nat(8),
        (base, target, shift, oldShift) => {
          const stretch = {
            at: oldShift,
            oldOffset: oldShift,
            newOffset: shift,
            targetAt: 0,
            length: 290,
          };
          const encoder = new RangeEncoder();
          const given = target.slice(0, 290);
          coderOf(architecture, executable).code(encoder, base, given, stretch);
          const made = new Uint8Array(290);
          coderOf(architecture, executable).code(
            new RangeDecoder(encoder.finish()),
            base,
            made,
            stretch,
          );
          expect(made).toEqual(target.slice(0, 290));
        },
      ),
      { seed: SEED, numRuns: 30 },
    );
  },
);

test("a map of values comes back as it was written and foretells by runs", () => {
  const votes = new ValueVotes();
  for (let value = 0; value < 100; value++) votes.add(value, value < 40 ? value : value + 7);
  for (let i = 0; i < 3; i++) votes.add(50, 51);
  // What is seen once or twice is not worth a run.
  votes.add(200, 900);
  const map = votes.map();
  expect([...map.starts]).toEqual([0, 40]);
  const out = new ByteWriter();
  writeValueMap(map, out);
  const read = readValueMap(new ByteReader(out.view()));
  expect([0, 39, 40, 99, 5000].map((v) => read.at(v))).toEqual([0, 39, 47, 106, 5007]);
  expect(new ValueMap(new Float64Array(0), new Float64Array(0)).at(5)).toBe(5);
});

test.each([
  ["more runs than there are bytes", [200, 1], "number of runs"],
  ["a begin of 2^63", [1, 128, 128, 128, 128, 128, 128, 128, 128, 1], "begin of a run"],
])("a map of values with %s is refused", (_, bytes, message) => {
  expect(() => readValueMap(new ByteReader(Uint8Array.from([...bytes, 0, 0, 0])))).toThrow(message);
});

test("tokens of WebAssembly code come in step after a few instructions, wherever reading begins", () => {
  const code = Array.from({ length: 60 }, (_, i) => [
    0x10,
    0x80 | (i & 127),
    1,
    0x41,
    0xe4,
    0,
    0x28,
    2,
    0x80,
    8,
    0x20,
    i & 63,
    0x44,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
  ]).flat();
  const bytes = Uint8Array.from(code);
  const callsFrom = (start: number): number[] => {
    const tokens = new WasmTokens();
    const calls: number[] = [];
    for (let at = start; at < bytes.length; at += tokens.length) {
      tokens.next(bytes, at, bytes.length);
      if (tokens.kind === 1) calls.push(at);
    }
    return calls;
  };
  const inStep = callsFrom(0);
  expect(inStep).toHaveLength(60);
  for (let start = 1; start < 25; start++)
    expect(callsFrom(start).slice(-50)).toEqual(inStep.slice(-50));
});

test("heads of programs that say anything are read without harm", () => {
  fc.assert(
    fc.property(
      fc.constantFrom([0x7f, 0x45, 0x4c, 0x46, 2, 1], [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]),
      fc.uint8Array({ minLength: 60, maxLength: 400 }),
      (magic, rest) => {
        const bytes = Uint8Array.from([...magic, ...rest]);
        for (const s of imageOf(inMemory(bytes)).segments)
          expect(s.offset + s.length).toBeLessThanOrEqual(bytes.length);
      },
    ),
    { seed: SEED, numRuns: 500 },
  );
});

test("calls and addresses in pairs are foretold from where their targets went", () => {
  // Old: offset 0 … 119 at 0x1000; it went to offset 53 of the new file, which lies at 0x3000.
  const spaces = {
    old: new AddressSpace([segment(0, 0x1000, true)]),
    new: new AddressSpace([segment(0, 0x3000, true)]),
  };
  const arm = new Arm64(new AddressMap(spaces, new OldToNew(MAP)));
  const old = new Uint8Array(16);
  const view = new DataView(old.buffer);
  view.setUint32(0, 0x94000010, true); // BL +0x40
  view.setUint32(4, 0x90000001, true); // ADRP x1, page of 0x1000
  view.setUint32(8, 0x91010021, true); // ADD x1, x1, #0x40
  const guess: Guess = { kind: 0, word: 0, target: 0, oldAddress: 0, newAddress: 0 };
  const guessed = (at: number): number => {
    guess.oldAddress = 0x1000 + at;
    guess.newAddress = 0x3035 + at;
    arm.guess(old, at, guess);
    return guess.word;
  };
  expect(guessed(0)).toBe(0x94000010 | 0); // both moved by as much
  expect(guessed(4)).toBe(0x90000001 | 0);
  expect(guessed(8)).toBe(0x91000021 | (0x75 << 10)); // 0x1040 went to 0x3075
});
