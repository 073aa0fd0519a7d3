import { i32 } from "@flotilla/shared/scheduling/engine/columns";
import type { NodeTable } from "@flotilla/shared/scheduling/engine/node-table";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import type { Side, Workload } from "./sides.ts";

/** Decisions of one chunk; tree and scan take turns chunk by chunk. */
const CHUNK = 50;
/** CPU time of scans after which they have been measured enough, seconds; trees on their own are measured eight times as long. */
const SCAN_CPU_SECONDS = 0.5;
const TREE_RATIO = 8;
/** A fleet that is full before begins anew, at most so often. */
const ROUNDS_MAX = 100;
/** Most decisions of a chunk once the trees go on alone. */
const CHUNK_ALONE = 2_000;
/** Changed nodes before a decision whose repair is measured. */
export const REPAIR_COUNTS = [1, 100, 1_000] as const;
/** Repairs measured for each count; the mean of the middle half counts. */
const REPAIRS = 201;
/** Shapes of which each is asked for once. */
const ONCE_SHAPES = 10_000;
/** Fleets up to which it is measured: above, a choice between tree and scan is none. */
const ONCE_NODES_MAX = 20_000;

/** Figures of one workload, all of CPU time. Rates are decisions a second; a decision chooses and reserves. */
export interface Measured {
  /** With all trees built. */
  readonly treePerSecond: number;
  readonly scanPerSecond: number;
  /** Decisions on shapes that were never asked for before; without reserving. NaN: not measured. */
  readonly onceTreePerSecond: number;
  readonly onceScanPerSecond: number;
  /** Decisions that tree and scan made both; all of them alike, or this throws. */
  readonly compared: number;
  readonly treeDecisions: number;
  /** CPU milliseconds to build the trees of all shapes. */
  readonly buildMs: number;
  /** CPU microseconds of repair and choice after so many changed nodes, as REPAIR_COUNTS. */
  readonly repairMicros: readonly number[];
  /** Resident memory of the process with the fleet, one table and all trees, megabytes. */
  readonly rssMb: number;
}

/** Measures; `decisionsMax` ends it before the fleet is full. */
export function measure(
  workload: Workload,
  decisionsMax: number,
  scanCpuSeconds: number = SCAN_CPU_SECONDS,
): Measured {
  const tree = workload.side("tree");
  const buildMs = cpuSeconds(() => chooseAll(tree, workload)) * 1_000;
  globalThis.gc?.();
  const rssMb = process.memoryUsage.rss() / 1e6;
  const sides = { tree, scan: workload.side("scan") };
  const spent = { tree: 0, scan: 0 };
  let compared = compare(workload, sides, { spent, scanCpuSeconds, decisionsMax });
  for (let round = 1; round < ROUNDS_MAX && spent.scan < scanCpuSeconds; round++) {
    const again = { tree: workload.side("tree"), scan: workload.side("scan") };
    chooseAll(again.tree, workload);
    compared += compare(workload, again, { spent, scanCpuSeconds, decisionsMax });
  }
  // Now, while most nodes have room, so that a change moves scores.
  const repairMicros = REPAIR_COUNTS.map((count) => repairOf(tree, count));
  // The repairs were of one tree; the others are brought up to date before they are timed again.
  chooseAll(tree, workload);
  let treeDecisions = compared;
  while (spent.tree < scanCpuSeconds * TREE_RATIO && treeDecisions < decisionsMax) {
    const kinds = Array.from({ length: CHUNK_ALONE }, () => workload.next());
    spent.tree += cpuSeconds(() => placeAll(tree, kinds, []));
    treeDecisions += CHUNK_ALONE;
  }
  return {
    treePerSecond: treeDecisions / spent.tree,
    scanPerSecond: compared / spent.scan,
    ...onceOf(workload, sides, scanCpuSeconds),
    compared,
    treeDecisions,
    buildMs,
    repairMicros,
    rssMb,
  };
}

interface Sides {
  readonly tree: Side;
  readonly scan: Side;
}

