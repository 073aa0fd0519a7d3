import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ReplicaScheduling, SpreadConstraint } from "../../model/resources/placement.ts";
import { divide, idealDivision } from "./divide.ts";
import { SPREAD_EXACT_CANDIDATES_MAX } from "./groups.ts";
import { MOVE_PRICE_DEFAULT, rebalance } from "./rebalance.ts";
import { shareOut } from "./share-out.ts";
import type { DivisionCandidate, DivisionInput, DivisionRules } from "./types.ts";

const SEED = 20_261_125;
const check = <T>(property: fc.IPropertyWithHooks<T>, numRuns = 500): void =>
  fc.assert(property, { seed: SEED, numRuns });

const site = (name: string, over: Partial<DivisionCandidate> = {}): DivisionCandidate => ({
  name,
  kind: "site",
  labels: {},
  available: 100,
  existing: 0,
  ...over,
});
const weighted = (weights: Readonly<Record<string, number>>): ReplicaScheduling => ({
  replicaSchedulingType: "Divided",
  replicaDivisionPreference: "Weighted",
  weightPreference: {
    staticWeightList: Object.entries(weights).map(([name, weight]) => ({
      targetCluster: { clusterNames: [name] },
      weight,
    })),
  },
});
const AGGREGATED: ReplicaScheduling = { replicaDivisionPreference: "Aggregated" };
const SPREAD: ReplicaScheduling = { replicaDivisionPreference: "Spread" };
const DYNAMIC: ReplicaScheduling = { weightPreference: { dynamicWeight: "AvailableReplicas" } };
const DUPLICATED: ReplicaScheduling = { replicaSchedulingType: "Duplicated" };
const rules = (
  scheduling: ReplicaScheduling | undefined,
  ...spreadConstraints: SpreadConstraint[]
): DivisionRules => ({ ...(scheduling === undefined ? {} : { scheduling }), spreadConstraints });
const by = (input: DivisionInput): Record<string, number> =>
  Object.fromEntries(divide(input).bySite);

describe("how many go where", () => {
  const three = [site("a"), site("b"), site("c")];
  test.each<[string, ReplicaScheduling, number, readonly DivisionCandidate[], object]>([
    ["the full count on every candidate", DUPLICATED, 3, three, { a: 3, b: 3, c: 3 }],
    ["by weight", weighted({ a: 3, b: 2, c: 1 }), 12, three, { a: 6, b: 4, c: 2 }],
    ["the largest remainder", weighted({ a: 60, b: 40 }), 3, three, { a: 2, b: 1, c: 0 }],
    ["equal remainders by name", weighted({ a: 1, b: 1, c: 1 }), 4, three, { a: 2, b: 1, c: 1 }],
    [
      "what does not fit goes to the others by their weight",
      weighted({ a: 2, b: 1, c: 1 }),
      8,
      [site("a", { available: 2 }), site("b"), site("c")],
      { a: 2, b: 3, c: 3 },
    ],
    [
      "by what each can have",
      DYNAMIC,
      6,
      [site("a", { available: 2 }), site("b", { available: 4 }), site("c", { available: 0 })],
      { a: 2, b: 4, c: 0 },
    ],
    [
      "on as few as hold it",
      AGGREGATED,
      6,
      [site("a", { available: 3 }), site("b", { available: 5 }), site("c", { available: 4 })],
      { a: 0, b: 5, c: 1 },
    ],
    [
      "evenly, as far as it fits",
      SPREAD,
      7,
      [site("a", { available: 1 }), site("b"), site("c")],
      { a: 1, b: 3, c: 3 },
    ],
    ["nothing", SPREAD, 0, three, { a: 0, b: 0, c: 0 }],
  ])("%s", (...row) => {
    const [, scheduling, replicas, candidates, expected] = row;
    expect(by({ candidates, replicas, rules: rules(scheduling) })).toEqual(expected);
  });

  test("what is there stays when more are asked for, and leaves where there is most above its share", () => {
    const candidates = [site("a", { existing: 4 }), site("b", { existing: 1 }), site("c")];
    expect(by({ candidates, replicas: 5, rules: rules(SPREAD) })).toEqual({ a: 4, b: 1, c: 0 });
    expect(by({ candidates, replicas: 7, rules: rules(SPREAD) })).toEqual({ a: 4, b: 2, c: 1 });
    expect(by({ candidates, replicas: 3, rules: rules(SPREAD) })).toEqual({ a: 2, b: 1, c: 0 });
    expect(by({ candidates, replicas: 2, rules: rules(AGGREGATED) })).toEqual({ a: 2, b: 0, c: 0 });
  });

  test("a candidate that the list gives no weight loses what it has", () => {
    const candidates = [site("a", { existing: 2 }), site("b")];
    const division = divide({ candidates, replicas: 2, rules: rules(weighted({ b: 1 })) });
    expect(Object.fromEntries(division.bySite)).toEqual({ a: 0, b: 2 });
    expect(division.reasons.get("a")).toBe("staticWeightList gives it no weight");
  });

  test("what has no room waits where it would go", () => {
    const candidates = [site("a", { available: 1 }), site("b", { available: 0 })];
    const division = divide({ candidates, replicas: 4, rules: rules(weighted({ a: 1, b: 1 })) });
    expect(Object.fromEntries(division.bySite)).toEqual({ a: 1, b: 0 });
    expect(division.unplaced).toBe(3);
    expect(Object.fromEntries(division.waitingBySite)).toEqual({ a: 1, b: 2 });
    const nobody = divide({ candidates: [], replicas: 4, rules: rules(SPREAD) });
    expect(nobody.unplaced).toBe(4);
    expect(nobody.problems).toEqual(["no candidate may take replicas"]);
  });
});

