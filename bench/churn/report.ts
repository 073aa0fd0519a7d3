import { tableText } from "../support/table.ts";
import type { ChurnOutcome } from "./churn.ts";
import type { ChurnPolicy } from "./policies.ts";

/** One policy on one course. */
export interface ChurnRun {
  readonly policy: ChurnPolicy;
  readonly defragments: boolean;
  readonly load: number;
  readonly seed: number;
  readonly outcome: ChurnOutcome;
}

/** All runs of one call. */
export interface ChurnReport {
  readonly pods: string;
  readonly seeds: readonly number[];
  readonly warmUpLives: number;
  readonly countedLives: number;
  readonly runs: readonly ChurnRun[];
}

/** Percent of the GPU demand that found no room, over all these runs together. */
export function blockedPercent(runs: readonly ChurnRun[]): number {
  return (sumOf(runs, "gpuMilliBlocked") / sumOf(runs, "gpuMilliAsked")) * 100;
}

/** Moves per 1,000 placements, over all these runs together. */
export function movesPerThousand(runs: readonly ChurnRun[]): number {
  return (sumOf(runs, "moves") / sumOf(runs, "placed")) * 1_000;
}

/** One line for each load and policy, over all seeds. */
export function churnText({ pods, seeds, warmUpLives, countedLives, runs }: ChurnReport): string {
  const head = [
    "policy",
    "load",
    "blocked demand %",
    "worst seed %",
    "jobs blocked",
    "of them by fragments",
    "moves/1,000 placements",
    "plans",
    "most moves",
    "allocation %",
    "longest plan, CPU ms",
    "CPU s",
  ];
  const rows = groups(runs).map((group) => [
    nameOf(group),
    (group[0]?.load ?? Number.NaN).toFixed(2),
    blockedPercent(group).toFixed(3),
    Math.max(...group.map((run) => blockedPercent([run]))).toFixed(3),
    `${sumOf(group, "blocked")} of ${sumOf(group, "arrivals")}`,
    String(sumOf(group, "blockedByFragments")),
    movesPerThousand(group).toFixed(2),
    String(sumOf(group, "plans")),
    String(Math.max(...group.map((run) => run.outcome.movesMax))),
    (sumOf(group, "allocationPercent") / group.length).toFixed(2),
    Math.max(...group.map((run) => run.outcome.planMsMax)).toFixed(1),
    sumOf(group, "cpuSeconds").toFixed(0),
  ]);
  return `Arrivals and departures; pods: ${pods}; seeds ${seeds.join(", ")}, warm-up ${warmUpLives} mean lives, counted ${countedLives}\n\n${tableText([head, ...rows])}`;
}

/** The same as data, run by run. */
export function churnJson(report: ChurnReport): unknown {
  return {
    ...report,
    means: groups(report.runs).map((group) => ({
      policy: group[0]?.policy,
      defragments: group[0]?.defragments,
      load: group[0]?.load,
      blockedPercent: rounded(blockedPercent(group)),
      movesPerThousand: rounded(movesPerThousand(group)),
      allocationPercent: rounded(sumOf(group, "allocationPercent") / group.length),
    })),
  };
}

function groups(runs: readonly ChurnRun[]): readonly (readonly ChurnRun[])[] {
  return [...Map.groupBy(runs, (run) => `${run.load} ${nameOf([run])}`).values()];
}

function nameOf([run]: readonly ChurnRun[]): string {
  return `${run?.policy ?? ""}${run?.defragments === true ? " + moves" : ""}`;
}

function sumOf(runs: readonly ChurnRun[], field: keyof ChurnOutcome): number {
  return runs.reduce((sum, run) => sum + run.outcome[field], 0);
}

function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}
