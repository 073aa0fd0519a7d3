import fc from "fast-check";
import { expect, test } from "vitest";
import { type Condition, withCondition } from "./metadata.ts";

const T0 = "2026-01-01T00:00:00Z";
const T1 = "2026-01-01T00:01:00Z";
const ready = { type: "Ready", status: "True", reason: "Up", message: "" } as const;

test("the transition time moves when the status does, and only then", () => {
  const first = withCondition(undefined, ready, T0);
  expect(first).toEqual([{ ...ready, lastTransitionTime: T0 }]);
  const renamed = withCondition(first, { ...ready, reason: "StillUp", message: "m" }, T1);
  expect(renamed).toEqual([{ ...ready, reason: "StillUp", message: "m", lastTransitionTime: T0 }]);
  const down = withCondition(renamed, { ...ready, status: "False" }, T1);
  expect(down).toEqual([{ ...ready, status: "False", lastTransitionTime: T1 }]);
});

test("other conditions stay as they are and where they are", () => {
  const before = withCondition(withCondition([], ready, T0), { ...ready, type: "Synced" }, T0);
  const after = withCondition(before, { ...ready, status: "Unknown" }, T1);
  expect(after.map((c) => c.type)).toEqual(["Ready", "Synced"]);
  expect(after[1]).toBe(before[1]);
});

test("there is never more than one condition of a type, and the input is left alone", () => {
  const change = fc.record({
    type: fc.constantFrom("Ready", "Synced", "Lost"),
    status: fc.constantFrom<Condition["status"][]>("True", "False", "Unknown"),
  });
  fc.assert(
    fc.property(fc.array(change), (changes) => {
      let conditions: readonly Condition[] = [];
      for (const { type, status } of changes) {
        const before = JSON.stringify(conditions);
        const next = withCondition(conditions, { ...ready, type, status }, T1);
        expect(JSON.stringify(conditions)).toBe(before);
        expect(next.find((c) => c.type === type)?.status).toBe(status);
        conditions = next;
      }
      expect(new Set(conditions.map((c) => c.type)).size).toBe(conditions.length);
    }),
    { seed: 42, numRuns: 200 },
  );
});
