import { parseArgs } from "node:util";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { generatedWorkload, type ScoreName } from "./scheduler/fleet.ts";
import { type Measured, measure, REPAIR_COUNTS } from "./scheduler/measure.ts";
import { replicatedWorkload } from "./scheduler/replicated.ts";
import { tableText } from "./support/table.ts";

/** How fast the product's scheduler decides, by nodes and shapes; trees and scans take turns on the same requests. */
const USAGE = `npm run bench:scheduler -- [options]
  --node-counts N,…   default 1000,10000,100000
  --shape-counts N,…  default 20,100,500
  --scores S,…        gpu, article (default both)
  --nodes FILE --pods FILE   instead: this trace, its nodes repeated up to each of the node counts
  --json              prints JSON instead of a table`;

interface Row extends Measured {
  readonly score: ScoreName;
  readonly nodes: number;
  readonly shapes: number;
}

function main(): void {
  const { values } = parseArgs({
    options: {
      "node-counts": { type: "string", default: "1000,10000,100000" },
      "shape-counts": { type: "string", default: "20,100,500" },
      scores: { type: "string", default: "gpu,article" },
      nodes: { type: "string" },
      pods: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  if ((values.nodes === undefined) !== (values.pods === undefined))
    throw new Error(`--nodes and --pods belong together\n${USAGE}`);
  const trace = { nodes: values.nodes ?? "", pods: values.pods ?? "" };
  // A trace brings its own shapes: one row for each count of nodes.
  const shapeCounts = values.nodes === undefined ? numbersOf(values["shape-counts"]) : ["trace"];
  const rows = values.scores
    .split(",")
    .map(scoreOf)
    .flatMap((score) =>
      numbersOf(values["node-counts"]).flatMap((nodes) =>
        shapeCounts.map((shapes) =>
          typeof shapes === "number"
            ? generatedRow(nodes, shapes, score)
            : traceRow(trace, nodes, score),
        ),
      ),
    );
  console.log(values.json ? JSON.stringify(rows, undefined, 2) : text(rows));
}

function generatedRow(nodes: number, shapes: number, score: ScoreName): Row {
  globalThis.gc?.();
  const measured = measure(generatedWorkload({ nodes, shapes }, score), nodes * ARRIVALS_PER_NODE);
  return { score, nodes, shapes, ...measured };
}

function traceRow(
  paths: { readonly nodes: string; readonly pods: string },
  nodes: number,
  score: ScoreName,
): Row {
  globalThis.gc?.();
  const workload = replicatedWorkload(paths, nodes, score);
  const measured = measure(workload, workload.tables[0].nodeCount * ARRIVALS_PER_NODE);
  return {
    score,
    nodes: workload.tables[0].nodeCount,
    shapes: workload.shapes.length,
    ...measured,
  };
}

/** With so many arrivals for each node most of the GPUs are given away, and hardly any request has failed. */
const ARRIVALS_PER_NODE = 6;

function text(rows: readonly Row[]): string {
  const head = [
    "score",
    "nodes",
    "shapes",
    "tree/CPU-s",
    "scan/CPU-s",
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
    String(row.compared),
    row.buildMs.toFixed(0),
    ...row.repairMicros.map((micros) => (Number.isNaN(micros) ? "-" : micros.toFixed(1))),
    row.rssMb.toFixed(0),
  ]);
  return `Decisions per CPU-second; every compared decision of tree and scan was the same\n\n${tableText([head, ...cells])}`;
}

function numbersOf(list: string): readonly number[] {
  const numbers = list.split(",").map(Number);
  if (numbers.some((n) => !Number.isInteger(n) || n < 1))
    throw new Error(`${list}: whole numbers separated by commas are expected\n${USAGE}`);
  return numbers;
}

function scoreOf(name: string): ScoreName {
  if (name !== "gpu" && name !== "article") throw new Error(`--scores ${name}: gpu or article`);
  return name;
}

try {
  main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 2;
}