describe("spread constraints", () => {
  const regions = [
    site("a1", { region: "a", provider: "x", existing: 1 }),
    site("a2", { region: "a", provider: "y" }),
    site("b1", { region: "b", provider: "x", available: 9 }),
    site("c1", { region: "c", provider: "y", available: 50 }),
    site("d1"),
  ];
  test("at most so many regions: the one with replicas, then the roomiest; of unknown region none", () => {
    const division = divide({
      candidates: regions,
      replicas: 6,
      rules: rules(SPREAD, { spreadByField: "region", maxGroups: 2 }),
    });
    expect(Object.fromEntries(division.bySite)).toEqual({ a1: 2, a2: 2, b1: 0, c1: 2, d1: 0 });
    expect(division.reasons.get("b1")).toBe("left out by maxGroups: at most 2 of region");
    expect(division.reasons.get("d1")).toContain("its region is not known");
  });

  test("at least so many: one replica each, also where few are divided by weight", () => {
    const division = divide({
      candidates: [site("a", { region: "a" }), site("b", { region: "b" })],
      replicas: 3,
      rules: rules(weighted({ a: 100, b: 1 }), { spreadByField: "region", minGroups: 2 }),
    });
    expect(Object.fromEntries(division.bySite)).toEqual({ a: 2, b: 1 });
  });

  test("what cannot be kept is said", () => {
    const few = divide({
      candidates: regions,
      replicas: 1,
      rules: rules(SPREAD, { spreadByField: "site", minGroups: 2 }),
    });
    expect(few.problems).toEqual(["minGroups asks for 2 of site, there are 1 replicas"]);
    const none = divide({
      candidates: regions,
      replicas: 9,
      rules: rules(SPREAD, { spreadByField: "region", minGroups: 4 }),
    });
    expect(none.problems).toEqual([
      "minGroups asks for 4 different values of region, the candidates have 3",
    ]);
  });

  test("several constraints at once are kept, by trying every set and beyond it group by group", () => {
    const many = (count: number): readonly DivisionCandidate[] =>
      Array.from({ length: count }, (_, i) =>
        site(`s${i}`, { region: `r${i % 5}`, provider: `p${i % 3}`, available: 10 + i }),
      );
    for (const count of [SPREAD_EXACT_CANDIDATES_MAX, SPREAD_EXACT_CANDIDATES_MAX + 1, 40]) {
      const candidates = many(count);
      const { bySite } = divide({
        candidates,
        replicas: 20,
        rules: rules(
          SPREAD,
          { spreadByField: "region", minGroups: 2, maxGroups: 3 },
          { spreadByField: "provider", minGroups: 2, maxGroups: 2 },
        ),
      });
      const used = candidates.filter((c) => (bySite.get(c.name) ?? 0) > 0);
      expect(new Set(used.map((c) => c.region)).size).toBeOneOf([2, 3]);
      expect(new Set(used.map((c) => c.provider)).size).toBe(2);
    }
  });
});

