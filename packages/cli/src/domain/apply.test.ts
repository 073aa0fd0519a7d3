import { type Json } from "@flotilla/shared/kernel/json";
import { applyMergePatch } from "@flotilla/shared/kernel/merge-patch";
import fc from "fast-check";
import { expect, test } from "vitest";
import { applyPatch, LAST_APPLIED_ANNOTATION, withLastApplied } from "./apply.ts";

type Manifest = { readonly [key: string]: Json };
const manifest = (spec: Json): Manifest => ({ kind: "Fleet", metadata: { name: "a" }, spec });

test("a field that left the manifest is removed, one that somebody else set stays", () => {
  const live = { ...withLastApplied(manifest({ a: 1, b: 2 })), spec: { a: 1, b: 2, theirs: 3 } };
  const patch = applyPatch(live, withLastApplied(manifest({ a: 5 })));
  expect(patch["spec"]).toEqual({ a: 5, b: null });
});

test("applying the same manifest again changes nothing", () => {
  const live = withLastApplied(manifest({ a: { b: [1, 2] } }));
  expect(applyPatch(live, withLastApplied(manifest({ a: { b: [1, 2] } })))).toEqual({});
});

test("the annotation never contains itself", () => {
  const twice = withLastApplied(withLastApplied(manifest({ a: 1 })));
  expect(JSON.stringify(twice).split(LAST_APPLIED_ANNOTATION)).toHaveLength(2);
});

test("a broken annotation is as good as none", () => {
  const live: Manifest = {
    ...manifest({ a: 1 }),
    metadata: { name: "a", annotations: { [LAST_APPLIED_ANNOTATION]: "{" } },
  };
  expect(applyPatch(live, manifest({ a: 2 }))["spec"]).toEqual({ a: 2 });
});

test("after an apply the live object says everything that the manifest says, and nothing that only the last one said", () => {
  const leaf = fc.constantFrom<Json>(1, 2, "x", true);
  const spec = fc.dictionary(
    fc.constantFrom("a", "b", "c", "d"),
    fc.oneof(leaf, fc.dictionary(fc.constantFrom("e", "f"), leaf)),
  );
  fc.assert(
    fc.property(spec, spec, (first, second) => {
      const live = withLastApplied(manifest(first));
      const after = applyMergePatch(
        live,
        applyPatch(live, withLastApplied(manifest(second))),
      ) as Manifest;
      expect(after["spec"]).toEqual(second);
    }),
    { seed: 42 },
  );
});
