import { type NodeRow, NodeTable } from "@flotilla/shared/scheduling/engine/node-table";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import type { RequestMix } from "@flotilla/shared/scheduling/gpu/request-mix";
import type { TraceNode, TracePod } from "./trace.ts";

/** The trace in the engine's terms. */
export interface Fleet {
  /** Nodes in the order of ties: row i of the table is the node of rank i. */
  readonly nodes: readonly TraceNode[];
  readonly table: NodeTable;
  /** Model of each node class. */
  readonly models: readonly string[];
  /** Shape of each pod of the list; equal pods have the same one. */
  readonly shapes: readonly Shape[];
  readonly gpuMilli: number;
}

const MIB = 2 ** 20;
/** Pods that one node takes, the limit of the published experiment. */
const PODS_PER_NODE_MAX = 1_001;

/** The table's rows lie in the order of these ranks. */
export function fleetOf(
  nodes: readonly TraceNode[],
  pods: readonly TracePod[],
  ranks: Uint16Array,
): Fleet {
  const ranked = nodes.toSorted((a, b) => rankOf(nodes, ranks, a) - rankOf(nodes, ranks, b));
  const models = [...new Set(nodes.map((n) => n.model))];
  const table = new NodeTable(rowsOf(ranked, models));
  const interned = new Map<string, Shape>();
  const shapes = pods.map((pod) => {
    const shape = shapeOf(pod, models);
    const key = JSON.stringify([{ ...shape, classes: undefined }, pod.models.toSorted()]);
    const known = interned.get(key) ?? shape;
    interned.set(key, known);
    return known;
  });
  const gpuMilli = nodes.reduce((sum, n) => sum + n.gpuCount * 1_000, 0);
  return { nodes: ranked, table, models, shapes, gpuMilli };
}

/** Rows of these nodes; their class is their model's index. */
export function rowsOf(nodes: readonly TraceNode[], models: readonly string[]): readonly NodeRow[] {
  return nodes.map((n) => ({
    milliCpu: n.milliCpu,
    memoryBytes: n.memoryMib * MIB,
    // The experiment limits pods per node; nothing else here asks for disk, so that column counts them.
    diskBytes: PODS_PER_NODE_MAX,
    gpuCount: n.gpuCount,
    nodeClass: models.indexOf(n.model),
  }));
}

/** What the fleet is asked for, as the scheduler's values are made from. */
export function mixOf(pods: readonly TracePod[]): RequestMix {
  return pods.map(({ milliCpu, gpuCount, gpuMilli }) => ({
    milliCpu,
    gpuCount,
    gpuMilli,
    count: 1,
  }));
}

function rankOf(nodes: readonly TraceNode[], ranks: Uint16Array, node: TraceNode): number {
  return ranks[nodes.indexOf(node)] ?? 0;
}

function shapeOf(pod: TracePod, models: readonly string[]): Shape {
  return {
    milliCpu: pod.milliCpu,
    memoryBytes: pod.memoryMib * MIB,
    diskBytes: 1,
    gpuCount: pod.gpuCount,
    gpuMilli: pod.gpuMilli,
    ...(pod.models.length === 0
      ? {}
      : { classes: Uint8Array.from(models, (m) => (pod.models.includes(m) ? 1 : 0)) }),
  };
}
