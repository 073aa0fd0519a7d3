import fc from "fast-check";
import { expect, test } from "vitest";
import { nextUpdates, type Updatable } from "./rolling-update.ts";

const instance = (index: number, change: Partial<Updatable> = {}): Updatable => ({
  index,
  waiting: true,
  available: true,
  reachable: true,
  ...change,
});
const several = (count: number, change: Partial<Updatable> = {}): readonly Updatable[] =>
  Array.from({ length: count }, (_, i) => instance(i, change));

test("a single instance is updated, though nobody serves meanwhile", () => {
  expect(nextUpdates(several(1))).toEqual(new Set([0]));
});

test("of eight two go first, the lowest indexes", () => {
  expect(nextUpdates(several(8))).toEqual(new Set([0, 1]));
});

test("one that is not ready for its own reasons takes a place", () => {
  const list = [...several(7), instance(7, { waiting: false, available: false })];
  expect(nextUpdates(list)).toEqual(new Set([0]));
});

test("what serves nobody is updated at once, and what is away is neither counted nor waited for", () => {
  expect(nextUpdates(several(5, { available: false })).size).toBe(5);
  const list = [
    ...several(4),
    instance(4, { reachable: false }),
    instance(5, { reachable: false }),
  ];
  expect(nextUpdates(list)).toEqual(new Set([4, 5, 0]));
});

test("never more than a quarter, or one, of the reachable are made unavailable", () => {
  const instances = fc
    .array(fc.record({ waiting: fc.boolean(), available: fc.boolean(), reachable: fc.boolean() }), {
      maxLength: 40,
    })
    .map((list) => list.map((change, index) => instance(index, change)));
  fc.assert(
    fc.property(instances, (list) => {
      const chosen = nextUpdates(list);
      const reachable = list.filter((i) => i.reachable);
      const before = reachable.filter((i) => !i.available).length;
      const after = reachable.filter((i) => !i.available || chosen.has(i.index)).length;
      const allowed = Math.max(1, Math.floor(reachable.length / 4));
      expect(after).toBeLessThanOrEqual(Math.max(before, allowed));
      for (const i of list) expect(chosen.has(i.index) && !i.waiting).toBe(false);
    }),
    { seed: 42, numRuns: 500 },
  );
});
