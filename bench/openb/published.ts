import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Policy, PUBLISHED_NAMES } from "./policies.ts";
import type { Replay } from "./replay.ts";

/** The published curves: where they lie, and whether ours are the same. */

/** Most that a column may differ by: both sides are rounded to hundredths. */
const COLUMN_DIFFERENCE_MAX = 0.011;

/** Curves by policy name and arrivals name (`<trace>_<seed>`). */
export type PublishedCurves = ReadonlyMap<string, readonly number[]>;

/** How a replay compares with what was published for the same arrivals. */
export interface Comparison {
  readonly published130: number;
  /** Greatest difference over all columns. */
  readonly differenceMax: number;
  readonly equal: boolean;
}

/** `published_allocation.csv` beside the pod list or, failing that, beside the nodes. */
export function findPublished(paths: readonly string[]): PublishedCurves {
  const file = paths
    .map((path) => join(dirname(path), "published_allocation.csv"))
    .find((path) => existsSync(path));
  if (file === undefined) return new Map();
  const [head = "", ...lines] = readFileSync(file, "utf8").trim().split(/\r?\n/);
  const columns = head.split(",");
  const first = columns.indexOf("0");
  return new Map(
    lines.map((line) => {
      const cells = line.split(",");
      const cell = (name: string): string => cells[columns.indexOf(name)] ?? "";
      const key = curveKey(cell("sc_policy"), `${cell("workload")}_${cell("seed")}`);
      return [key, cells.slice(first).map(Number)];
    }),
  );
}

/** Undefined when nothing was published for these arrivals. Random draws other numbers than the published run. */
export function compare(
  policy: Policy,
  replay: Replay,
  published: PublishedCurves,
): Comparison | undefined {
  const curve = published.get(curveKey(PUBLISHED_NAMES[policy] ?? "", replay.arrivals));
  if (curve === undefined) return undefined;
  const differences = curve.map((value, i) => Math.abs(value - (replay.curve[i] ?? Number.NaN)));
  const differenceMax = differences.reduce((a, b) => (b <= a ? a : b), 0);
  return {
    published130: curve.at(-1) ?? Number.NaN,
    differenceMax,
    equal: differences.every((d) => d <= COLUMN_DIFFERENCE_MAX),
  };
}

function curveKey(policy: string, arrivals: string): string {
  return `${policy} ${arrivals}`;
}
