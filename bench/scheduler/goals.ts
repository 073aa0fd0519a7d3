import { type Measured, REPAIR_COUNTS } from "./measure.ts";
import type { ScoreName } from "./sides.ts";

/** Figures of one fleet. */
export interface Row extends Measured {
  readonly score: ScoreName;
  /** Whether nodes and requests are the trace's. */
  readonly isTrace: boolean;
  readonly nodes: number;
  readonly shapes: number;
}

/** A figure with what it should be. */
export interface Goal {
  readonly what: string;
  readonly goal: number;
  /** The least favourable one of those measured; absent: none was. */
  readonly measured?: number;
  readonly verdict: "met" | "missed" | "not measured";
}

/** Fleets that the goals speak of have about so many nodes. */
const GOAL_NODES_MIN = 90_000;
const GOAL_NODES = "100,000 nodes";
const REPAIR_MICROS_MAX = [5, 50, 500] as const;

/** What is to be reached, and whether it is. */
export function goalsOf(rows: readonly Row[]): readonly Goal[] {
  const large = rows.filter(({ nodes }) => nodes >= GOAL_NODES_MIN);
  const rates = (of: readonly Row[]): readonly number[] => of.map((row) => row.treePerSecond);
  const trace = large.filter(({ score, isTrace }) => score === "gpu" && isTrace);
  const article = large.filter(
    ({ score, isTrace, shapes }) => score === "article" && !isTrace && shapes === 100,
  );
  return [
    atLeast(`decisions per CPU-second, gpu, the trace on ${GOAL_NODES}`, 200_000, rates(trace)),
    atLeast(
      `decisions per CPU-second, article, 100 shapes on ${GOAL_NODES}`,
      30_000,
      rates(article),
    ),
    ...REPAIR_COUNTS.map((count, i) =>
      atMost(
        `CPU µs of a decision after ${count} changed nodes, ${GOAL_NODES}`,
        REPAIR_MICROS_MAX[i] ?? 0,
        large.flatMap(({ repairMicros }) => repairMicros[i] ?? []),
      ),
    ),
    ...(["gpu", "article"] as const).map((score) =>
      atMost(
        `MB of the whole process, ${score}, ${GOAL_NODES}`,
        500,
        large.filter((row) => row.score === score).map(({ rssMb }) => rssMb),
      ),
    ),
  ];
}

function atLeast(what: string, goal: number, measured: readonly number[]): Goal {
  if (measured.length === 0) return { what: `≥ ${goal} ${what}`, goal, verdict: "not measured" };
  const least = Math.min(...measured);
  const verdict = least >= goal ? "met" : "missed";
  return { what: `≥ ${goal} ${what}`, goal, measured: least, verdict };
}

function atMost(what: string, goal: number, measured: readonly number[]): Goal {
  if (measured.length === 0) return { what: `≤ ${goal} ${what}`, goal, verdict: "not measured" };
  const most = Math.max(...measured);
  const verdict = most <= goal ? "met" : "missed";
  return { what: `≤ ${goal} ${what}`, goal, measured: most, verdict };
}
