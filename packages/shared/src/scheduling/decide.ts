import { must } from "../kernel/assert.ts";
import type { DeviceShare } from "../model/desired-state.ts";
import type { Candidate } from "../model/resources/edge.ts";
import { type Adjustment, NO_ADJUSTMENT, topologyOf } from "./adjustment.ts";
import type {
  Decision,
  DecisionCounts,
  NodeFacts,
  PlacementRequest,
  RejectionCount,
  Snapshot,
  Weights,
} from "./facts.ts";
import { FILTER_NAMES, firstRejection, mayEverRun } from "./filter.ts";
import { chooseDevices } from "./gpu/choose-devices.ts";
import { type GpuValues, WHOLE_DEVICES_ONLY } from "./gpu/values.ts";
import { nearest } from "./nearest.ts";
import { hourlyCost, lowestCost } from "./score/cost.ts";
import { unknownsOf } from "./score/unknowns.ts";
import { type ScoreContext, scoreParts, weightedScore } from "./score.ts";
import { byName, inTieOrder, ranked, type Scored } from "./select.ts";

/** What a decision depends on beside the request and the nodes. */
export interface Circumstances {
  /** What this request alone makes of some sites and nodes. */
  readonly adjustment?: Adjustment;
  /** What GPUs are worth. */
  readonly values?: GpuValues;
}

/**
 * Where one instance belongs: filter, score, select. Pure: the same request and snapshot give the same decision, and
 * every node appears in it with its score or with the reason why not.
 */
export function decide(
  request: PlacementRequest,
  snapshot: Snapshot,
  weights: Weights,
  { adjustment = NO_ADJUSTMENT, values = WHOLE_DEVICES_ONLY }: Circumstances = {},
): Decision {
  const fitting: NodeFacts[] = [];
  const rejected: Candidate[] = [];
  for (const node of [...snapshot.values()].toSorted(inTieOrder)) {
    const rejection = firstRejection(request, node, FILTER_NAMES, adjustment);
    if (rejection === undefined) fitting.push(node);
    else rejected.push({ node: node.name, site: node.site.name, ...rejection });
  }
  const costMin = lowestCost(
    [...snapshot.values()]
      .filter((node) => mayEverRun(request, node))
      .map((node) => hourlyCost(node, request)),
  );
  const topology = topologyOf(request.kind, adjustment);
  const context = { request, weights, topology, costMin, values };
  const scored = ranked(fitting.map((node) => scoreOf(node, context)));
  const [best] = scored;
  const candidates = [...scored, ...rejected];
  if (best !== undefined) {
    const devices = sharesOf(request, must(snapshot.get(best.node), "it was scored"), values);
    return { ...best, ...(devices === undefined ? {} : { devices }), candidates };
  }
  const wouldFit = nearest(request, snapshot, adjustment);
  return { candidates, ...(wouldFit === undefined ? {} : { wouldFit }) };
}

/** `0/3 nodes fit: 2 Resources (memory: asks 2Gi, 1Gi free), 1 Taints (…)`: the most frequent filter first. */
export function summary({ candidates, counts }: Pick<Decision, "candidates" | "counts">): string {
  const { fitting, nodes, rejections } = counts ?? countsOf(candidates);
  if (nodes === 0) return "there is no node yet: enrol one with `flotilla node join-token`";
  const head = `${fitting}/${nodes} nodes fit`;
  if (rejections.length === 0) return head;
  const parts = rejections.map(({ filter, count, reason }) => `${count} ${filter} (${reason})`);
  return `${head}: ${parts.join(", ")}`;
}

/** Counts of candidates that are all nodes. */
function countsOf(candidates: readonly Candidate[]): DecisionCounts {
  const byFilter = new Map<string, RejectionCount>();
  for (const { filter, reason = "" } of candidates) {
    if (filter === undefined) continue;
    const seen = byFilter.get(filter) ?? { filter, count: 0, reason };
    byFilter.set(filter, { ...seen, count: seen.count + 1 });
  }
  const rejected = [...byFilter.values()].reduce((sum, { count }) => sum + count, 0);
  return {
    nodes: candidates.length,
    fitting: candidates.length - rejected,
    rejections: mostFrequentFirst([...byFilter.values()]),
  };
}

/** The order in which rejections are told. */
export function mostFrequentFirst(
  rejections: readonly RejectionCount[],
): readonly RejectionCount[] {
  return rejections.toSorted((a, b) => b.count - a.count || byName(a.filter, b.filter));
}

/** Shares of the devices that the request gets on a node that it fits on; undefined when it asks for none. */
function sharesOf(
  { gpu }: PlacementRequest,
  node: NodeFacts,
  values: GpuValues,
): readonly DeviceShare[] | undefined {
  if (gpu === undefined) return undefined;
  const uuids = must(chooseDevices(node, gpu, values), "the filter found such devices");
  return uuids.map((uuid) => ({ uuid, milli: gpu.milli }));
}

/** A node that fits, as a candidate. */
export function scoreOf(node: NodeFacts, context: ScoreContext): Scored {
  const parts = scoreParts(node, context);
  const score = weightedScore(parts, context.weights.parts);
  const unknown = unknownsOf(node, context.request, context.weights.performance);
  const scored = { node: node.name, site: node.site.name, score, parts };
  return unknown.length === 0 ? scored : { ...scored, unknown: [...unknown] };
}
