import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { job, queue, row, shape, TestFleet } from "../../testing/round-fleet.ts";
import { SeededRandom } from "../../testing/seeded-random.ts";
import type { NodeRow } from "../engine/node-table.ts";
import type { Shape } from "../engine/shape.ts";
import { isFree } from "./nodes.ts";
import type { RoundJob, RoundQueue, RoundResult } from "./types.ts";

const SHAPES: readonly Shape[] = [
  shape(),
  shape({ milliCpu: 3_000, memoryBytes: 100 }),
  shape({ milliCpu: 500, gpuCount: 1, gpuMilli: 1_000 }),
  shape({ milliCpu: 500, gpuCount: 1, gpuMilli: 400 }),
  shape({ milliCpu: 1_000, gpuCount: 2, gpuMilli: 1_000 }),
];
const NAMES = ["a", "b", "c", "d"] as const;

const amounts = fc.option(
  fc.record(
    { milliCpu: fc.integer({ min: 0, max: 20_000 }), gpuMilli: fc.integer({ min: 0, max: 6_000 }) },
    { requiredKeys: [], noNullPrototype: true },
  ),
  { nil: undefined },
);
const queuesArbitrary: fc.Arbitrary<readonly RoundQueue[]> = fc
  .tuple(
    ...NAMES.map((name, i) =>
      fc.record({
        name: fc.constant(name),
        parent: fc.constantFrom(undefined, ...NAMES.slice(0, i), "nobody"),
        weight: fc.integer({ min: 1, max: 4 }),
        priority: fc.integer({ min: 0, max: 2 }),
        open: fc.constantFrom(true, true, true, false),
        reclaimable: fc.constantFrom(true, true, false),
        dequeueStrategy: fc.constantFrom("traverse" as const, "fifo" as const),
        guarantee: amounts,
        deserved: amounts,
        capability: amounts,
      }),
    ),
  )
  .map((list) =>
    list.map(
      ({ parent, guarantee, deserved, capability, ...rest }): RoundQueue => ({
        ...rest,
        ...(parent === undefined ? {} : { parent }),
        ...(guarantee === undefined ? {} : { guarantee }),
        ...(deserved === undefined ? {} : { deserved }),
        ...(capability === undefined ? {} : { capability }),
      }),
    ),
  );
const rowsArbitrary: fc.Arbitrary<readonly NodeRow[]> = fc.array(
  fc.record({
    milliCpu: fc.integer({ min: 1, max: 10 }).map((cores) => cores * 1_000),
    memoryBytes: fc.constant(1_000),
    diskBytes: fc.constant(1_000),
    gpuCount: fc.integer({ min: 0, max: 4 }),
  }),
  { minLength: 1, maxLength: 5 },
);
const jobsArbitrary: fc.Arbitrary<readonly RoundJob[]> = fc
  .array(
    fc.record({
      shape: fc.constantFrom(...SHAPES),
      count: fc.integer({ min: 1, max: 6 }),
      minMember: fc.integer({ min: 0, max: 6 }),
      queue: fc.constantFrom(undefined, ...NAMES),
      priority: fc.integer({ min: 0, max: 3 }),
      preemption: fc.constantFrom("LowerPriority", "LowerPriority", "Never"),
      evictable: fc.constantFrom(true, true, true, false),
      estimateMs: fc.constantFrom(undefined, 10_000),
      waitMaxMs: fc.constantFrom(undefined, undefined, 1_000),
    }),
    { minLength: 1, maxLength: 14 },
  )
  .map((list) =>
    list.map(({ queue: of, estimateMs, waitMaxMs, minMember, preemption, ...rest }, i) =>
      job(`j${i}`, {
        ...rest,
        preemption: preemption === "Never" ? "Never" : "LowerPriority",
        minMember: Math.min(minMember, rest.count),
        ...(of === undefined ? {} : { queue: of }),
        ...(estimateMs === undefined ? {} : { estimateMs }),
        ...(waitMaxMs === undefined ? {} : { waitMaxMs }),
      }),
    ),
  );

interface Life {
  readonly rows: readonly NodeRow[];
  readonly queues: readonly RoundQueue[];
  readonly jobs: readonly RoundJob[];
}
const lifeArbitrary: fc.Arbitrary<Life> = fc.record({
  rows: rowsArbitrary,
  queues: queuesArbitrary,
  jobs: jobsArbitrary,
});

