import type { Random } from "@flotilla/shared/kernel/random";
import type { NodeRow } from "@flotilla/shared/scheduling/engine/node-table";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import type { RequestMix } from "@flotilla/shared/scheduling/gpu/request-mix";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { drawnFacts, drawnRequest, drawnSites } from "./facts.ts";
import { rowSides, type ScoreName, tableSides, type Workload } from "./sides.ts";

/** A generated fleet whose kinds of nodes and requests come as often as in cluster-trace-gpu-v2023. */

const GIB = 2 ** 30;
const NODE_CLASSES = 64;

/** Nodes of a kind in the trace: how many, GPUs and cores of each. */
const NODE_KINDS: readonly (readonly [count: number, gpus: number, cores: number])[] = [
  [570, 8, 96],
  [387, 2, 104],
  [107, 2, 16],
  [39, 8, 128],
  [37, 4, 32],
  [22, 2, 64],
  [19, 1, 16],
  [17, 4, 104],
  [15, 8, 64],
];

/** Slice sizes of the trace in milli, and how often each is asked for. */
const SLICES: readonly (readonly [count: number, milli: number])[] = [
  [1078, 810],
  [750, 470],
  [328, 320],
  [253, 650],
  [140, 230],
  [128, 460],
  [75, 590],
  [74, 160],
  [72, 550],
  [62, 220],
  [47, 370],
  [24, 110],
];

/** Requests of the trace by number of GPUs; 0.5 stands for a slice. */
const GPU_KINDS: readonly (readonly [count: number, gpus: number])[] = [
  [3911, 1],
  [3078, 0.5],
  [1088, 0],
  [16, 2],
  [15, 4],
  [44, 8],
];

/** A fleet of so many nodes, and so many kinds of requests of which the first come most often. */
export function generatedWorkload(
  counts: { readonly nodes: number; readonly kinds: number },
  score: ScoreName,
): Workload {
  const random = new SeededRandom(42);
  const rows = Array.from({ length: counts.nodes }, () => drawnRow(random));
  const shapes = drawnShapes(random, counts.kinds);
  const frequencies = shapes.map((_, i) => 1 / (i + 1));
  const mix: RequestMix = shapes.map((shape, i) => ({ ...shape, count: frequencies[i] ?? 0 }));
  const requests = new SeededRandom(7);
  const weighted = shapes.map((_, i) => [frequencies[i] ?? 0, i] as const);
  return {
    nodeCount: counts.nodes,
    kindCount: shapes.length,
    side: score === "gpu" ? rowSides(rows, shapes, mix) : factSides(rows, shapes, mix),
    next: () => drawn(requests, weighted),
  };
}

function factSides(
  rows: readonly NodeRow[],
  shapes: readonly Shape[],
  mix: RequestMix,
): Workload["side"] {
  const random = new SeededRandom(43);
  const facts = drawnFacts(random, rows, drawnSites(random, NODE_CLASSES));
  const requests = shapes.map((shape) => drawnRequest(random, shape));
  return tableSides(facts, requests, mix);
}

function drawnRow(random: Random): NodeRow {
  const [, gpuCount, cores] = drawn(
    random,
    NODE_KINDS.map((kind) => [kind[0], kind] as const),
  );
  return {
    milliCpu: cores * 1_000,
    memoryBytes: cores * 6 * GIB,
    diskBytes: 1_024 * GIB,
    gpuCount,
    nodeClass: Math.floor(random.unit("class") * NODE_CLASSES),
  };
}

function drawnShapes(random: Random, count: number): readonly Shape[] {
  const shapes = new Map<string, Shape>();
  while (shapes.size < count) {
    const kind = drawn(random, GPU_KINDS);
    const cores = 1 + Math.floor(random.unit("cores") * 12 * Math.max(1, kind));
    const shape: Shape = {
      milliCpu: cores * 1_000,
      memoryBytes: cores * (1 + Math.floor(random.unit("memory") * 5)) * GIB,
      diskBytes: GIB,
      gpuCount: Math.ceil(kind),
      gpuMilli: kind === 0 ? 0 : kind === 0.5 ? drawn(random, SLICES) : 1_000,
    };
    shapes.set(JSON.stringify(shape), shape);
  }
  return [...shapes.values()];
}

function drawn<T>(random: Random, weighted: readonly (readonly [number, T, ...unknown[]])[]): T {
  let left = random.unit("kind") * weighted.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, value] of weighted) {
    left -= weight;
    if (left < 0) return value;
  }
  const [, last] = weighted.at(-1) ?? [];
  if (last === undefined) throw new Error("nothing to draw from");
  return last;
}
