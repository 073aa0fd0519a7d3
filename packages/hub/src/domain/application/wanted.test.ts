import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Existing, wantedOfDeployment, wantedOfJob } from "./wanted.ts";

const instance = (index: number, change: Partial<Existing> = {}): Existing => ({
  index,
  placed: true,
  available: true,
  succeeded: false,
  failed: false,
  ...change,
});

describe("a Deployment", () => {
  test("fills the lowest free indexes", () => {
    expect(wantedOfDeployment([instance(1)], 3)).toEqual({ keep: [1], create: [0, 2], remove: [] });
  });

  test("gives up the unplaced, then the not ready, then the highest", () => {
    const existing = [
      instance(0, { placed: false, available: false }),
      instance(1, { available: false }),
      instance(2),
      instance(3),
    ];
    expect(wantedOfDeployment(existing, 3).remove).toEqual([0]);
    expect(wantedOfDeployment(existing, 2).remove).toEqual([0, 1]);
    expect(wantedOfDeployment(existing, 1).remove).toEqual([0, 1, 3]);
  });
});

describe("a Job", () => {
  const counts = { completions: 5, parallelism: 2 };

  test("starts the next index when one has ended, and runs none again", () => {
    expect(wantedOfJob([instance(0, { succeeded: true }), instance(1)], counts)).toEqual({
      keep: [0, 1],
      create: [2],
      remove: [],
    });
  });

  test("starts nothing more after a failure, and stops nothing", () => {
    const wanted = wantedOfJob([instance(0, { failed: true }), instance(1)], counts);
    expect(wanted).toEqual({ keep: [0, 1], create: [], remove: [] });
  });

  test("keeps what runs when parallelism shrinks, and nothing at 0", () => {
    const existing = [instance(0, { placed: false, available: false }), instance(1)];
    expect(wantedOfJob(existing, { completions: 5, parallelism: 1 }).remove).toEqual([0]);
    expect(wantedOfJob(existing, { completions: 5, parallelism: 0 }).remove).toEqual([0, 1]);
  });

  test("drops what is above the completions, ended or not", () => {
    const existing = [instance(0), instance(4, { succeeded: true }), instance(5)];
    expect(wantedOfJob(existing, { completions: 2, parallelism: 3 })).toEqual({
      keep: [0],
      create: [1],
      remove: [4, 5],
    });
  });
});

test("whatever exists, what is kept and made is distinct, in range and of the right number", () => {
  const existing = fc
    .uniqueArray(fc.nat(12), { maxLength: 10 })
    .chain((indexes) =>
      fc.tuple(
        ...indexes.map((index) =>
          fc
            .record({ placed: fc.boolean(), available: fc.boolean(), succeeded: fc.boolean() })
            .map((change) => instance(index, change)),
        ),
      ),
    );
  fc.assert(
    fc.property(existing, fc.nat(10), fc.nat(10), (list, count, parallelism) => {
      const deployment = wantedOfDeployment(list, count);
      const all = [...deployment.keep, ...deployment.create];
      expect(new Set(all).size).toBe(count);
      expect(deployment.keep.length + deployment.remove.length).toBe(list.length);
      const job = wantedOfJob(list, { completions: count, parallelism });
      const indexes = [...job.keep, ...job.create];
      expect(new Set(indexes).size).toBe(indexes.length);
      for (const index of indexes) expect(index).toBeLessThan(count);
      const ended = new Set(list.filter((e) => e.succeeded).map((e) => e.index));
      expect(indexes.filter((i) => !ended.has(i)).length).toBeLessThanOrEqual(parallelism);
    }),
    { seed: 42, numRuns: 500 },
  );
});
