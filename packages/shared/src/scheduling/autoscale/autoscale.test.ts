import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AutoscaleInput, type MeasuredInstance, recommend } from "./recommend.ts";
import { RECOMMENDATIONS_MAX, scalingOf } from "./stabilize.ts";

const SEED = 20_261_125;
const WINDOW_MS = 300_000;
const instances = (
  ...values: readonly (number | undefined | "starting")[]
): readonly MeasuredInstance[] =>
  values.map((v) => ({
    ready: v !== "starting",
    values: new Map(typeof v === "number" ? [["cpu", v]] : []),
  }));
const input = (over: Partial<AutoscaleInput> = {}): AutoscaleInput => ({
  minReplicas: 1,
  maxReplicas: 100,
  targets: [{ name: "cpu", averageValue: 50 }],
  currentReplicas: over.instances?.length ?? 4,
  instances: [],
  recommendations: [],
  scaleUpWindowMs: 0,
  scaleDownWindowMs: 0,
  nowMs: 1_000_000,
  ...over,
});
const desired = (over: Partial<AutoscaleInput>): number => recommend(input(over)).desiredReplicas;

describe("as the HorizontalPodAutoscaler documents it", () => {
  test.each<[string, Partial<AutoscaleInput>, number]>([
    ["twice the target: twice as many", { instances: instances(100, 100) }, 4],
    ["half the target: half as many", { instances: instances(25, 25, 25, 25) }, 2],
    ["within a tenth: none", { instances: instances(54, 54, 54) }, 3],
    ["rounded up", { instances: instances(60, 60, 60) }, 4],
    ["one step at most doubles", { instances: instances(500, 500, 500) }, 6],
    ["or goes to four", { instances: instances(500) }, 4],
    ["not below min", { instances: instances(1, 1, 1), minReplicas: 2 }, 2],
    ["not above max", { instances: instances(100, 100, 100), maxReplicas: 4 }, 4],
    [
      "missing ones count as just right on the way down",
      { instances: instances(10, 10, undefined, undefined) },
      3,
    ],
    ["and as idle on the way up", { instances: instances(150, 150, undefined, "starting") }, 6],
    [
      "what turns the direction changes nothing",
      { instances: instances(60, undefined, undefined) },
      3,
    ],
    ["nothing known: nothing", { instances: instances(undefined, undefined) }, 2],
    [
      "no number is not known",
      { instances: instances(Number.NaN, -1, Number.POSITIVE_INFINITY) },
      3,
    ],
    [
      "a target that is none",
      { instances: instances(90), targets: [{ name: "cpu", averageValue: 0 }] },
      1,
    ],
    ["none asked for: off", { instances: [], currentReplicas: 0 }, 0],
    ["no metric at all: only the bounds", { targets: [], currentReplicas: 9, maxReplicas: 5 }, 5],
  ])("%s", (_, over, expected) => {
    expect(desired(over)).toBe(expected);
  });

  test("of several metrics the greatest; one that is not known keeps it from going down", () => {
    const measured = (queue?: number): readonly MeasuredInstance[] =>
      [1, 2].map(() => ({
        ready: true,
        values: new Map([["cpu", 25], ...(queue === undefined ? [] : [["queue", queue] as const])]),
      }));
    const targets = [
      { name: "cpu", averageValue: 50 },
      { name: "queue", averageValue: 10 },
    ];
    expect(desired({ targets, instances: measured(20) })).toBe(4);
    expect(desired({ targets, instances: measured() })).toBe(2);
    expect(desired({ targets: targets.slice(0, 1), instances: measured() })).toBe(1);
  });
});

/** Lets a component run under a load that is shared by its replicas; answers how many it had at each step. */
function run(
  loads: readonly number[],
  over: Partial<AutoscaleInput> = {},
): readonly { readonly atMs: number; readonly replicas: number }[] {
  let replicas = 4;
  let recommendations: AutoscaleInput["recommendations"] = [];
  return loads.map((load, step) => {
    const atMs = step * 15_000;
    const next = recommend(
      input({
        ...over,
        currentReplicas: replicas,
        instances: instances(...Array.from({ length: replicas }, () => load / replicas)),
        recommendations,
        nowMs: atMs,
      }),
    );
    recommendations = next.recommendations;
    replicas = next.desiredReplicas;
    return { atMs, replicas };
  });
}

describe("it never flaps", () => {
  test("under a steady load it settles, in one direction, and stays", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4_000 }), (load) => {
        const counts = run(Array.from({ length: 60 }, () => load)).map((s) => s.replicas);
        const last = counts.at(-1) ?? 0;
        expect(counts.slice(-50).every((c) => c === last)).toBe(true);
        const steps = counts.map((c, i) => Math.sign(c - (counts[i - 1] ?? 4)));
        expect(steps.includes(1) && steps.includes(-1)).toBe(false);
        expect(
          Math.abs(load / last / 50 - 1) <= 0.1 || last === Math.ceil(load / 50) || last === 1,
        ).toBe(true);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  test("whatever the load does, nothing falls within the window after it rose", () => {
    expect.hasAssertions();
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 20, maxLength: 120 }),
        (loads) => {
          const steps = run(loads, { scaleDownWindowMs: WINDOW_MS });
          const turns = steps.map(({ atMs, replicas }, i) => ({
            atMs,
            sign: Math.sign(replicas - (steps[i - 1]?.replicas ?? 4)),
          }));
          const rises = turns.filter((t) => t.sign > 0);
          const tooSoon = turns.filter(
            (t) => t.sign < 0 && rises.some((r) => r.atMs < t.atMs && t.atMs - r.atMs < WINDOW_MS),
          );
          expect(tooSoon).toEqual([]);
        },
      ),
      { seed: SEED, numRuns: 200 },
    );
  });

  test("a rise that must have held waits for its window", () => {
    const steps = run(
      Array.from({ length: 12 }, (_, i) => (i < 2 ? 200 : 400)),
      { scaleUpWindowMs: 60_000 },
    );
    expect(steps.find((s) => s.replicas === 8)?.atMs).toBe(2 * 15_000 + 60_000);
  });
});

test("the state is small: nothing is written while nothing changes, and there is a most", () => {
  const windows = { scaleUpWindowMs: 0, scaleDownWindowMs: 3_600_000, recommendations: [] };
  let state = scalingOf({ ...windows, nowMs: 0 }, 3);
  expect(scalingOf({ ...windows, recommendations: state, nowMs: 900_000 }, 3)).toEqual(state);
  for (let i = 1; i < 1_000; i++)
    state = scalingOf({ ...windows, recommendations: state, nowMs: i * 1_000 }, 3 + (i % 2));
  expect(state.length).toBe(RECOMMENDATIONS_MAX);
  expect(scalingOf({ ...windows, recommendations: state, nowMs: 5 }, 9)).toEqual([
    { atMs: 5, replicas: 9 },
  ]);
});