/** Tree and scan in turns. Answers how many decisions each has made. */
function compare(
  workload: Workload,
  { tree, scan }: Sides,
  limits: {
    readonly spent: { tree: number; scan: number };
    readonly scanCpuSeconds: number;
    readonly decisionsMax: number;
  },
): number {
  const { spent, scanCpuSeconds, decisionsMax } = limits;
  let compared = 0;
  while (spent.scan < scanCpuSeconds && compared < decisionsMax) {
    const kinds = Array.from({ length: CHUNK }, () => workload.next());
    const choices: [number[], number[]] = [[], []];
    spent.tree += cpuSeconds(() => placeAll(tree, kinds, choices[0]));
    spent.scan += cpuSeconds(() => placeAll(scan, kinds, choices[1]));
    compared += CHUNK;
    if (choices[0].some((node, i) => node !== choices[1][i]))
      throw new Error(`tree and scan chose differently within decision ${compared}`);
  }
  return compared;
}

function chooseAll({ engine, shapeOf }: Side, { kindCount }: Workload): void {
  for (let kind = 0; kind < kindCount; kind++) engine.choose(shapeOf(kind));
}

function placeAll(side: Side, kinds: readonly number[], choices: number[]): void {
  for (const kind of kinds) choices.push(side.engine.place(side.shapeOf(kind)));
}

/** Each shape is new to both sides, so that a tree is built for it, and never asked again. */
function onceOf(
  { nodeCount, kindCount }: Workload,
  sides: Sides,
  scanCpuSeconds: number,
): Pick<Measured, "onceTreePerSecond" | "onceScanPerSecond"> {
  const spent = { tree: 0, scan: 0 };
  let asked = 0;
  const ask = ({ engine, shapeOnce }: Side, first: number): void => {
    for (let i = first; i < first + CHUNK; i++) engine.choose(shapeOnce(i % kindCount, 1 + i));
  };
  while (nodeCount <= ONCE_NODES_MAX && asked < ONCE_SHAPES && spent.scan < scanCpuSeconds) {
    const first = asked;
    spent.tree += cpuSeconds(() => ask(sides.tree, first));
    spent.scan += cpuSeconds(() => ask(sides.scan, first));
    asked += CHUNK;
  }
  return { onceTreePerSecond: asked / spent.tree, onceScanPerSecond: asked / spent.scan };
}

/** A GPU of each of the changed nodes is taken and given back in turns, so that scores move; that is not measured. */
function repairOf({ engine, nodes, shapeOf }: Side, count: number): number {
  if (nodes.nodeCount < count * 4) return Number.NaN;
  const step = Math.floor(nodes.nodeCount / count);
  const [times, nothing]: [number[], number[]] = [[], []];
  for (let repair = 0; repair < REPAIRS; repair++) {
    const taken: { readonly node: number; readonly devices: Int16Array }[] = [];
    for (let i = 0; i < count; i++) {
      const node = (i * step + repair) % nodes.nodeCount;
      const devices = Int16Array.of(idleDevice(nodes, node));
      if (nodes.fits(ONE_GPU, node)) taken.push({ node, devices });
      else engine.changed(node);
    }
    for (const { node, devices } of taken) engine.reserve(ONE_GPU, node, devices);
    times.push(cpuSeconds(() => engine.choose(shapeOf(0))) * 1e6);
    nothing.push(cpuSeconds(() => undefined) * 1e6);
    for (const { node, devices } of taken) engine.release(ONE_GPU, node, devices);
    engine.choose(shapeOf(0));
  }
  // To read the clock takes about as long as a repair.
  return Math.max(0, middleMean(times) - middleMean(nothing));
}

/** The clock counts whole microseconds: a mean tells more than they do, and the middle half has no outliers. */
function middleMean(times: readonly number[]): number {
  const quarter = Math.floor(times.length / 4);
  const middle = times.toSorted((a, b) => a - b).slice(quarter, times.length - quarter);
  return middle.reduce((sum, time) => sum + time, 0) / middle.length;
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
