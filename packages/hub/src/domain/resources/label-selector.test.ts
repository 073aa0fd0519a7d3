import fc from "fast-check";
import { expect, test } from "vitest";
import { ApiError } from "./api-error.ts";
import { parseLabelSelector } from "./label-selector.ts";

const selects = (text: string, labels: Record<string, string>): boolean =>
  parseLabelSelector(text)(labels);

test.each([
  ["a=b", { a: "b" }, true],
  ["a==b", { a: "c" }, false],
  ["a!=b", {}, true],
  ["a!=b", { a: "b" }, false],
  ["a", { a: "" }, true],
  ["!a", { a: "" }, false],
  ["a in (b, c)", { a: "c" }, true],
  ["a notin (b,c)", { a: "c" }, false],
  ["a notin (b,c)", {}, true],
  ["a in ()", { a: "" }, true],
  ["a=", { a: "" }, true],
  ["x.io/a=b,c!=d , !e", { "x.io/a": "b" }, true],
  ["x.io/a=b,c!=d , !e", { "x.io/a": "b", e: "" }, false],
  ["n>4", { n: "10" }, true],
  ["n<4", { n: "10" }, false],
  ["in in (in)", { in: "in" }, true],
  ["", { a: "b" }, true],
])("%s on %j is %s", (text, labels, expected) => {
  expect(selects(text, labels)).toBe(expected);
});

test.each([
  ["==", "found '==', expected: !, identifier, or 'end of string'"],
  ["a=b,", "found '', expected: identifier after ','"],
  ["a b", "found 'b', expected: in, notin, =, ==, !=, gt, lt"],
  ["a in b", "found 'b', expected: '('"],
  ["a in (b", "found '', expected: ',' or ')'"],
  ["a=b=c", "found '=', expected: ',' or 'end of string'"],
])("%s is refused as kube-apiserver words it", (text, message) => {
  expect(() => parseLabelSelector(text)).toThrow(message);
});

test("keys, values and numbers that no label can have are refused", () => {
  for (const text of [
    "-a=b",
    "a/b/c=d",
    "a=-b",
    "a>x",
    `a=${"b".repeat(64)}`,
    "a=".padEnd(20_000, "b"),
  ])
    expect(() => parseLabelSelector(text)).toThrow(ApiError);
});

test("a prototype's members are no labels", () => {
  expect(selects("constructor", {})).toBe(false);
  expect(selects("!toString", {})).toBe(true);
});

/** The error that is no refusal; undefined when the text was read or refused. */
function crashOf(text: string): unknown {
  try {
    parseLabelSelector(text)({ a: "b" });
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== "BadRequest") return error;
  }
  return undefined;
}

test("any text is read or refused, and nothing else happens", () => {
  const texts = fc.string({ unit: fc.constantFrom(...Array.from("ab=!(),<> in/")), maxLength: 60 });
  fc.assert(
    fc.property(texts, (text) => {
      expect(crashOf(text)).toBeUndefined();
    }),
    { seed: 42, numRuns: 500 },
  );
});
