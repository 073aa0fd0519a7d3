import fc from "fast-check";
import { expect, test } from "vitest";
import { type SharedInstance, shareInstances } from "./share-instances.ts";

const at = (index: number, site?: string, available = true): SharedInstance => ({
  index,
  placed: site !== undefined,
  available: site !== undefined && available,
  ...(site === undefined ? {} : { site }),
});
const counts = (of: Readonly<Record<string, number>>): ReadonlyMap<string, number> =>
  new Map(Object.entries(of));

test("those that are there stay, the surplus goes where something is free, the rest is made", () => {
  const sharing = shareInstances([at(0, "a"), at(1, "a"), at(2)], counts({ a: 1, b: 3 }), 0);
  expect([...sharing.siteOf]).toEqual([
    [0, "a"],
    [1, "b"],
    [2, "b"],
    [3, "b"],
  ]);
  expect([...sharing.surplus]).toEqual([1]);
  expect(sharing.create).toEqual([3]);
  expect(sharing.remove).toEqual([]);
});

test("of too many those that serve nobody go first, the last of equal ones", () => {
  const sharing = shareInstances(
    [at(0, "a", false), at(1, "a"), at(2, "a"), at(3)],
    counts({ a: 2 }),
    0,
  );
  expect(sharing.remove).toEqual([0, 3]);
});

test("every count is met, nobody is in two places, and no more move than are beyond their site's count", () => {
  const sites = fc.constantFrom("a", "b", "c", undefined);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(sites, fc.boolean()), { maxLength: 12 }),
      fc.tuple(fc.nat(5), fc.nat(5), fc.nat(5)),
      fc.nat(3),
      (existing, [a, b, c], anywhere) => {
        const instances = existing.map(([site, available], index) => at(index, site, available));
        const wanted = { a, b, c };
        const { siteOf, surplus, create, remove } = shareInstances(
          instances,
          counts(wanted),
          anywhere,
        );
        expect(siteOf.size).toBe(a + b + c + anywhere);
        for (const [name, count] of Object.entries(wanted)) {
          expect([...siteOf.values()].filter((s) => s === name).length).toBe(count);
          const has = instances.filter((i) => i.site === name);
          const stay = has.filter((i) => siteOf.get(i.index) === name).length;
          expect(stay).toBeGreaterThanOrEqual(Math.min(count, has.length));
        }
        expect(siteOf.size - create.length + remove.length).toBe(instances.length);
        for (const index of surplus) expect(instances[index]?.site).toBeDefined();
      },
    ),
    { seed: 20_261_125, numRuns: 500 },
  );
});
