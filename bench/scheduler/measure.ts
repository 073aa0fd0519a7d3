import { i32 } from "@flotilla/shared/scheduling/engine/columns";
import { Engine } from "@flotilla/shared/scheduling/engine/engine";
import type { NodeTable } from "@flotilla/shared/scheduling/engine/node-table";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import type { Workload } from "./fleet.ts";

/** Decisions of one chunk; tree and scan take turns chunk by chunk. */
const CHUNK = 50;
/** CPU time after which the scan has been measured enough, seconds. */
const SCAN_CPU_SECONDS = 0.5;
/** CPU time after which the trees have been measured enough, seconds. */
const TREE_CPU_SECONDS = 4;
/** Most decisions of a chunk once the trees go on alone. */
const CHUNK_ALONE = 2_000;
/** Changed nodes before a decision whose repair is measured. */
export const REPAIR_COUNTS = [1, 100, 1_000] as const;
/** Repairs measured for each count; the median counts, of wall time: one is too short for the clock of CPU time. */
const REPAIRS = 201;

/** Figures of one workload. Rates are decisions per CPU-second; a decision chooses and reserves. */
export interface Measured {
  /** With all trees built. */
  readonly treePerSecond: number;
  readonly scanPerSecond: number;
  /** Decisions that tree and scan made both; all of them alike, or this throws. */
  readonly compared: number;
  readonly treeDecisions: number;
  /** CPU milliseconds to build the trees of all shapes. */
  readonly buildMs: number;
  /** Median microseconds of repair and choice after so many changed nodes, as REPAIR_COUNTS. */
  readonly repairMicros: readonly number[];
  /** Resident memory of the whole process with all trees, megabytes. */
  readonly rssMb: number;
}

/** Measures; `decisionsMax` ends it before the fleet is full. */
export function measure(workload: Workload, decisionsMax: number): Measured {
  const [tree, scan] = enginesOf(workload);
  const buildMs = cpuSeconds(() => workload.shapes.forEach((shape) => tree.choose(shape))) * 1_000;
  const rssMb = process.memoryUsage.rss() / 1e6;
  const spent = { tree: 0, scan: 0 };
  let compared = 0;
  while (spent.scan < SCAN_CPU_SECONDS && compared < decisionsMax) {
    const requests = Array.from({ length: CHUNK }, workload.next);
    const choices: [number[], number[]] = [[], []];
    spent.tree += cpuSeconds(() => placeAll(tree, requests, choices[0]));
    spent.scan += cpuSeconds(() => placeAll(scan, requests, choices[1]));
    compared += CHUNK;
    if (choices[0].some((node, i) => node !== choices[1][i]))
      throw new Error(`tree and scan chose differently within decision ${compared}`);
  }
  const scanPerSecond = compared / spent.scan;
  // Now, while most nodes have room, so that a change moves scores.
  const repairMicros = REPAIR_COUNTS.map((count) => repairOf(tree, workload, count));
  // The repairs were of one tree; the others are brought up to date before they are timed again.
  for (const shape of workload.shapes) tree.choose(shape);
  let treeDecisions = compared;
  while (spent.tree < TREE_CPU_SECONDS && treeDecisions < decisionsMax) {
    const requests = Array.from({ length: CHUNK_ALONE }, workload.next);
    spent.tree += cpuSeconds(() => placeAll(tree, requests, []));
    treeDecisions += CHUNK_ALONE;
  }
  return {
    treePerSecond: treeDecisions / spent.tree,
    scanPerSecond,
    compared,
    treeDecisions,
    buildMs,
    repairMicros,
    rssMb,
  };
}

function enginesOf({ tables, scores }: Workload): readonly [Engine, Engine] {
  return [
    new Engine({ mode: "tree" }, { nodes: tables[0], score: scores[0] }),
    new Engine({ mode: "scan" }, { nodes: tables[1], score: scores[1] }),
  ];
}

function placeAll(engine: Engine, requests: readonly Shape[], choices: number[]): void {
  for (const shape of requests) choices.push(engine.place(shape));
}

/** A GPU of each of the changed nodes is taken and given back in turns, so that scores move; that is not measured. */
function repairOf(engine: Engine, { tables: [nodes], shapes }: Workload, count: number): number {
  const [shape] = shapes;
  if (shape === undefined || nodes.nodeCount < count * 4) return Number.NaN;
  const step = Math.floor(nodes.nodeCount / count);
  const times: number[] = [];
  for (let repair = 0; repair < REPAIRS; repair++) {
    const taken: { readonly node: number; readonly devices: Int16Array }[] = [];
    for (let i = 0; i < count; i++) {
      const node = (i * step + repair) % nodes.nodeCount;
      const devices = Int16Array.of(idleDevice(nodes, node));
      if (nodes.fits(ONE_GPU, node)) taken.push({ node, devices });
      else engine.changed(node);
    }
    for (const { node, devices } of taken) engine.reserve(ONE_GPU, node, devices);
    const start = process.hrtime.bigint();
    engine.choose(shape);
    times.push(Number(process.hrtime.bigint() - start) / 1_000);
    for (const { node, devices } of taken) engine.release(ONE_GPU, node, devices);
    engine.choose(shape);
  }
  return times.toSorted((a, b) => a - b)[Math.floor(REPAIRS / 2)] ?? Number.NaN;
}

const ONE_GPU: Shape = {
  milliCpu: 8_000,
  memoryBytes: 0,
  diskBytes: 0,
  gpuCount: 1,
  gpuMilli: 1_000,
};

function idleDevice({ gpuFirst, gpuFree }: NodeTable, node: number): number {
  const [first, end] = [i32(gpuFirst, node), i32(gpuFirst, node + 1)];
  return gpuFree.subarray(first, end).indexOf(ONE_GPU.gpuMilli);
}

/** CPU seconds, user and system, that the work takes. */
function cpuSeconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}
