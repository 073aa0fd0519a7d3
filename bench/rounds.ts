import { parseArgs } from "node:util";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { solveLinearProgram } from "@flotilla/shared/platform/linear-program";
import { Engine } from "@flotilla/shared/scheduling/engine/engine";
import { NodeTable } from "@flotilla/shared/scheduling/engine/node-table";
import { OpportunityScore } from "@flotilla/shared/scheduling/engine/opportunity-score";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import { gpuValues } from "@flotilla/shared/scheduling/gpu/values";
import { runRound } from "@flotilla/shared/scheduling/round/round";
import type { RoundJob, RoundRunning } from "@flotilla/shared/scheduling/round/types";
import { tableText } from "./support/table.ts";

/** What a round costs, by pending jobs and nodes: on an empty fleet, on one that is too small, and on one that is full. */
const USAGE = `npm run bench:rounds -- [options]
  --jobs N,…    pending jobs, default 10000,20000
  --nodes N     default 2000
  --queues N    default 20
  --json        prints JSON instead of a table`;

const SHAPES: readonly Shape[] = Array.from({ length: 40 }, (_, i) => ({
  milliCpu: 500 * (1 + (i % 8)),
  memoryBytes: 2 ** 30 * (1 + (i % 3)),
  diskBytes: 0,
  gpuCount: i % 4 === 0 ? 1 : 0,
  gpuMilli: i % 4 === 0 ? 1_000 : 0,
}));

const VALUES = gpuValues(
  [
    { milliCpu: 8_000, gpuCount: 1, gpuMilli: 1_000, count: 10 },
    { milliCpu: 2_000, gpuCount: 1, gpuMilli: 470, count: 5 },
  ],
  solveLinearProgram,
);

/** Cores of a node, and whether the first queue has filled the fleet before. */
const SCENES = {
  room: { cores: 32, isFull: false },
  "too small": { cores: 4, isFull: false },
  "full, reclaimed": { cores: 16, isFull: true },
} as const;
type SceneName = keyof typeof SCENES;

interface Scale {
  readonly jobs: number;
  readonly nodes: number;
  readonly queues: number;
}

interface Row extends Scale {
  readonly scene: SceneName;
  readonly mode: "tree" | "scan";
  readonly running: number;
  readonly placed: number;
  readonly evicted: number;
  readonly waiting: number;
  readonly cpuMs: number;
}

function main(): void {
  const { values } = parseArgs({
    options: {
      jobs: { type: "string", default: "10000,20000" },
      nodes: { type: "string", default: "2000" },
      queues: { type: "string", default: "20" },
      json: { type: "boolean", default: false },
    },
  });
  const [nodes = 0] = numbersOf(values.nodes);
  const [queues = 0] = numbersOf(values.queues);
  // A first round is for the compiler.
  measure("room", "tree", { jobs: 2_000, nodes: 200, queues: 20 });
  const rows = numbersOf(values.jobs).flatMap((jobs) =>
    (["room", "too small", "full, reclaimed"] as const).flatMap((scene) =>
      (["tree", "scan"] as const).map((mode) => measure(scene, mode, { jobs, nodes, queues })),
    ),
  );
  process.stdout.write(values.json ? `${JSON.stringify(rows, undefined, 2)}\n` : tableOf(rows));
}

function measure(scene: SceneName, mode: Row["mode"], scale: Scale): Row {
  const { cores, isFull } = SCENES[scene];
  const node = { milliCpu: cores * 1_000, memoryBytes: 2 ** 36, diskBytes: 2 ** 38, gpuCount: 4 };
  const nodes = new NodeTable(Array.from({ length: scale.nodes }, () => node));
  const score = new OpportunityScore({ values: VALUES }, { nodes });
  const engine = new Engine({ mode }, { nodes, score });
  const queues = Array.from({ length: scale.queues }, (_, i) => ({
    name: `q${i}`,
    weight: 1 + (i % 3),
    priority: 0,
    open: true,
    reclaimable: true,
    dequeueStrategy: "traverse" as const,
  }));
  const running = isFull ? filled(engine) : [];
  const jobs = Array.from({ length: scale.jobs }, (_, i) => jobOf(i, scale.queues));
  const before = process.cpuUsage();
  const result = runRound(
    { queues, jobs, running, budgets: new Map(), nowMs: 0 },
    { engine, nodes },
  );
  const { user, system } = process.cpuUsage(before);
  return {
    scene,
    mode,
    ...scale,
    running: running.length,
    placed: result.placements.length,
    evicted: result.evictions.length,
    waiting: result.waiting.length,
    cpuMs: Math.round((user + system) / 1_000),
  };
}

/** Every tenth job is a gang of four. */
function jobOf(i: number, queues: number): RoundJob {
  const size = i % 10 === 0 ? 4 : 1;
  const shape = SHAPES[i % SHAPES.length] ?? noShape();
  return {
    id: `j${i}`,
    queue: `q${i % queues}`,
    priority: i % 3,
    orderKey: String(i).padStart(6, "0"),
    members: Array.from({ length: size }, (_, k) => ({ id: `j${i}/${k}`, shape })),
    runningCount: 0,
    minMember: size === 1 ? 0 : size,
    pendingSinceMs: 0,
    preemption: "LowerPriority",
    evictable: true,
  };
}

/** The first queue has taken all there is. */
function filled(engine: Engine): RoundRunning[] {
  const running: RoundRunning[] = [];
  for (const [i, shape] of SHAPES.entries())
    for (let node = engine.place(shape); node >= 0; node = engine.place(shape)) {
      const id = `r${i}/${running.length}`;
      const placed = { shape, node, devices: engine.devices.slice(0, shape.gpuCount) };
      const rest = { queue: "q0", priority: 0, evictable: true, evictionCost: 1 };
      running.push({ id, jobId: id, placed, ...rest });
    }
  return running;
}

function noShape(): never {
  throw new Error("there is no shape");
}

function numbersOf(text: string): number[] {
  const numbers = text.split(",").map(Number);
  if (numbers.every((n) => Number.isSafeInteger(n) && n > 0)) return numbers;
  throw new Error(`${JSON.stringify(text)} is no list of numbers above 0\n${USAGE}`);
}

function tableOf(rows: readonly Row[]): string {
  const columns = ["scene", "mode", "jobs", "nodes", "queues", "running", "placed"] as const;
  const rest = ["evicted", "waiting", "cpuMs"] as const;
  const all = [...columns, ...rest];
  return `${tableText([all.map(String), ...rows.map((row) => all.map((name) => String(row[name])))])}\n`;
}

try {
  main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