/** Jobs come in three waves; some end. Answers what each round did. */
function live(
  { rows, queues, jobs }: Life,
  look: (fleet: TestFleet, result: RoundResult) => void,
): TestFleet {
  const fleet = new TestFleet(rows, queues);
  for (let wave = 0; wave < 3; wave++) {
    fleet.add(...jobs.filter((_, i) => i % 3 === wave));
    look(fleet, fleet.round());
    fleet.nowMs += 2_000;
    look(fleet, fleet.round());
    if (wave === 1) for (const one of jobs.filter((_, i) => i % 4 === 0)) fleet.end(one.id);
  }
  return fleet;
}

/** Nothing is given twice, nothing is lost: what is free and what runs are all there is. */
function expectBooked(fleet: TestFleet, rows: readonly NodeRow[]): void {
  const free = fleet.nodes.milliCpuFree.slice();
  const gpu = Array.from(fleet.nodes.gpuFree);
  expect(Math.min(0, ...free, ...gpu, ...fleet.nodes.memoryFree)).toBe(0);
  for (const { placed } of fleet.running) {
    free[placed.node] = (free[placed.node] ?? 0) + placed.shape.milliCpu;
    for (const device of placed.devices) {
      const g = (fleet.nodes.gpuFirst[placed.node] ?? 0) + device;
      gpu[g] = (gpu[g] ?? 0) + placed.shape.gpuMilli;
    }
  }
  expect([...free]).toEqual(rows.map((r) => r.milliCpu));
  expect(gpu).toEqual(gpu.map(() => 1_000));
}

function expectWholeGangs(fleet: TestFleet, jobs: readonly RoundJob[]): void {
  for (const one of jobs) {
    const running = fleet.runningOf(one.id).length;
    expect(running === 0 || running >= one.minMember).toBe(true);
  }
}

function expectCapability(result: RoundResult, queues: readonly RoundQueue[]): void {
  for (const { capability, name } of queues)
    for (const [resource, most] of Object.entries(capability ?? {})) {
      const share = result.shares.find((s) => s.queue === name);
      expect(
        Object.entries(share?.allocated ?? {}).find(([r]) => r === resource)?.[1],
      ).toBeLessThanOrEqual(most);
    }
}

describe("rounds over random fleets, queues and jobs", () => {
  test("over-commit nothing, split no gang, pass no capability, and give each reason", () => {
    fc.assert(
      fc.property(lifeArbitrary, (life) => {
        live(life, (fleet, result) => {
          expectBooked(fleet, life.rows);
          expectWholeGangs(fleet, life.jobs);
          expectCapability(result, life.queues);
          const waits = new Set(result.waiting.map((w) => w.jobId));
          const losers = new Set(result.evictions.map((e) => e.jobId));
          for (const one of fleet.input().jobs.filter((j) => j.members.length > 0))
            expect(waits.has(one.id) || losers.has(one.id)).toBe(true);
          for (const { message } of result.waiting) expect(message.length).toBeGreaterThan(10);
        });
      }),
      { seed: 61, numRuns: 400 },
    );
  }, 60_000);

  test("evict only for what is then placed, only what is needed, and only what may go", () => {
    fc.assert(
      fc.property(lifeArbitrary, (life) => {
        const byId = new Map(life.jobs.map((j) => [j.id, j]));
        const isPlain = life.queues.every((q) => q.capability === undefined);
        let before: ReturnType<TestFleet["input"]>["running"] = [];
        live(life, (fleet, result) => {
          for (const eviction of result.evictions) {
            const [by, of] = [byId.get(eviction.forJobId), byId.get(eviction.jobId)];
            expect(result.placements.map((p) => p.jobId)).toContain(eviction.forJobId);
            expect(by?.preemption).toBe("LowerPriority");
            expect(of?.evictable).toBe(true);
            const isLower = (of?.priority ?? 0) < (by?.priority ?? 0);
            expect(isLower || eviction.reason === "Reclaimed").toBe(true);
            const victim = before.find((run) => run.id === eviction.id);
            const isJudged = victim !== undefined && isPlain && of?.minMember === 0;
            expect(isJudged && isFree(fleet.nodes, victim.placed)).toBe(false);
          }
          before = fleet.running;
        });
      }),
      { seed: 62, numRuns: 400 },
    );
  }, 60_000);

  test("decide the same from the same input", () => {
    fc.assert(
      fc.property(lifeArbitrary, (life) => {
        const [first, second]: RoundResult[][] = [[], []];
        live(life, (_, result) => first?.push(result));
        const turned = { ...life, queues: life.queues.toReversed() };
        live(turned, (_, result) => second?.push(result));
        expect(second).toEqual(first);
      }),
      { seed: 63, numRuns: 100 },
    );
  }, 60_000);

  test("come to rest when nothing changes: no reclaim goes round in a circle", () => {
    const roundsMax = 30;
    fc.assert(
      fc.property(lifeArbitrary, (life) => {
        const fleet = live(life, () => {});
        let rounds = 0;
        for (let moves = 1; moves > 0; rounds++) {
          expect(rounds).toBeLessThan(roundsMax);
          const { placements, evictions } = fleet.round();
          moves = placements.length + evictions.length;
        }
        expect(fleet.round().evictions).toEqual([]);
      }),
      { seed: 64, numRuns: 1_000 },
    );
  }, 60_000);
});

