import { tableText } from "../support/table.ts";
import type { Policy } from "./policies.ts";
import type { Comparison } from "./published.ts";
import type { Replay } from "./replay.ts";
import type { TracePod } from "./trace.ts";

/** One policy on one order of arrival. */
export interface Run {
  readonly policy: Policy;
  readonly replay: Replay;
  readonly comparison: Comparison | undefined;
}

/** All runs of one call. */
export interface Report {
  readonly pods: string;
  readonly profile: string;
  readonly runs: readonly Run[];
}

/** Columns of the curve that the table shows, arrived percent. */
const SHOWN_PERCENTS = [90, 95, 100, 110, 120, 130] as const;

/** Allocation per policy, each run and the mean. */
export function reportText({ pods, profile, runs }: Report): string {
  const head = [
    "policy",
    ...SHOWN_PERCENTS.map((p) => `at ${p} %`),
    "first failure %",
    "unallocated GPUs",
    "decisions/CPU-s",
    "published at 130 %",
  ];
  const rows = [...Map.groupBy(runs, (r) => r.policy)].flatMap(([policy, ofPolicy]) => [
    ...ofPolicy.map((run) => rowOf(`${policy} ${run.replay.arrivals}`, [run])),
    ...(ofPolicy.length > 1 ? [rowOf(`${policy} mean of ${ofPolicy.length}`, ofPolicy)] : []),
  ]);
  return `GPU allocation in % by arrived demand in %\npods: ${pods}; flotilla's profile: ${profile}\n\n${tableText([head, ...rows])}`;
}

/** The same as data; every column of every curve, rounded to thousandths. */
export function reportJson({ pods, profile, runs }: Report): unknown {
  return {
    pods,
    profile,
    means: Object.fromEntries(
      [...Map.groupBy(runs, (r) => r.policy)].map(([policy, ofPolicy]) => [
        policy,
        {
          at130: rounded(mean(ofPolicy.map((r) => r.replay.curve[130]))),
          firstFailurePercent: rounded(mean(ofPolicy.map(firstFailureOf))),
          unallocatedGpus: rounded(mean(ofPolicy.map((r) => r.replay.unallocatedGpus))),
        },
      ]),
    ),
    runs: runs.map(({ policy, replay, comparison }) => ({
      policy,
      arrivals: replay.arrivals,
      finalPercent: rounded(replay.finalPercent),
      firstFailurePercent: rounded(replay.firstFailurePercent),
      unallocatedGpus: rounded(replay.unallocatedGpus),
      placed: replay.placements.filter((p) => p.node !== undefined).length,
      notPlaced: replay.placements.filter((p) => p.node === undefined).length,
      decisionsPerCpuSecond: Math.round(replay.placements.length / replay.cpuSeconds),
      ...(comparison === undefined ? {} : { published: comparison }),
      curve: replay.curve.map(rounded),
    })),
  };
}

/** `arrival,pod,node,gpus`, one line per arrival in order. */
export function placementsText(replay: Replay, pods: readonly TracePod[]): string {
  const lines = replay.placements.map(
    ({ pod, node, gpus }, i) => `${i},${pods[pod]?.name ?? ""},${node ?? ""},${gpus.join("+")}\n`,
  );
  return `arrival,pod,node,gpus\n${lines.join("")}`;
}

function rowOf(name: string, runs: readonly Run[]): readonly string[] {
  return [
    name,
    ...SHOWN_PERCENTS.map((percent) => mean(runs.map((r) => r.replay.curve[percent])).toFixed(3)),
    mean(runs.map(firstFailureOf)).toFixed(2),
    mean(runs.map((r) => r.replay.unallocatedGpus)).toFixed(1),
    mean(runs.map((r) => r.replay.placements.length / r.replay.cpuSeconds)).toFixed(0),
    publishedText(runs),
  ];
}

/** The published mean, and whether every column of every run is the same. */
function publishedText(runs: readonly Run[]): string {
  const comparisons = runs.flatMap(({ comparison }) =>
    comparison === undefined ? [] : [comparison],
  );
  if (comparisons.length < runs.length) return "-";
  const value = mean(comparisons.map((c) => c.published130)).toFixed(3);
  const worst = Math.max(...comparisons.map((c) => c.differenceMax)).toFixed(3);
  if (runs.some((r) => r.policy === "random")) return `${value}, drawn otherwise`;
  return comparisons.every((c) => c.equal)
    ? `${value}, all columns equal`
    : `${value}, columns differ by up to ${worst}`;
}

/** Arrivals of which all were placed count as 100 % and more: all that came. */
function firstFailureOf({ replay }: Run): number {
  return replay.firstFailurePercent ?? ARRIVED_PERCENT_MAX;
}

const ARRIVED_PERCENT_MAX = 130;

function mean(values: readonly (number | undefined)[]): number {
  return values.reduce<number>((sum, v) => sum + (v ?? Number.NaN), 0) / values.length;
}

function rounded(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : Math.round(value * 1_000) / 1_000;
}
