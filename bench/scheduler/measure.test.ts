import { expect, test } from "vitest";
import { generatedWorkload } from "./fleet.ts";
import { goalsOf } from "./goals.ts";
import { measure } from "./measure.ts";
import { SCORES } from "./sides.ts";

test.each(SCORES)(
  "a measurement of a small fleet compares tree and scan decision by decision (%s)",
  (score) => {
    const measured = measure(generatedWorkload({ nodes: 60, kinds: 8 }, score), 300, 0.02);
    expect(measured.compared).toBeGreaterThan(0);
    expect(measured.compared).toBeLessThanOrEqual(measured.treeDecisions);
    expect(measured.treePerSecond).toBeGreaterThan(0);
  },
);

test("goals are met or missed by what was measured on large fleets, by the worst of it", () => {
  const row = {
    score: "gpu" as const,
    isTrace: true,
    nodes: 100_000,
    shapes: 151,
    treePerSecond: 250_000,
    scanPerSecond: 100,
    onceTreePerSecond: Number.NaN,
    onceScanPerSecond: Number.NaN,
    compared: 1,
    treeDecisions: 1,
    buildMs: 1,
    repairMicros: [1, 49, 501],
    rssMb: 400,
  };
  const verdicts = (rows: readonly (typeof row)[]): readonly string[] =>
    goalsOf(rows).map(({ verdict }) => verdict);
  const none = "not measured";
  expect(verdicts([row])).toEqual(["met", none, "met", "met", "missed", "met", none]);
  expect(verdicts([row, { ...row, treePerSecond: 199_999, rssMb: 501 }])).toEqual([
    "missed",
    none,
    "met",
    "met",
    "missed",
    "missed",
    none,
  ]);
  expect(new Set(verdicts([{ ...row, nodes: 10_000 }]))).toEqual(new Set([none]));
});
