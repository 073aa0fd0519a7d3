import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { allocatable, type NodeFacts } from "@flotilla/shared/scheduling/facts";
import { MILLI_PER_GPU } from "@flotilla/shared/scheduling/gpu/request-mix";
import {
  type ResolvedQueues,
  resolveQueues,
} from "@flotilla/shared/scheduling/round/queue/resolve";

/**
 * Queues as a round takes them, measured against what the nodes have in all. The default queue that a Fleet's volcano addon
 * names is there also without an object of its own: the addon makes it.
 */
export function fleetQueues(
  stored: readonly ObjectOf<"Queue">[],
  fleets: readonly ObjectOf<"Fleet">[],
  nodes: Iterable<NodeFacts>,
): ResolvedQueues {
  const names = new Set(stored.map((q) => q.metadata.name));
  const queues = [...stored, ...addonQueues(fleets).filter((q) => !names.has(q.metadata.name))];
  // What the fleet has is asked only to tell queues that promise more than that.
  if (stored.length === 0) return resolveQueues(queues, NOTHING);
  const totals = { ...NOTHING };
  for (const node of nodes) {
    const { milliCpu, memoryBytes, diskBytes } = allocatable(node);
    totals.milliCpu += milliCpu;
    totals.memoryBytes += memoryBytes;
    totals.diskBytes += diskBytes;
    totals.gpuMilli += node.devices.length * MILLI_PER_GPU;
  }
  return resolveQueues(queues, totals);
}

function addonQueues(fleets: readonly ObjectOf<"Fleet">[]): readonly ObjectOf<"Queue">[] {
  const names = fleets.flatMap(({ spec }) => {
    const { enabled = true, defaultQueue } = spec.addons?.volcano ?? {};
    return enabled && defaultQueue !== undefined ? [defaultQueue] : [];
  });
  return [...new Set(names)].map((name) => ({
    apiVersion: "scheduling.kurator.dev/v1alpha1",
    kind: "Queue",
    metadata: { name, uid: "", generation: 0 },
    spec: {},
  }));
}

const NOTHING = { milliCpu: 0, memoryBytes: 0, diskBytes: 0, gpuMilli: 0 };
