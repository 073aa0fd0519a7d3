import type { ScoreParts } from "../model/resources/edge.ts";
import type { Spot } from "./adjustment.ts";
import {
  allocatable,
  amount,
  type DeviceFacts,
  free,
  type NodeFacts,
  type PlacementRequest,
  type Weights,
} from "./facts.ts";
import { siteLabels, untoleratedTaints } from "./filter.ts";
import { alikeDevices } from "./gpu/choose-devices.ts";
import { opportunityCost, resourcePartOf } from "./gpu/opportunity-cost.ts";
import { MILLI_PER_GPU } from "./gpu/request-mix.ts";
import type { GpuValues } from "./gpu/values.ts";
import { costPart, hourlyCost } from "./score/cost.ts";
import { NEUTRAL, unit } from "./score/part.ts";
import { performancePart } from "./score/performance.ts";

/** The second part of a placement: how good each node that may take it is. Five parts in [0, 1], as in the article. */

/** What a score needs beside the node. */
export interface ScoreContext {
  readonly request: PlacementRequest;
  readonly weights: Weights;
  /** The topology part, by node (`topologyOf`). */
  readonly topology: (spot: Spot) => number;
  /** Lowest known cost of the request per hour among the nodes that it may ever run on (`mayEverRun`). */
  readonly costMin: number | undefined;
  /** What GPUs are worth. Given, not derived from what is assigned right now, so that a node's score depends on that node alone. */
  readonly values: GpuValues;
}

/** The five parts of one node that passed the filters. */
export function scoreParts(node: NodeFacts, context: ScoreContext): ScoreParts {
  return {
    resource: unit(resourcePart(node, context)),
    performance: unit(performancePart(node, context.request, context.weights.performance)),
    cost: unit(costPart(hourlyCost(node, context.request), context.costMin)),
    compliance: unit(compliancePart(node, context.request)),
    topology: unit(context.topology({ node: node.name, site: node.site.name })),
  };
}

/** Steps of a score; finer differences are noise and decide nothing. */
export const SCORE_STEPS = 1e6;

/**
 * Weighted sum, rounded to a millionth so that the noise of floating point decides nothing. The topology part is rounded by
 * itself: the score with another topology part is then this one plus a whole number of steps.
 */
export function weightedScore(parts: ScoreParts, weights: ScoreParts): number {
  const sum =
    parts.resource * weights.resource +
    parts.performance * weights.performance +
    parts.cost * weights.cost +
    parts.compliance * weights.compliance;
  return (Math.round(sum * SCORE_STEPS) + topologySteps(parts.topology, weights)) / SCORE_STEPS;
}

/** What the topology part adds to a score, in steps. */
export function topologySteps(topology: number, weights: Pick<ScoreParts, "topology">): number {
  return Math.round(unit(topology) * weights.topology * SCORE_STEPS);
}

/**
 * Least waste. Without GPUs CPU, memory and storage spread: the share that is left afterwards. A node with GPUs is judged by
 * what the fleet loses: the opportunity cost in GPUs (slices cut badly, devices that the node's CPU does not reach for any
 * more), and among equals the fuller node, so that whole idle machines stay for large jobs. Its CPU counts through the GPUs
 * that it serves; spreading it would leave a little on every node and none for the next job.
 */
function resourcePart(
  node: NodeFacts,
  { request, weights: { resources: weights }, values }: ScoreContext,
): number {
  const [all, left, asked] = [allocatable(node), free(node), request.amounts];
  const spread = (total: number, rest: number, ask: number): number =>
    total > 0 ? (rest - ask) / total : 1;
  if (all.gpuCount > 0 && amount(weights.gpu) > 0) {
    const lost = resourcePartOf(gpusLost(node, request, values));
    const idleRatio = (freeGpus(node) - gpusOf(request)) / all.gpuCount;
    return lost * (1 - FULLER_SHARE) + unit(1 - idleRatio) * FULLER_SHARE;
  }
  const terms: readonly (readonly [number, number])[] = [
    [weights.cpu, spread(all.milliCpu, left.milliCpu, asked.milliCpu)],
    [weights.memory, spread(all.memoryBytes, left.memoryBytes, asked.memoryBytes)],
    [weights.storage, spread(all.diskBytes, left.diskBytes, asked.diskBytes)],
    [weights.gpu, 1],
  ];
  const total = terms.reduce((sum, [w]) => sum + amount(w), 0);
  if (total === 0) return NEUTRAL;
  return terms.reduce((sum, [w, value]) => sum + amount(w) * unit(value), 0) / total;
}

/** GPUs that the fleet loses by it; a MIG device is no part of a card any more, so taking it cuts none. */
function gpusLost(node: NodeFacts, { amounts, gpu }: PlacementRequest, values: GpuValues): number {
  const cards = node.devices.filter((d) => d.migProfile === undefined);
  const freeOf = (devices: readonly DeviceFacts[]): readonly number[] =>
    devices.map((d) => amount(d.freeMilli));
  const [gpuCount, gpuMilli] =
    gpu === undefined || gpu.migProfile !== undefined ? [0, 0] : [gpu.count, gpu.milli];
  const suiting = gpuCount === 0 || gpu === undefined ? [] : alikeDevices(cards, gpu);
  const room = {
    milliCpuFree: free(node).milliCpu,
    gpuFree: freeOf(cards),
    suiting: freeOf(suiting),
  };
  const { slot, strand } = opportunityCost(values, room, {
    milliCpu: amounts.milliCpu,
    gpuCount,
    gpuMilli,
  });
  return slot + strand;
}

/** What is free of a node's cards, in cards. */
function freeGpus({ devices }: NodeFacts): number {
  const milli = devices.reduce(
    (sum, d) => sum + (d.migProfile === undefined ? amount(d.freeMilli) : 0),
    0,
  );
  return milli / MILLI_PER_GPU;
}

/** What is asked of cards, in cards. */
function gpusOf({ gpu }: PlacementRequest): number {
  return gpu === undefined || gpu.migProfile !== undefined
    ? 0
    : gpu.count * (gpu.milli / MILLI_PER_GPU);
}

/** Share of the GPU term that likes fuller nodes. */
export const FULLER_SHARE = 0.02;

/** Share of the asked attributes that site carries, divided by one more for each PreferNoSchedule taint not tolerated. */
export function compliancePart(node: NodeFacts, request: PlacementRequest): number {
  const labels = siteLabels(request, node);
  const asked = request.placements.flatMap((p) => Object.entries(p.compliance ?? {}));
  const matched = asked.filter(([k, v]) => labels[k] === v).length;
  const share = asked.length === 0 ? 1 : matched / asked.length;
  return share / (1 + untoleratedTaints(request, node, ["PreferNoSchedule"]).length);
}