const schedulings: fc.Arbitrary<ReplicaScheduling | undefined> = fc.oneof(
  fc.constantFrom(undefined, AGGREGATED, SPREAD, DYNAMIC),
  fc
    .array(fc.integer({ min: 0, max: 9 }), { minLength: 6, maxLength: 6 })
    .map((weights) => weighted(Object.fromEntries(weights.map((w, i) => [`s${i}`, w + 1])))),
);
const candidateSets: fc.Arbitrary<readonly DivisionCandidate[]> = fc
  .array(
    fc.record({
      available: fc.integer({ min: 0, max: 12 }),
      existing: fc.integer({ min: 0, max: 6 }),
      region: fc.constantFrom("r0", "r1", "r2"),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((sites) => sites.map((over, i) => site(`s${i}`, over)));
const total = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((a, b) => a + b, 0);
const movedAway = (
  candidates: readonly DivisionCandidate[],
  counts: ReadonlyMap<string, number>,
): number =>
  candidates.reduce((sum, c) => sum + Math.max(0, c.existing - (counts.get(c.name) ?? 0)), 0);

describe("properties", () => {
  test("every replica is counted once, none beyond the room, the order of candidates says nothing", () => {
    check(
      fc.property(
        candidateSets,
        schedulings,
        fc.integer({ min: 0, max: 60 }),
        (candidates, scheduling, replicas) => {
          const input = { candidates, replicas, rules: rules(scheduling) };
          const division = divide(input);
          expect(total(division.bySite) + division.unplaced).toBe(replicas);
          expect(total(division.waitingBySite)).toBe(division.unplaced);
          for (const c of candidates)
            expect(division.bySite.get(c.name)).toBeLessThanOrEqual(c.existing + c.available);
          const room = candidates.reduce((sum, c) => sum + c.existing + c.available, 0);
          expect(division.unplaced).toBe(Math.max(0, replicas - room));
          expect(divide({ ...input, candidates: candidates.toReversed() }).bySite).toEqual(
            division.bySite,
          );
        },
      ),
    );
  });

  test("sticky: only as many leave as are fewer asked for, and a second look changes nothing", () => {
    check(
      fc.property(
        candidateSets,
        schedulings,
        fc.integer({ min: 0, max: 60 }),
        (candidates, scheduling, replicas) => {
          const { bySite } = divide({ candidates, replicas, rules: rules(scheduling) });
          const has = candidates.reduce((sum, c) => sum + c.existing, 0);
          expect(movedAway(candidates, bySite)).toBe(Math.max(0, has - replicas));
          const settled = candidates.map((c) => {
            const existing = bySite.get(c.name) ?? 0;
            return { ...c, existing, available: c.available + c.existing - existing };
          });
          const again = divide({ candidates: settled, replicas, rules: rules(scheduling) });
          expect(again.bySite).toEqual(bySite);
        },
      ),
    );
  });

  test("a candidate that goes and comes back moves only what it had", () => {
    check(
      fc.property(
        candidateSets.filter((c) => c.length > 1),
        schedulings,
        fc.nat(5),
        (candidates, scheduling, which) => {
          const replicas = candidates.reduce((sum, c) => sum + c.existing, 0);
          const gone = candidates[which % candidates.length] ?? site("none");
          const left = candidates.filter((c) => c !== gone);
          const without = divide({ candidates: left, replicas, rules: rules(scheduling) }).bySite;
          expect(movedAway(left, without)).toBe(0);
          const back = [
            ...left.map((c) => ({ ...c, existing: without.get(c.name) ?? 0 })),
            { ...gone, existing: 0, available: gone.available + gone.existing },
          ];
          const again = divide({ candidates: back, replicas, rules: rules(scheduling) }).bySite;
          expect(movedAway(back, again)).toBe(0);
        },
      ),
    );
  });

  test("the number of groups is within its bounds wherever that can be had", () => {
    check(
      fc.property(
        candidateSets,
        schedulings,
        fc.integer({ min: 0, max: 30 }),
        fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 0, max: 2 })),
        (candidates, scheduling, replicas, [minGroups, more]) => {
          const maxGroups = minGroups + more;
          const { bySite, problems } = divide({
            candidates,
            replicas,
            rules: rules(scheduling, { spreadByField: "region", minGroups, maxGroups }),
          });
          const used = new Set(
            candidates.filter((c) => (bySite.get(c.name) ?? 0) > 0).map((c) => c.region),
          );
          expect(used.size).toBeLessThanOrEqual(maxGroups);
          expect(problems.length > 0 || used.size >= minGroups).toBe(true);
        },
      ),
    );
  });

  test("aggregated takes the fewest candidates that hold the replicas", () => {
    expect.hasAssertions();
    check(
      fc.property(candidateSets, fc.integer({ min: 1, max: 40 }), (candidates, replicas) => {
        const empty = candidates.map((c) => ({ ...c, existing: 0 }));
        const { bySite, unplaced } = divide({
          candidates: empty,
          replicas,
          rules: rules(AGGREGATED),
        });
        fc.pre(unplaced === 0);
        const used = [...bySite.values()].filter((count) => count > 0).length;
        const sets = Array.from({ length: 2 ** empty.length }, (_, set) =>
          empty.filter((__, i) => Math.floor(set / 2 ** i) % 2 === 1),
        );
        const fewer = sets.filter(
          (members) =>
            members.length < used && members.reduce((sum, c) => sum + c.available, 0) >= replicas,
        );
        expect(fewer).toEqual([]);
      }),
    );
  });

  test("within one replica of the exact share wherever no bound cuts", () => {
    check(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 99 }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 0, max: 1_000 }),
        (weights, count) => {
          const sharers = weights.map((weight, i) => ({
            name: `s${i}`,
            weight,
            lower: 0,
            upper: 10_000,
            existing: 0,
          }));
          const shares = shareOut(sharers, count);
          const sum = weights.reduce((a, b) => a + b, 0);
          expect(total(shares)).toBe(count);
          for (const { name, weight } of sharers)
            expect(Math.abs((shares.get(name) ?? 0) - (count * weight) / sum)).toBeLessThan(1);
        },
      ),
    );
  });

  test("numbers that are none decide nothing", () => {
    const odd = fc.constantFrom(Number.NaN, -1, 1e308, Number.POSITIVE_INFINITY, 0.5);
    check(
      fc.property(odd, odd, odd, schedulings, (available, existing, price, scheduling) => {
        const input: DivisionInput = {
          candidates: [site("s0", { available, existing, movePrice: price }), site("s1")],
          replicas: 5,
          rules: rules(scheduling),
        };
        const { bySite, unplaced } = divide(input);
        expect(total(bySite) + unplaced).toBe(5);
        for (const count of bySite.values()) expect(Number.isSafeInteger(count)).toBe(true);
        for (const move of rebalance(input).moves)
          expect(move.gain).toBeGreaterThanOrEqual(move.price);
      }),
      100,
    );
    expect(
      total(divide({ candidates: [site("a")], replicas: Number.NaN, rules: rules(SPREAD) }).bySite),
    ).toBe(0);
  });
});

