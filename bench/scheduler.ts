import { execFile } from "node:child_process";
import { parseArgs, promisify } from "node:util";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { generatedWorkload } from "./scheduler/fleet.ts";
import { type Goal, goalsOf, type Row } from "./scheduler/goals.ts";
import { measure, REPAIR_COUNTS } from "./scheduler/measure.ts";
import { replicatedWorkload } from "./scheduler/replicated.ts";
import { SCORES, type ScoreName } from "./scheduler/sides.ts";
import { tableText } from "./support/table.ts";

/** How fast the product's scheduler decides, by nodes and shapes; trees and scans take turns on the same requests. */
const USAGE = `npm run bench:scheduler -- [options]
  --node-counts N,…   default 1000,10000,100000
  --shape-counts N,…  default 20,100,500
  --scores S,…        gpu, article (default both)
  --nodes FILE --pods FILE   instead: this trace, its nodes repeated up to each of the node counts
  --json              prints JSON instead of tables`;

/** With so many arrivals for each node most of the GPUs are given away, and hardly any request has failed. */
const ARRIVALS_PER_NODE = 6;

/** What a process of its own measures: memory, and what the compiler knows, are then of that row alone. */
interface Task {
  readonly score: ScoreName;
  readonly nodes: number;
  /** Absent: the trace's. */
  readonly shapes?: number;
  readonly trace?: { readonly nodes: string; readonly pods: string };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      "node-counts": { type: "string", default: "1000,10000,100000" },
      "shape-counts": { type: "string", default: "20,100,500" },
      scores: { type: "string", default: SCORES.join(",") },
      nodes: { type: "string" },
      pods: { type: "string" },
      json: { type: "boolean", default: false },
      task: { type: "string" },
    },
  });
  if (values.task !== undefined) {
    console.log(JSON.stringify(measured(JSON.parse(values.task) as Task)));
    return;
  }
  const rows: Row[] = [];
  for (const task of tasksOf(values)) rows.push(await measuredApart(task));
  const goals = goalsOf(rows);
  console.log(values.json ? JSON.stringify({ rows, goals }, undefined, 2) : text(rows, goals));
}

function tasksOf(values: {
  readonly "node-counts": string;
  readonly "shape-counts": string;
  readonly scores: string;
  readonly nodes?: string;
  readonly pods?: string;
}): readonly Task[] {
  const { nodes: nodesFile, pods } = values;
  if ((nodesFile === undefined) !== (pods === undefined))
    throw new Error(`--nodes and --pods belong together\n${USAGE}`);
  const nodeCounts = numbersOf(values["node-counts"]);
  const shapeCounts = numbersOf(values["shape-counts"]);
  return values.scores
    .split(",")
    .map(scoreOf)
    .flatMap((score) =>
      nodeCounts.flatMap((nodes): readonly Task[] =>
        nodesFile === undefined || pods === undefined
          ? shapeCounts.map((shapes) => ({ score, nodes, shapes }))
          : [{ score, nodes, trace: { nodes: nodesFile, pods } }],
      ),
    );
}

async function measuredApart(task: Task): Promise<Row> {
  const script = process.argv[1] ?? "";
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...process.execArgv,
    script,
    "--task",
    JSON.stringify(task),
  ]);
  return readRow(stdout);
}

/** A row as JSON has it: what is not a number has become null. */
function readRow(json: string): Row {
  return JSON.parse(json, (_, value: unknown) => value ?? Number.NaN) as Row;
}

function measured({ score, nodes, shapes, trace }: Task): Row {
  const workload =
    trace === undefined
      ? generatedWorkload({ nodes, kinds: shapes ?? 0 }, score)
      : replicatedWorkload(trace, nodes, score);
  const { nodeCount, kindCount } = workload;
  return {
    score,
    isTrace: trace !== undefined,
    nodes: nodeCount,
    shapes: kindCount,
    ...measure(workload, nodeCount * ARRIVALS_PER_NODE),
  };
}

function text(rows: readonly Row[], goals: readonly Goal[]): string {
  const head = [
    "score",
    "nodes",
    "shapes",
    "tree/CPU-s",
    "scan/CPU-s",
    "ratio",
    "once, ratio",
    "compared",
    "build ms",
    ...REPAIR_COUNTS.map((count) => `repair ${count}, µs`),
    "RSS MB",
  ];
  const cells = rows.map((row) => [
    row.score,
    String(row.nodes),
    String(row.shapes),
    row.treePerSecond.toFixed(0),
    row.scanPerSecond.toFixed(0),
    figure(row.treePerSecond / row.scanPerSecond, 2),
    figure(row.onceTreePerSecond / row.onceScanPerSecond, 2),
    String(row.compared),
    row.buildMs.toFixed(0),
    ...row.repairMicros.map((micros) => figure(micros, 1)),
    row.rssMb.toFixed(0),
  ]);
  const goalCells = goals.map(({ what, measured: value, verdict }) => [
    what,
    value === undefined ? "-" : figure(value, value < 100 ? 1 : 0),
    verdict,
  ]);
  return [
    "Decisions per CPU-second. Every compared decision of tree and scan was the same. `ratio`: tree over scan; `once`: of shapes",
    "that are asked for a single time. `repair`: CPU time of a decision after so many nodes changed.",
    "",
    tableText([head, ...cells]),
    "",
    tableText([["goal", "measured", "verdict"], ...goalCells]),
  ].join("\n");
}

function figure(value: number, digits: number): string {
  return Number.isNaN(value) ? "-" : value.toFixed(digits);
}

function numbersOf(list: string): readonly number[] {
  const numbers = list.split(",").map(Number);
  if (numbers.some((n) => !Number.isInteger(n) || n < 1))
    throw new Error(`${list}: whole numbers separated by commas are expected\n${USAGE}`);
  return numbers;
}

function scoreOf(name: string): ScoreName {
  const score = SCORES.find((known) => known === name);
  if (score === undefined) throw new Error(`--scores ${name}: ${SCORES.join(" or ")}`);
  return score;
}

try {
  await main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 2;
}
