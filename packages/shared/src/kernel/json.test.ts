import fc from "fast-check";
import { expect, test } from "vitest";
import { AssertionError } from "./assert.ts";
import { canonicalJson, jsonDepth, jsonEqual } from "./json.ts";

const PROPERTY = { seed: 42, numRuns: 500 };

function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

/** The same value with the keys of every object in reverse order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toReversed();
  return Object.fromEntries(entries.map(([k, v]) => [k, reversed(v)]));
}

test("keys are sorted by code unit, undefined members are left out, nothing is spaced", () => {
  expect(canonicalJson({ b: [1, undefined], a: { z: null, y: undefined }, "10": 1, "9": 2 })).toBe(
    '{"10":1,"9":2,"a":{"z":null},"b":[1,null]}',
  );
  expect(canonicalJson({ "\u20ac": 1, "\r": 2, "\ud83d\ude00": 3, "\ufb33": 4 })).toBe(
    '{"\\r":2,"\u20ac":1,"\ud83d\ude00":3,"\ufb33":4}',
  );
});

test("strings are written as JSON.stringify writes them", () => {
  const units = [
    " ",
    "!",
    '"',
    "#",
    "[",
    "\\",
    "]",
    "~",
    "a",
    "\n",
    "\0",
    "\u007f",
    "\u2028",
    "\ud800",
    "\ufffd",
  ];
  const unit = fc.constantFrom(...units);
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit })), (text) => {
      expect(canonicalJson(text)).toBe(JSON.stringify(text));
    }),
    PROPERTY,
  );
});

test("numbers are printed as RFC 8785 asks", () => {
  expect(canonicalJson([1e21, 1e-7, -0, 4.5, 333333333.3333333])).toBe(
    "[1e+21,1e-7,0,4.5,333333333.3333333]",
  );
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, 1n, (): void => {}, Symbol("s"), undefined])(
  "a value that JSON cannot carry is a bug: %s",
  (value) => {
    expect(() => canonicalJson(value)).toThrow(AssertionError);
  },
);

test("the text does not depend on the order of keys, and is read back as the same value", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      expect(canonicalJson(reversed(value))).toBe(text);
      expect(canonicalJson(JSON.parse(text))).toBe(text);
      expect(jsonEqual(value, reversed(value))).toBe(true);
    }),
    PROPERTY,
  );
});

test("different values have different texts", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      expect(jsonEqual(a, b)).toBe(canonicalJson(a) === canonicalJson(b));
    }),
    PROPERTY,
  );
  expect(jsonEqual({ a: 1 }, { a: 1, b: undefined })).toBe(true);
  expect(jsonEqual(undefined, null)).toBe(true);
  expect(jsonEqual([1, 2], [2, 1])).toBe(false);
});

test("values that differ in one place only are told apart", () => {
  const small = fc.dictionary(
    fc.constantFrom("a", "b", "toString"),
    fc.constantFrom(0, null, [], {}, ""),
  );
  fc.assert(
    fc.property(fc.array(small, { maxLength: 2 }), fc.array(small, { maxLength: 2 }), (a, b) => {
      expect(jsonEqual(a, b)).toBe(canonicalJson(a) === canonicalJson(b));
    }),
    PROPERTY,
  );
  expect(jsonEqual({}, [])).toBe(false);
  expect(jsonEqual({ a: undefined }, { a: null })).toBe(false);
  expect(jsonEqual([undefined], [null])).toBe(true);
  expect(jsonEqual({}, { toString: 1 })).toBe(false);
});

test("depth is counted without parsing, brackets and quotes in strings left aside", () => {
  expect(jsonDepth("1")).toBe(0);
  expect(jsonDepth('{"a":"[[[[{"}')).toBe(1);
  expect(jsonDepth('["\\"[", "\\\\", [["]"]]]')).toBe(3);
  expect(jsonDepth("[".repeat(1_000_000))).toBe(1_000_000);
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
      expect(jsonDepth(JSON.stringify(value))).toBe(depthOf(value));
    }),
    PROPERTY,
  );
});