describe("rebalance", () => {
  test("moves from surplus to lack, each with its gain and price", () => {
    const candidates = [site("a", { existing: 4 }), site("b"), site("c", { existing: 1 })];
    const { moves, notWorth, ideal } = rebalance({ candidates, replicas: 5, rules: rules(SPREAD) });
    expect(Object.fromEntries(ideal)).toEqual({ a: 2, b: 2, c: 1 });
    expect(moves.map(({ from, to, gain, price }) => ({ from, to, gain, price }))).toEqual([
      { from: "a", to: "b", gain: 1, price: MOVE_PRICE_DEFAULT },
      { from: "a", to: "b", gain: 1, price: MOVE_PRICE_DEFAULT },
    ]);
    expect(notWorth).toEqual([]);
  });

  test("what costs more than it gains is not proposed", () => {
    const candidates = [site("a", { existing: 4, movePrice: 1.5 }), site("b")];
    const dear = rebalance({ candidates, replicas: 4, rules: rules(SPREAD) });
    expect(dear.moves).toEqual([]);
    expect(dear.notWorth.map((m) => m.price)).toEqual([1.5, 1.5]);
    const many = [
      site("a", { existing: 6, available: 0 }),
      site("b", { existing: 2, available: 9 }),
    ];
    const emptied = rebalance({ candidates: many, replicas: 8, rules: rules(AGGREGATED) });
    expect(Object.fromEntries(emptied.ideal)).toEqual({ a: 0, b: 8 });
    expect([emptied.moves.length, emptied.notWorth.length]).toEqual([0, 6]);
  });

  test("after the moves nothing is left to move", () => {
    check(
      fc.property(candidateSets, schedulings, (candidates, scheduling) => {
        const replicas = candidates.reduce((sum, c) => sum + c.existing, 0);
        const free = candidates.map((c) => ({ ...c, movePrice: 0 }));
        const { moves, ideal } = rebalance({
          candidates: free,
          replicas,
          rules: rules(scheduling),
        });
        const counts = new Map(free.map((c) => [c.name, c.existing]));
        for (const { from, to } of moves) {
          counts.set(from, (counts.get(from) ?? 0) - 1);
          counts.set(to, (counts.get(to) ?? 0) + 1);
        }
        expect(counts).toEqual(new Map(ideal));
        const settled = free.map((c) => {
          const existing = counts.get(c.name) ?? 0;
          return { ...c, existing, available: c.available + c.existing - existing };
        });
        const input = { candidates: settled, replicas, rules: rules(scheduling) };
        expect(rebalance(input).moves).toEqual([]);
        expect(divide(input).bySite).toEqual(idealDivision(input).bySite);
      }),
    );
  });
});
