import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { describe, expect, test } from "vitest";
import { fleetOf } from "../openb/fleet.ts";
import { knowledgeOf } from "../openb/policies.ts";
import type { TraceNode, TracePod } from "../openb/trace.ts";
import { type ChurnOutcome, playChurn } from "./churn.ts";
import { COUNTED_LIVES, courseOf, WARM_UP_LIVES } from "./course.ts";
import { Departures } from "./departures.ts";
import { CHURN_POLICIES, type ChurnPolicy, scoreOf } from "./policies.ts";
import { blockedPercent, churnText, movesPerThousand } from "./report.ts";

/** 16 nodes of 4 GPUs; slices, single GPUs and whole nodes are asked for. */
const NODES: readonly TraceNode[] = Array.from({ length: 16 }, (_, i) => ({
  name: `node-${i}`,
  milliCpu: 64_000,
  memoryMib: 256_000,
  gpuCount: 4,
  model: "T4",
}));
const PODS: readonly TracePod[] = [
  ...Array.from({ length: 10 }, () => [1, 470] as const),
  ...Array.from({ length: 10 }, () => [1, 1_000] as const),
  [4, 1_000] as const,
].map(([gpuCount, gpuMilli], i) => ({
  name: `pod-${i}`,
  milliCpu: 2_000 * gpuCount,
  memoryMib: 1_000,
  gpuCount,
  gpuMilli,
  models: [],
}));
const GPU_MILLI = 64_000;
const courseAt = (load: number, seed: number): ReturnType<typeof courseOf> =>
  courseOf(PODS, { gpuMilli: GPU_MILLI, nodeCount: NODES.length }, { load, seed });

function played(policy: ChurnPolicy, defragments: boolean, seed = 1): ChurnOutcome {
  const course = courseAt(0.85, seed);
  const fleet = fleetOf(NODES, PODS, course.ranks);
  const knowledge = knowledgeOf(PODS);
  const score = scoreOf(policy, knowledge, fleet);
  return playChurn(course, fleet, { score, milliCpuPerGpu: 2_000, defragments });
}

describe("a course", () => {
  test("asks for the load on average, and begins as it goes on", () => {
    const milliOf = (pod: number): number =>
      (PODS[pod]?.gpuCount ?? 0) * (PODS[pod]?.gpuMilli ?? 0);
    const loads = Array.from({ length: 40 }, (_, seed) => {
      const { arrivals } = courseAt(0.85, seed);
      const at = (time: number): number =>
        arrivals
          .filter((a) => a.atLives <= time && a.atLives + a.lastsLives > time)
          .reduce((sum, a) => sum + milliOf(a.pod), 0) / GPU_MILLI;
      return [at(0), at(WARM_UP_LIVES + COUNTED_LIVES - 0.001)] as const;
    });
    const mean = (values: readonly number[]): number =>
      values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(loads.map(([first]) => first))).toBeCloseTo(0.85, 1);
    expect(mean(loads.map(([, last]) => last))).toBeCloseTo(0.85, 1);
  });

  test("is the same for the same seed and another for another", () => {
    expect(courseAt(0.9, 7)).toEqual(courseAt(0.9, 7));
    expect(courseAt(0.9, 8).arrivals).not.toEqual(courseAt(0.9, 7).arrivals);
  });
});

describe("a play", () => {
  test.each(CHURN_POLICIES)(
    "of %s counts each arrival once, and moves unblock demand",
    (policy) => {
      const seeds = [1, 2, 3];
      const [without, moved] = [false, true].map((defragments) =>
        seeds.map((seed) => played(policy, defragments, seed)),
      );
      const sum = (runs: readonly ChurnOutcome[] | undefined, field: keyof ChurnOutcome): number =>
        (runs ?? []).reduce((total, run) => total + run[field], 0);
      for (const runs of [without, moved]) {
        expect(sum(runs, "placed") + sum(runs, "blocked")).toBe(sum(runs, "arrivals"));
        expect(sum(runs, "gpuMilliAsked")).toBe(sum(without, "gpuMilliAsked"));
      }
      expect([sum(without, "moves"), sum(without, "plans")]).toEqual([0, 0]);
      expect(sum(moved, "gpuMilliBlocked")).toBeLessThan(sum(without, "gpuMilliBlocked"));
      expect(sum(moved, "plans")).toBeGreaterThan(0);
      expect(sum(moved, "moves")).toBeGreaterThanOrEqual(sum(moved, "plans"));
    },
  );

  test("is the same each time", () => {
    const { cpuSeconds: _a, planMsMax: _b, ...first } = played("flotilla", true);
    const { cpuSeconds: _c, planMsMax: _d, ...second } = played("flotilla", true);
    expect(second).toEqual(first);
  });

  test("is reported over all seeds together, by demand", () => {
    const runs = [1, 2].map((seed) => ({
      policy: "flotilla" as const,
      defragments: true,
      load: 0.85,
      seed,
      outcome: played("flotilla", true, seed),
    }));
    const sum = (field: keyof ChurnOutcome): number =>
      runs.reduce((total, run) => total + run.outcome[field], 0);
    expect(blockedPercent(runs)).toBe((sum("gpuMilliBlocked") / sum("gpuMilliAsked")) * 100);
    expect(movesPerThousand(runs)).toBe((sum("moves") / sum("placed")) * 1_000);
    const text = churnText({ pods: "p", seeds: [1, 2], warmUpLives: 2, countedLives: 3, runs });
    expect(text).toContain("seeds 1, 2");
    expect(text).toContain("flotilla + moves");
  });
});

test("departures come in the order of their times", () => {
  const random = new SeededRandom(3);
  const times = Array.from({ length: 500 }, () => Math.floor(random.unit("time") * 50));
  const departures = new Departures();
  for (const [id, at] of times.entries()) departures.add(id, at);
  const early = [...departures.until(20)];
  const all = [...early, ...departures.until(Number.POSITIVE_INFINITY)];
  const order = [...times.keys()].toSorted((a, b) => (times[a] ?? 0) - (times[b] ?? 0) || a - b);
  expect(all).toEqual(order);
  expect(early).toEqual(order.filter((id) => (times[id] ?? 0) <= 20));
});
