import { NO_NODE } from "@flotilla/shared/scheduling/engine/engine";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import {
  type NodeFacts,
  type PlacementRequest,
  RESERVE_RATIO,
} from "@flotilla/shared/scheduling/facts";
import { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import type { GpuValues } from "@flotilla/shared/scheduling/gpu/values";
import { weightsOf } from "@flotilla/shared/scheduling/weights";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import type { Fleet } from "./fleet.ts";
import type { Placer } from "./replay.ts";
import type { TraceNode, TracePod } from "./trace.ts";

/** The trace as facts, decided on by the fleet table as the hub does: filters, classes, and all five parts of the score. */

const MIB = 2 ** 20;
const DRAW_SEED = 42;

/** The article's weights, one decision for each arrival. */
export function tablePlacer(
  fleet: Fleet,
  { pods, values }: { readonly pods: readonly TracePod[]; readonly values: GpuValues },
): Placer {
  const table = new FleetTable({ values });
  const all = traceFacts(fleet.nodes);
  for (const facts of all) table.setNode(facts);
  // The table has an order of rows of its own.
  const rankOf = new Map(all.map(({ name }, rank) => [name, rank]));
  const requests = new Map<Shape, PlacementRequest>();
  for (const [i, pod] of pods.entries()) {
    const shape = fleet.shapes[i];
    if (shape !== undefined) requests.set(shape, requests.get(shape) ?? requestOf(pod));
  }
  const weights = weightsOf(undefined);
  const devices = new Int16Array(MAX_DEVICES);
  return {
    devices,
    place: (shape) => {
      const request = requests.get(shape);
      if (request === undefined) return NO_NODE;
      const asked = table.shapeOf(request, weights);
      const node = table.choose(asked);
      if (node === NO_NODE) return node;
      devices.set(table.devicesOn(asked, node));
      table.engine.reserve(asked, node, devices);
      return rankOf.get(table.nodeName(node)) ?? NO_NODE;
    },
  };
}

const MAX_DEVICES = 1_024;

/**
 * The trace knows no prices, latencies or loads. Each node gets them drawn, by its name's order: a price for each of its GPUs, a
 * latency, a load, and up to three marks that are preferred against. Six tenths of the score then know nothing of GPUs; the topology
 * part is the same everywhere while nothing runs beside what is placed.
 */
export function traceFacts(nodes: readonly TraceNode[]): readonly NodeFacts[] {
  const random = new SeededRandom(DRAW_SEED);
  const drawn = new Map(
    nodes
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map((node) => [node, [0, 1, 2, 3].map(() => random.unit("part"))] as const),
  );
  return nodes.map((node, row) => factsOf(node, row, drawn.get(node) ?? []));
}

function factsOf(
  node: TraceNode,
  row: number,
  [price = 0, latency = 0, load = 0, marks = 0]: readonly number[],
): NodeFacts {
  // Names in the order of rows, for that is the order of ties.
  const name = `${String(row).padStart(6, "0")}-${node.name}`;
  return {
    name,
    site: { name: "trace", known: true, labels: {}, taints: [] },
    life: "ready",
    unschedulable: false,
    labels: {},
    taints: Array.from({ length: Math.floor(marks * 4) }, (_, i) => ({
      key: `mark-${i}`,
      effect: "PreferNoSchedule" as const,
    })),
    runtimes: ["process"],
    capacity: {
      milliCpu: withReserve(node.milliCpu),
      memoryBytes: withReserve(node.memoryMib * MIB),
      diskBytes: 0,
      gpuCount: node.gpuCount,
    },
    devices: Array.from({ length: node.gpuCount }, (_, index) => ({
      uuid: `${name}-${index}`,
      index,
      model: node.model,
      memoryBytes: 0,
      freeMilli: 1_000,
      links: new Map(),
    })),
    allocated: { milliCpu: 0, memoryBytes: 0, diskBytes: 0, gpuCount: 0 },
    instanceCount: 0,
    ports: new Set(),
    usage: { cpuRatio: load, memoryUsedBytes: 0, diskUsedBytes: 0 },
    price: { perHour: node.gpuCount * (0.5 + price) },
    measures: { latencyP95Ms: 1 + latency * 200 },
  };
}

/** The capacity of which so much can be given away. */
function withReserve(allocatable: number): number {
  return Math.ceil(allocatable / (1 - RESERVE_RATIO));
}

export function requestOf(pod: TracePod): PlacementRequest {
  return {
    kind: "Job",
    amounts: {
      milliCpu: pod.milliCpu,
      memoryBytes: pod.memoryMib * MIB,
      diskBytes: 0,
      gpuCount: pod.gpuMilli === 1_000 ? pod.gpuCount : 0,
    },
    otherAmounts: {},
    runtime: "process",
    ports: [],
    placements: [],
    nodeSelector: {},
    tolerations: [],
    ...(pod.gpuCount === 0
      ? {}
      : {
          gpu: {
            count: pod.gpuCount,
            milli: pod.gpuMilli,
            memoryBytes: 0,
            topologyRequired: false,
            ...(pod.models.length === 0 ? {} : { models: pod.models }),
          },
        }),
  };
}
