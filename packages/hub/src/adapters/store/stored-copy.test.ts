import fc from "fast-check";
import { expect, test } from "vitest";
import { freezeDeep, storedCopy } from "./stored-copy.ts";

/** What JavaScript can put into an object that is to be stored, JSON or not. */
const anyValue = fc.anything({
  withDate: true,
  withBoxedValues: true,
  withMap: true,
  withNullPrototype: true,
  withSparseArray: true,
  key: fc.oneof(fc.string(), fc.constantFrom("__proto__", "toString", "a", "b")),
});
const jsonObject = fc.dictionary(fc.string(), fc.jsonValue());

function viaText(value: unknown): unknown {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? undefined : JSON.parse(text);
}

/** A bigint, or a date that is none, is refused. */
function outcome(make: () => unknown): { readonly value: unknown } | "refused" {
  try {
    return { value: make() };
  } catch {
    return "refused";
  }
}

function objectsIn(value: unknown): readonly object[] {
  if (typeof value !== "object" || value === null) return [];
  return [value, ...Object.values(value).flatMap(objectsIn)];
}

test("a copy is what a way through JSON text gives: no undefined, no NaN, no class, no zero below zero", () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      const [copied, expected] = [outcome(() => storedCopy(value)), outcome(() => viaText(value))];
      expect(copied).toStrictEqual(expected);
      expect(JSON.stringify(copied)).toBe(JSON.stringify(expected));
    }),
    { seed: 42, numRuns: 2_000 },
  );
});

test("a copy is frozen throughout and shares nothing with what it was made from", () => {
  fc.assert(
    fc.property(jsonObject, (value) => {
      const theirs = new Set(objectsIn(value));
      const ours = objectsIn(storedCopy(value));
      expect(ours.every((o) => Object.isFrozen(o) && !theirs.has(o))).toBe(true);
      expect([...theirs].some((o) => Object.isFrozen(o))).toBe(false);
    }),
    { seed: 42, numRuns: 500 },
  );
});

test("what equals the current object is the current object, whatever the order of its keys", () => {
  fc.assert(
    fc.property(jsonObject, (value) => {
      const current = freezeDeep(viaText(value));
      const reversed = Object.fromEntries(Object.entries(value).toReversed());
      expect(storedCopy(reversed, current)).toBe(current);
      expect(storedCopy({ ...reversed, more: undefined }, current)).toBe(current);
    }),
    { seed: 42, numRuns: 500 },
  );
});

test("over another current object a copy is the same as over none", () => {
  fc.assert(
    fc.property(jsonObject, jsonObject, (a, b) => {
      const next = { ...a, b };
      expect(storedCopy(next, freezeDeep(viaText({ ...b, b: a })))).toEqual(storedCopy(next));
    }),
    { seed: 42, numRuns: 500 },
  );
});

test("only what has changed is made anew", () => {
  const current = freezeDeep({ spec: { a: [1, 2] }, status: { b: { c: 1 }, d: { e: 1 } } });
  const next = storedCopy({ spec: { a: [1, 2] }, status: { b: { c: 2 }, d: { e: 1 } } }, current);
  expect(next?.spec).toBe(current.spec);
  expect(next?.status.d).toBe(current.status.d);
  expect(next?.status.b).toEqual({ c: 2 });
});
