import fc from "fast-check";
import { expect, test } from "vitest";
import type { LabelSelector, Taint, Toleration } from "./metadata.ts";
import { matchesSelector, toleratesTaint } from "./selectors.ts";

const labels = { zone: "a", tier: "edge", empty: "" };

test.each<[string, LabelSelector | undefined, boolean]>([
  ["no selector", undefined, true],
  ["an empty selector", {}, true],
  ["an equal label", { matchLabels: { zone: "a" } }, true],
  ["another value", { matchLabels: { zone: "b" } }, false],
  ["one of two labels", { matchLabels: { zone: "a", tier: "cloud" } }, false],
  ["In", { matchExpressions: [{ key: "zone", operator: "In", values: ["b", "a"] }] }, true],
  ["In of nothing", { matchExpressions: [{ key: "zone", operator: "In" }] }, false],
  [
    "In of an absent key",
    { matchExpressions: [{ key: "x", operator: "In", values: [""] }] },
    false,
  ],
  ["NotIn", { matchExpressions: [{ key: "zone", operator: "NotIn", values: ["a"] }] }, false],
  [
    "NotIn of an absent key",
    { matchExpressions: [{ key: "x", operator: "NotIn", values: ["a"] }] },
    true,
  ],
  ["Exists", { matchExpressions: [{ key: "empty", operator: "Exists" }] }, true],
  ["Exists of an absent key", { matchExpressions: [{ key: "x", operator: "Exists" }] }, false],
  ["DoesNotExist", { matchExpressions: [{ key: "x", operator: "DoesNotExist" }] }, true],
  [
    "DoesNotExist of a key",
    { matchExpressions: [{ key: "zone", operator: "DoesNotExist" }] },
    false,
  ],
  [
    "both parts, one wrong",
    {
      matchLabels: { zone: "a" },
      matchExpressions: [{ key: "tier", operator: "NotIn", values: ["edge"] }],
    },
    false,
  ],
])("%s selects or does not", (_, selector, expected) => {
  expect(matchesSelector(selector, labels)).toBe(expected);
});

test.each(["constructor", "toString", "__proto__", "hasOwnProperty"])(
  "%s, which every object inherits, is no label that a node has",
  (key) => {
    expect(matchesSelector({ matchExpressions: [{ key, operator: "Exists" }] }, labels)).toBe(
      false,
    );
    expect(matchesSelector({ matchExpressions: [{ key, operator: "DoesNotExist" }] }, labels)).toBe(
      true,
    );
  },
);

test("In and NotIn, Exists and DoesNotExist are each the other's opposite", () => {
  const key = fc.constantFrom("zone", "tier", "empty", "x", "constructor");
  const values = fc.array(fc.constantFrom("a", "b", "edge", ""));
  fc.assert(
    fc.property(key, values, (k, v) => {
      const holds = (operator: "In" | "NotIn" | "Exists" | "DoesNotExist"): boolean =>
        matchesSelector({ matchExpressions: [{ key: k, operator, values: v }] }, labels);
      expect(holds("In")).toBe(!holds("NotIn"));
      expect(holds("Exists")).toBe(!holds("DoesNotExist"));
    }),
    { seed: 42, numRuns: 300 },
  );
});

const taint: Taint = { key: "gpu", value: "only", effect: "NoSchedule" };

test.each<[string, Toleration[], boolean]>([
  ["nothing", [], false],
  [
    "the same key, value and effect",
    [{ key: "gpu", operator: "Equal", value: "only", effect: "NoSchedule" }],
    true,
  ],
  ["Equal is the default operator", [{ key: "gpu", value: "only" }], true],
  ["another value", [{ key: "gpu", value: "other" }], false],
  ["no value", [{ key: "gpu" }], false],
  ["Exists, whatever the value", [{ key: "gpu", operator: "Exists" }], true],
  ["another key", [{ key: "x", operator: "Exists" }], false],
  ["another effect", [{ key: "gpu", operator: "Exists", effect: "NoExecute" }], false],
  ["no key and Exists: everything", [{ operator: "Exists" }], true],
  ["no key and Equal: nothing", [{ operator: "Equal", value: "only" }], false],
  [
    "one of several",
    [
      { key: "x", operator: "Exists" },
      { key: "gpu", operator: "Exists" },
    ],
    true,
  ],
])("%s tolerates or does not", (_, tolerations, expected) => {
  expect(toleratesTaint(tolerations, taint)).toBe(expected);
});

test("a taint without a value equals a toleration without one", () => {
  expect(toleratesTaint([{ key: "k" }], { key: "k", effect: "NoExecute" })).toBe(true);
  expect(toleratesTaint([{ key: "k", value: "" }], { key: "k", effect: "NoExecute" })).toBe(true);
});
