import fc from "fast-check";
import { expect, test } from "vitest";
import {
  formatBytes,
  formatMilliCpu,
  parseBytes,
  parseMilliCpu,
  parseQuantity,
  QUANTITY_PATTERN,
} from "./quantity.ts";

const PROPERTY = { seed: 42, numRuns: 500 };

test.each<[string | number, number]>([
  ["0", 0],
  ["1", 1],
  ["+1", 1],
  [1.5, 1.5],
  [".5", 0.5],
  ["5.", 5],
  ["250m", 0.25],
  ["1k", 1_000],
  ["2Ki", 2_048],
  ["1.5Gi", 1_610_612_736],
  ["4e3", 4_000],
  ["4E3", 4_000],
  ["2E-1", 0.2],
  ["1E", 1e18],
  ["1Ei", 2 ** 60],
  ["100n", 1e-7],
])("%s is read as %d", (text, expected) => {
  expect(parseQuantity(text)).toBeCloseTo(expected, 12);
});

test.each<string | number>([
  "",
  " 1",
  "1 ",
  "-1",
  -1,
  "1K",
  "1ki",
  "1mi",
  "Gi",
  ".",
  "1..2",
  "1e",
  "1e3Mi",
  "0x10",
  "1,5",
  "NaN",
  "Infinity",
  Number.NaN,
  Number.POSITIVE_INFINITY,
  "1".repeat(40),
  "1\n",
])("%j is no quantity", (text) => {
  expect(parseQuantity(text)).toBeUndefined();
});

test("cpu is rounded up to a thousandth of a core, bytes to a byte", () => {
  expect(parseMilliCpu("1")).toBe(1_000);
  expect(parseMilliCpu("100m")).toBe(100);
  expect(parseMilliCpu("0.1")).toBe(100);
  expect(parseMilliCpu("0.0001")).toBe(1);
  expect(parseMilliCpu("1u")).toBe(1);
  expect(parseMilliCpu("all")).toBeUndefined();
  expect(parseBytes("1.2")).toBe(2);
  expect(parseBytes("-1")).toBeUndefined();
});

test("what is printed is read as the same", () => {
  fc.assert(
    fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (n) => {
      expect(parseBytes(formatBytes(n))).toBe(n);
    }),
    PROPERTY,
  );
  fc.assert(
    fc.property(fc.nat({ max: 10_000_000 }), (n) => {
      expect(parseMilliCpu(formatMilliCpu(n))).toBe(n);
    }),
    PROPERTY,
  );
});

test("any text is read as a finite amount that is not negative, or not at all", () => {
  const unit = fc.constantFrom("", "m", "k", "Ki", "E", "Ei", "e9", "e-9", "x");
  const text = fc.oneof(
    fc.string(),
    fc.tuple(fc.double().map(String), unit).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(text, (value) => {
      const amount = parseQuantity(value);
      const isSound =
        amount === undefined ||
        (Number.isFinite(amount) && amount >= 0 && new RegExp(QUANTITY_PATTERN).test(value));
      expect(isSound).toBe(true);
    }),
    PROPERTY,
  );
});
