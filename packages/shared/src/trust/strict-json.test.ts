import fc from "fast-check";
import { expect, test } from "vitest";
import { tufTools } from "../platform/tuf.ts";
import { readStrictJson } from "./strict-json.ts";

const tools = tufTools();
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const codeOf = (bytes: Uint8Array, bytesMax = 1_000_000): string => {
  try {
    readStrictJson("f", bytes, bytesMax);
    return "ok";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "crash";
  }
};

test.each([
  ["a key twice", '{"a":1,"a":1}'],
  ["a key twice, once escaped", '{"a":1,"\\u0061":2}'],
  ["a key twice, deep down", '[{"x":[{"k":1,"k":2}]}]'],
  ["__proto__", '{"__proto__":{"a":1}}'],
  ["__proto__, escaped", '{"\\u005f_proto__":1}'],
  ["a fraction", '{"a":1.5}'],
  ["a whole number with a point", "[1.0]"],
  ["an exponent", "[1e3]"],
  ["a negative number", "[-1]"],
  ["minus zero", "[-0]"],
  ["2^53", "[9007199254740992]"],
  ["2^63", "[9223372036854775808]"],
  ["infinity", "[1e999]"],
  ["half a surrogate pair", '["\\ud800"]'],
  ["half a surrogate pair as a key", '{"\\udc00":1}'],
  ["a byte order mark", "\ufeff{}"],
  ["two values", "{}{}"],
  ["nothing", ""],
  ["NaN", "[NaN]"],
  ["a comment", "{}//"],
  ["depth 33", `${"[".repeat(33)}${"]".repeat(33)}`],
])("%s is refused", (_, text) => {
  expect(codeOf(bytesOf(text))).toBe("metadata-malformed");
});

test("ill-formed UTF-8 is refused, and a size is judged before anything is read", () => {
  expect(codeOf(Uint8Array.from([0x22, 0xff, 0x22]))).toBe("metadata-malformed");
  expect(codeOf(Uint8Array.from([0xff, 0xff, 0xff]), 2)).toBe("metadata-too-large");
});

test.each([
  '{"a:b":"c:d","e":"1.5 -0 1e9"}',
  '{"":{"":[]}}',
  "[true,false,null]",
  '"\\u0000"',
  "9007199254740991",
  '{"\\"":"\\\\"}',
])("%s is read", (text) => {
  expect(readStrictJson("f", bytesOf(text), 100)).toEqual(JSON.parse(text));
});

test("what JSON.stringify writes of whole numbers is read as it was", () => {
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, false),
      fc.nat(),
      fc.string({ unit: "grapheme" }),
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(
        fc.string({ unit: "grapheme" }).filter((k) => k !== "__proto__"),
        tie("value"),
        { maxKeys: 4 },
      ),
    ),
  })).value;
  fc.assert(
    fc.property(value, (v) => {
      expect(readStrictJson("f", bytesOf(JSON.stringify(v)), 1_000_000)).toEqual(
        JSON.parse(JSON.stringify(v)),
      );
    }),
    { numRuns: 300, seed: 31 },
  );
});

test("any bytes end in a code and never in a crash", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(codeOf(bytes)).not.toBe("crash");
    }),
    { numRuns: 500, seed: 31 },
  );
});

const canonical = (text: string): string =>
  new TextDecoder().decode(
    tools.bytesToSign("root", readStrictJson("f", bytesOf(text), 1_000_000)),
  );

test.each([
  [
    "keys are sorted by code unit, not by locale",
    '{"b":1,"B":2,"ä":3,"10":4,"9":5}',
    '{"10":4,"9":5,"B":2,"b":1,"ä":3}',
  ],
  ["a surrogate pair comes before U+FF61", '{"\\uff61":1,"\\ud83d\\ude00":2}', '{"😀":2,"｡":1}'],
  ["only backslash and quote are escaped", '["\\n\\u0001\\"\\\\\\/é"]', '["\n\u0001\\"\\\\/é"]'],
  ["no white space, empty things stay", ' { "a" : [ ] , "b" : { } } ', '{"a":[],"b":{}}'],
  ["the largest whole number", "[9007199254740991]", "[9007199254740991]"],
])("canonical JSON: %s", (_, text, expected) => {
  expect(canonical(text)).toBe(expected);
});

test("texts of different values have different canonical JSON", () => {
  const text = fc.string({
    unit: fc.constantFrom('"', "\\", "n", "\n", ",", ":", "{", "[", "é", "\u0000"),
  });
  fc.assert(
    fc.property(fc.array(text, { maxLength: 3 }), fc.array(text, { maxLength: 3 }), (a, b) => {
      const isSame = JSON.stringify(a) === JSON.stringify(b);
      expect(canonical(JSON.stringify(a)) === canonical(JSON.stringify(b))).toBe(isSame);
    }),
    { numRuns: 500, seed: 31 },
  );
});
