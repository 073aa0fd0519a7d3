import type { Capacity } from "../model/capacity.ts";
import type { ScoreParts } from "../model/resources/edge.ts";
import {
  allocatable,
  amount,
  free,
  NO_CAPACITY,
  type NodeFacts,
  type PlacementRequest,
  type Siblings,
  type Weights,
} from "./facts.ts";
import { siteLabels, untoleratedTaints } from "./filter.ts";
import { resourcePartOf, wholeDeviceCost } from "./gpu/opportunity-cost.ts";
import { MILLI_PER_GPU } from "./gpu/request-mix.ts";
import { costPart, hourlyCost } from "./score/cost.ts";
import { NEUTRAL, unit } from "./score/part.ts";
import { performancePart } from "./score/performance.ts";

/** The second part of a placement: how good each node that may take it is. Five parts in [0, 1], as in the article. */

/** What a score needs beside the node. */
export interface ScoreContext {
  readonly request: PlacementRequest;
  readonly siblings: Siblings;
  readonly weights: Weights;
  /** Lowest known cost of the request per hour among the nodes that fit. */
  readonly costMin: number | undefined;
  /** CPU that comes with one GPU, milli; see `milliCpuPerGpuOf`. */
  readonly milliCpuPerGpu: number;
}

/** The five parts of one node that passed the filters. */
export function scoreParts(node: NodeFacts, context: ScoreContext): ScoreParts {
  return {
    resource: unit(resourcePart(node, context)),
    performance: unit(performancePart(node, context.request, context.weights.performance)),
    cost: unit(costPart(hourlyCost(node, context.request), context.costMin)),
    compliance: unit(compliancePart(node, context.request)),
    topology: unit(topologyPart(node, context.request, context.siblings)),
  };
}

/** Weighted sum, rounded to a millionth so that the noise of floating point decides nothing. */
export function weightedScore(parts: ScoreParts, weights: ScoreParts): number {
  const sum =
    parts.resource * weights.resource +
    parts.performance * weights.performance +
    parts.cost * weights.cost +
    parts.compliance * weights.compliance +
    parts.topology * weights.topology;
  return Math.round(sum * 1e6) / 1e6;
}

/**
 * Least waste. CPU, memory and storage spread: the share that is left afterwards. GPUs by what the fleet loses: mostly the
 * opportunity cost in GPUs (devices that the node's CPU does not reach for any more), and among equals the fuller node, so
 * that whole idle machines stay for large jobs.
 */
function resourcePart(
  node: NodeFacts,
  { request, weights: { resources: weights }, milliCpuPerGpu }: ScoreContext,
): number {
  const [all, left, asked] = [allocatable(node), free(node), request.amounts];
  const spread = (total: number, rest: number, ask: number): number =>
    total > 0 ? (rest - ask) / total : 1;
  const gpu = (): number => {
    if (all.gpuCount === 0) return 1;
    const [gpusFree, gpusAsked] = [freeGpus(node), gpusOf(request)];
    const room = { milliCpuFree: left.milliCpu, gpusFree };
    const ask = { milliCpu: asked.milliCpu, gpuCount: gpusAsked };
    const lost = unit(resourcePartOf(wholeDeviceCost(milliCpuPerGpu, room, ask)));
    const idleRatio = (gpusFree - gpusAsked) / all.gpuCount;
    return lost * (1 - FULLER_SHARE) + unit(1 - idleRatio) * FULLER_SHARE;
  };
  const terms: readonly (readonly [number, number])[] = [
    [weights.cpu, spread(all.milliCpu, left.milliCpu, asked.milliCpu)],
    [weights.memory, spread(all.memoryBytes, left.memoryBytes, asked.memoryBytes)],
    [weights.storage, spread(all.diskBytes, left.diskBytes, asked.diskBytes)],
    [weights.gpu, gpu()],
  ];
  const total = terms.reduce((sum, [w]) => sum + amount(w), 0);
  if (total === 0) return NEUTRAL;
  return terms.reduce((sum, [w, value]) => sum + amount(w) * unit(value), 0) / total;
}

/** What is free of a node's cards, in cards. */
function freeGpus({ devices }: NodeFacts): number {
  return devices.reduce(
    (sum, d) => sum + (d.migProfile === undefined ? amount(d.freeMilli) / MILLI_PER_GPU : 0),
    0,
  );
}

/** What is asked of cards, in cards. */
function gpusOf({ gpu }: PlacementRequest): number {
  return gpu === undefined || gpu.migProfile !== undefined
    ? 0
    : (gpu.count * gpu.milli) / MILLI_PER_GPU;
}

/** Share of the GPU term that likes fuller nodes. */
const FULLER_SHARE = 0.1;

/**
 * CPU that comes with one GPU, milli: of what is assigned to nodes whose GPUs are in use; while none is, of what nodes with
 * GPUs have. 0, so that CPU strands nothing, when no node has any.
 */
export function milliCpuPerGpuOf(nodes: Iterable<NodeFacts>): number {
  let used: Pick<Capacity, "milliCpu" | "gpuCount"> = NO_CAPACITY;
  let all: Pick<Capacity, "milliCpu" | "gpuCount"> = NO_CAPACITY;
  for (const node of nodes) {
    const has = allocatable(node);
    if (has.gpuCount === 0) continue;
    all = added(all, has);
    const gpusUsed = has.gpuCount - freeGpus(node);
    if (gpusUsed > 0) used = added(used, { milliCpu: node.allocated.milliCpu, gpuCount: gpusUsed });
  }
  const { milliCpu, gpuCount } = used.gpuCount > 0 ? used : all;
  const ratio = gpuCount > 0 ? milliCpu / gpuCount : 0;
  return Number.isFinite(ratio) ? ratio : 0;
}

function added(
  sum: Pick<Capacity, "milliCpu" | "gpuCount">,
  more: Pick<Capacity, "milliCpu" | "gpuCount">,
): Pick<Capacity, "milliCpu" | "gpuCount"> {
  return {
    milliCpu: sum.milliCpu + amount(more.milliCpu),
    gpuCount: sum.gpuCount + amount(more.gpuCount),
  };
}

/** Share of the asked attributes that site carries, divided by one more for each PreferNoSchedule taint not tolerated. */
function compliancePart(node: NodeFacts, request: PlacementRequest): number {
  const labels = siteLabels(request, node);
  const asked = request.placements.flatMap((p) => Object.entries(p.compliance ?? {}));
  const matched = asked.filter(([k, v]) => labels[k] === v).length;
  const share = asked.length === 0 ? 1 : matched / asked.length;
  return share / (1 + untoleratedTaints(request, node, ["PreferNoSchedule"]).length);
}

/**
 * Deployments spread over sites, then over nodes, so that one failure takes few replicas. Jobs keep together: the share
 * of their siblings that is on the same site.
 */
function topologyPart(node: NodeFacts, request: PlacementRequest, siblings: Siblings): number {
  const onSite = siblings.bySite.get(node.site.name) ?? 0;
  const onNode = siblings.byNode.get(node.name) ?? 0;
  if (request.kind === "Deployment") return (1 / (1 + onSite) + 1 / (1 + onNode)) / 2;
  const total = [...siblings.bySite.values()].reduce((a, b) => a + b, 0);
  return total === 0 ? NEUTRAL : onSite / total;
}
