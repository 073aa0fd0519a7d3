import type { NodeFacts, PerformanceWeights, PlacementRequest } from "../facts.ts";
import { egressPerHour, nodePrice } from "./cost.ts";
import { latencyTo } from "./latency.ts";
import { isMeasured } from "./part.ts";
import { decidingLatencyMs, LATENCY_ONLY } from "./performance.ts";

/**
 * What a score would have used of a node and does not know, in words: it counted as neutral. For explanations; empty when
 * everything is known.
 */
export function unknownsOf(
  node: NodeFacts,
  request: PlacementRequest,
  weights: PerformanceWeights = LATENCY_ONLY,
): readonly string[] {
  const promised = request.placements.flatMap(({ latency }) => latency?.to ?? []);
  const sources = request.placements.flatMap(({ data }) =>
    data === undefined ? [] : [data.region],
  );
  const { measures, site } = node;
  return [
    ...(nodePrice(node, request.spot === true) === undefined ? ["price"] : []),
    ...(egressPerHour(node, request) === undefined ? [`egress from ${sources.join(", ")}`] : []),
    ...promised.filter((to) => latencyTo(site, to) === undefined).map((to) => `latency to ${to}`),
    ...(promised.length === 0 &&
    weights.latency > 0 &&
    decidingLatencyMs(node, request) === undefined
      ? ["latency"]
      : []),
    ...(weights.network > 0 && !isMeasured(measures?.networkBitsPerSecond)
      ? ["network bandwidth"]
      : []),
    ...(weights.disk > 0 && !isMeasured(measures?.diskWritesPerSecond) ? ["disk iops"] : []),
  ];
}