test("no gang of 100,000 is started in part, or left in part by evictions", () => {
  const seed = 65;
  const random = new SeededRandom(seed);
  const pick = (count: number): number => Math.floor(random.unit("test") * count);
  let gangs = 0;
  for (let round = 0; gangs < 100_000; round++) {
    const fleet = new TestFleet(
      Array.from({ length: 1 + pick(3) }, () =>
        row({ milliCpu: 1_000 * (1 + pick(8)), gpuCount: pick(4) }),
      ),
    );
    const jobs = Array.from({ length: 10 }, (_, i) => {
      const count = 1 + pick(6);
      const of = SHAPES[pick(SHAPES.length)] ?? shape();
      return job(`g${i}`, { count, minMember: 1 + pick(count), shape: of, priority: pick(3) });
    });
    fleet.add(...jobs.slice(0, 5));
    fleet.round();
    fleet.add(...jobs.slice(5));
    fleet.round();
    for (const one of jobs) {
      const running = fleet.runningOf(one.id).length;
      if (running > 0 && running < one.minMember)
        throw new Error(
          `seed ${seed}, round ${round}: ${running} of ${one.minMember} of ${one.id}`,
        );
    }
    gangs += jobs.length;
  }
  expect(gangs).toBe(100_000);
}, 120_000);

