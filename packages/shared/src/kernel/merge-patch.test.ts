import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson, type Json } from "./json.ts";
import { applyMergePatch } from "./merge-patch.ts";

const PROPERTY = { seed: 42, numRuns: 500 };
const key = fc.constantFrom("a", "b", "c", "toString", "__proto__", "constructor", "prototype");
const { value: anyJson } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<Json[]>(null, true, 1, "x"),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(key, tie("value"), { maxKeys: 4 }),
  ),
}));

test.each<[Json, Json, Json]>([
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [
    ["a", "b"],
    ["c", "d"],
    ["c", "d"],
  ],
  [{ a: "b" }, ["c"], ["c"]],
  [{ a: "foo" }, null, null],
  [{ a: "foo" }, "bar", "bar"],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
])("%j patched with %j is %j (RFC 7386, appendix A)", (target, patch, expected) => {
  expect(applyMergePatch(target, patch)).toEqual(expected);
});

test("a patch of an absent target makes it", () => {
  expect(applyMergePatch(undefined, { a: { b: 1, c: null } })).toEqual({ a: { b: 1 } });
});

test("no patch reaches a prototype, at any depth", () => {
  const patch: Json = JSON.parse(
    '{"__proto__":{"polluted":1},"a":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}}',
  );
  const result = applyMergePatch({ a: { b: 1 } }, patch);
  expect(result).toEqual({ a: { b: 1 } });
  expect("polluted" in {}).toBe(false);
  expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
});

/** Own keys anywhere in the value. */
function keysOf(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  const nested = Object.values(value).flatMap(keysOf);
  return Array.isArray(value) ? nested : [...Object.keys(value), ...nested];
}

test("patching twice is patching once, leaves the inputs alone and pollutes nothing", () => {
  fc.assert(
    fc.property(anyJson, anyJson, (target, patch) => {
      const before = canonicalJson([target, patch]);
      const once = applyMergePatch(target, patch);
      expect(canonicalJson(applyMergePatch(once, patch))).toBe(canonicalJson(once));
      expect(canonicalJson([target, patch])).toBe(before);
      expect(Object.keys(Object.prototype)).toEqual([]);
    }),
    PROPERTY,
  );
});

test("what merging puts in carries no forbidden key, also below a key that is new", () => {
  const objects = fc.dictionary(key, anyJson, { maxKeys: 4 });
  fc.assert(
    fc.property(objects, (patch) => {
      const merged = applyMergePatch({}, withoutLists(patch));
      for (const forbidden of ["__proto__", "constructor", "prototype"])
        expect(keysOf(merged)).not.toContain(forbidden);
    }),
    PROPERTY,
  );
});

/** Lists are replaced as they stand; only what is merged is looked at. */
function withoutLists(value: Json): Json {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return "list";
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, withoutLists(v)]));
}
