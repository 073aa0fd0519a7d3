import type { Random } from "@flotilla/shared/kernel/random";
import { solveLinearProgram } from "@flotilla/shared/platform/linear-program";
import { ArticleScore } from "@flotilla/shared/scheduling/engine/article-score";
import type { NodeScore } from "@flotilla/shared/scheduling/engine/node-score";
import { type NodeRow, NodeTable } from "@flotilla/shared/scheduling/engine/node-table";
import { OpportunityScore } from "@flotilla/shared/scheduling/engine/opportunity-score";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import type { RequestMix } from "@flotilla/shared/scheduling/gpu/request-mix";
import { gpuValues } from "@flotilla/shared/scheduling/gpu/values";
import { ARTICLE_PARTS } from "@flotilla/shared/scheduling/weights";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";

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

/** What one measurement works on: twice the same table, so that tree and scan can be compared decision by decision. */
export interface Workload {
  readonly tables: readonly [NodeTable, NodeTable];
  readonly scores: readonly [NodeScore, NodeScore];
  readonly shapes: readonly Shape[];
  /** Draws the next request. */
  readonly next: () => Shape;
}

/** `gpu`: opportunity cost alone. `article`: five parts, filters by node class. */
export type ScoreName = "gpu" | "article";

/** A fleet of so many nodes, and so many kinds of requests of which the first come most often. */
export function generatedWorkload(
  counts: { readonly nodes: number; readonly shapes: number },
  score: ScoreName,
): Workload {
  const random = new SeededRandom(42);
  const rows = Array.from({ length: counts.nodes }, () => drawnRow(random));
  const shapes = drawnShapes(random, counts.shapes, score);
  const frequencies = shapes.map((_, i) => 1 / (i + 1));
  const mix: RequestMix = shapes.map((shape, i) => ({ ...shape, count: frequencies[i] ?? 0 }));
  const requests = new SeededRandom(7);
  const next = (): Shape =>
    drawn(
      requests,
      shapes.map((s, i) => [frequencies[i] ?? 0, s] as const),
    );
  return workloadOf({ rows, shapes, mix, next }, score);
}

/** The table, doubled, with a score for each. */
export function workloadOf(
  parts: {
    readonly rows: readonly NodeRow[];
    readonly shapes: readonly Shape[];
    readonly mix: RequestMix;
    readonly next: () => Shape;
  },
  score: ScoreName,
): Workload {
  const { rows, shapes, mix, next } = parts;
  const values = gpuValues(mix, solveLinearProgram);
  const side = (): readonly [NodeTable, NodeScore] => {
    const nodes = new NodeTable(rows);
    const opportunity = new OpportunityScore({ values }, { nodes });
    if (score === "gpu") return [nodes, opportunity];
    const random = new SeededRandom(43);
    const column = (): Float64Array => Float64Array.from(rows, () => random.unit("part"));
    const [performance, cost, compliance, topology] = [column(), column(), column(), column()];
    const deps = { nodes, opportunity, parts: { performance, cost, compliance, topology } };
    return [nodes, new ArticleScore({ weights: ARTICLE_PARTS }, deps)];
  };
  const [[tableA, scoreA], [tableB, scoreB]] = [side(), side()];
  return { tables: [tableA, tableB], scores: [scoreA, scoreB], shapes, next };
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

function drawnShapes(random: Random, count: number, score: ScoreName): readonly Shape[] {
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
    shapes.set(JSON.stringify(shape), score === "gpu" ? shape : { ...shape, ...byClass(random) });
  }
  return [...shapes.values()];
}

/** Four of five classes pass the filters; compliance and topology differ by class. */
function byClass(random: Random): Pick<Shape, "classes" | "compliance" | "topology"> {
  const length = NODE_CLASSES;
  return {
    classes: Uint8Array.from({ length }, () => (random.unit("class") < 0.8 ? 1 : 0)),
    compliance: Float64Array.from({ length }, () => random.unit("compliance")),
    topology: Float64Array.from({ length }, () => random.unit("topology")),
  };
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