describe("shares", () => {
  /** Weighted max-min of one resource, in the textbook way: the smallest demand per weight is met first. */
  function waterFilled(total: number, of: readonly { weight: number; demand: number }[]): number[] {
    const result = of.map(() => 0);
    let left = total;
    let weights = of.reduce((sum, q) => sum + q.weight, 0);
    const order = [...of.entries()].toSorted(
      (a, b) => a[1].demand / a[1].weight - b[1].demand / b[1].weight,
    );
    for (const [i, { weight, demand }] of order) {
      const got = Math.min(demand, (left * weight) / weights);
      result[i] = got;
      left -= got;
      weights -= weight;
    }
    return result;
  }

  test("are within one task of water-filling, whoever came first", () => {
    const flat = fc.array(
      fc.record({
        weight: fc.integer({ min: 1, max: 9 }),
        demand: fc.integer({ min: 0, max: 60 }),
      }),
      { minLength: 1, maxLength: 8 },
    );
    fc.assert(
      fc.property(flat, fc.integer({ min: 1, max: 5 }), fc.nat(7), (of, nodes, early) => {
        const fleet = new TestFleet(
          Array.from({ length: nodes }, () => row({ milliCpu: 20_000 })),
          of.map((q, i) => queue(`q${i}`, { weight: q.weight })),
        );
        const jobs = of.map((q, i) => job(`j${i}`, { queue: `q${i}`, count: q.demand }));
        fleet.add(...jobs.filter((_, i) => i <= early));
        fleet.round();
        fleet.add(...jobs);
        let result = fleet.round();
        for (let i = 0; result.evictions.length > 0 && i < 20; i++) result = fleet.round();
        const fair = waterFilled(nodes * 20, of);
        for (const [i, tasks] of fair.entries()) {
          const share = result.shares.find((s) => s.queue === `q${i}`);
          expect(share?.fairShare).toBeCloseTo(tasks / (nodes * 20), 9);
          expect(Math.abs(fleet.runningOf(`j${i}`).length - tasks)).toBeLessThanOrEqual(1);
        }
      }),
      { seed: 66, numRuns: 300 },
    );
  }, 60_000);

  test("of several resources are those of dominant-resource fairness: who lacks something has a bottleneck", () => {
    const of = fc.array(
      fc.record({
        weight: fc.integer({ min: 1, max: 4 }),
        milliCpu: fc.integer({ min: 1, max: 8 }).map((n) => n * 500),
        memoryBytes: fc.integer({ min: 0, max: 8 }),
        count: fc.integer({ min: 1, max: 40 }),
      }),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(of, (list) => {
        const total = { milliCpu: 40_000, memoryBytes: 80 };
        const fleet = new TestFleet(
          [row(total)],
          list.map((q, i) => queue(`q${i}`, { weight: q.weight })),
        );
        for (const [i, { milliCpu, memoryBytes, count }] of list.entries())
          fleet.add(
            job(`j${i}`, { queue: `q${i}`, count, shape: shape({ milliCpu, memoryBytes }) }),
          );
        const { shares } = fleet.round();
        const users = list.map((q, i) => {
          const cpu = q.milliCpu / total.milliCpu;
          const memory = q.memoryBytes / total.memoryBytes;
          const fair = shares.find((s) => s.queue === `q${i}`)?.fairShare ?? 0;
          const dominant = Math.max(cpu, memory);
          const demand = dominant * q.count;
          return {
            uses: [cpu / dominant, memory / dominant],
            fair,
            demand,
            level: fair / q.weight,
          };
        });
        const used = [0, 1].map((r) =>
          users.reduce((sum, u) => sum + u.fair * (u.uses[r] ?? 0), 0),
        );
        for (const amount of used) expect(amount).toBeLessThanOrEqual(1 + 1e-9);
        for (const user of users.filter((u) => u.fair < u.demand - 1e-9)) {
          const isBottleneck = (r: number): boolean =>
            (user.uses[r] ?? 0) > 0 &&
            (used[r] ?? 0) > 1 - 1e-6 &&
            users.every((u) => (u.uses[r] ?? 0) === 0 || u.level <= user.level + 1e-6);
          expect([0, 1].some(isBottleneck)).toBe(true);
        }
      }),
      { seed: 67, numRuns: 300 },
    );
  }, 60_000);

  test("honour guarantees while there is demand, and take nobody below what it deserves", () => {
    const of = fc.array(
      fc.record({
        guarantee: fc.integer({ min: 0, max: 8 }),
        extra: fc.integer({ min: 0, max: 8 }),
        demand: fc.integer({ min: 0, max: 40 }),
        evictable: fc.boolean(),
        reclaimable: fc.boolean(),
      }),
      { minLength: 2, maxLength: 5 },
    );
    fc.assert(
      fc.property(of, fc.nat(4), (list, early) => {
        const fleet = new TestFleet(
          [row({ milliCpu: 30_000 }), row({ milliCpu: 50_000 })],
          list.map((q, i) =>
            queue(`q${i}`, {
              reclaimable: q.reclaimable,
              guarantee: { milliCpu: q.guarantee * 1_000 },
              deserved: { milliCpu: (q.guarantee + q.extra) * 1_000 },
            }),
          ),
        );
        const jobs = list.map((q, i) =>
          job(`j${i}`, { queue: `q${i}`, count: q.demand, evictable: q.evictable }),
        );
        fleet.add(jobs[early % jobs.length] ?? job("x"));
        fleet.round();
        fleet.add(...jobs);
        for (let i = 0; i < 3; i++) {
          const before = list.map((_, n) => fleet.runningOf(`j${n}`).length);
          fleet.round();
          for (const [n, { guarantee, extra, demand }] of list.entries()) {
            const has = fleet.runningOf(`j${n}`).length;
            expect(has).toBeGreaterThanOrEqual(Math.min(guarantee, demand));
            expect(has).toBeGreaterThanOrEqual(Math.min(before[n] ?? 0, guarantee + extra));
          }
        }
      }),
      { seed: 68, numRuns: 300 },
    );
  }, 60_000);
});

test("numbers that are no amounts decide nothing, wherever they stand", () => {
  const bad = fc.constantFrom(
    Number.NaN,
    -1,
    1e308,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  );
  fc.assert(
    fc.property(bad, bad, bad, lifeArbitrary, (one, two, three, life) => {
      const limits = { milliCpu: one, gpuMilli: two };
      const hostile = {
        ...life,
        queues: life.queues.map((q) => ({
          ...q,
          weight: three,
          priority: one,
          guarantee: limits,
          deserved: limits,
          capability: limits,
        })),
        jobs: life.jobs.map((j) => ({
          ...j,
          priority: two,
          waitMaxMs: three,
          estimateMs: one,
          pendingSinceMs: two,
        })),
      };
      live(hostile, (fleet, result) => {
        expectBooked(fleet, life.rows);
        expectWholeGangs(fleet, life.jobs);
        for (const share of result.shares) {
          expect(share.share).toBeLessThanOrEqual(1);
          expect(share.fairShare).toBeGreaterThanOrEqual(0);
          expect(share.fairShare).toBeLessThanOrEqual(1 + 1e-9);
        }
        expect(result.waiting.map((w) => w.reason)).not.toContain("OverCapability");
      });
    }),
    { seed: 69, numRuns: 150 },
  );
}, 60_000);
