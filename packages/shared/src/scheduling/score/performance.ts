import {
  amount,
  type NodeFacts,
  type PerformanceWeights,
  type PlacementRequest,
} from "../facts.ts";
import { latencyTo } from "./latency.ts";
import { isKnown, isMeasured, NEUTRAL } from "./part.ts";

/** Values at which a measured term is one half: it counts less and less what lies beyond. */

/** Round-trip time, milliseconds. */
const LATENCY_HALF_MS = 50;
/** Speed of the link, bits per second: 1 Gbit/s. */
const NETWORK_HALF_BITS_PER_SECOND = 1e9;
/** Durable writes per second; a disk without a cache that survives a power cut does about so many. */
const DISK_HALF_WRITES_PER_SECOND = 1_000;

/** Steps in which a load counts, so that the noise of readings moves no decision. */
const LOAD_STEPS = 20;

/** What is measured weighs so much of the part; the rest is how idle the machine is. */
const MEASURED_SHARE = 0.5;

/** Metrics without a profile: latency alone. */
export const LATENCY_ONLY: PerformanceWeights = { latency: 1, network: 0, disk: 0 };

/**
 * Half what was measured, weighted as the profile says, half how idle the machine is (its worst pressure or load). In
 * [0, 1]; a term that is unknown is neutral.
 */
export function performancePart(
  node: NodeFacts,
  request: PlacementRequest,
  weights: PerformanceWeights = LATENCY_ONLY,
): number {
  const terms: readonly (readonly [number, number])[] = [
    [amount(weights.latency), latencyTerm(decidingLatencyMs(node, request))],
    [
      amount(weights.network),
      rising(node.measures?.networkBitsPerSecond, NETWORK_HALF_BITS_PER_SECOND),
    ],
    [amount(weights.disk), rising(node.measures?.diskWritesPerSecond, DISK_HALF_WRITES_PER_SECOND)],
  ];
  const total = terms.reduce((sum, [weight]) => sum + weight, 0);
  const sum = terms.reduce((all, [weight, value]) => all + weight * value, 0);
  const measured = total > 0 && Number.isFinite(total) ? sum / total : NEUTRAL;
  return MEASURED_SHARE * measured + (1 - MEASURED_SHARE) * idlePart(node);
}

/**
 * The latency that counts, milliseconds: where placements name places, the worst known one to them; else what the Site says
 * of its users; else the node's own to the hub. Undefined when unknown, 0 within the place that was named.
 */
export function decidingLatencyMs(node: NodeFacts, request: PlacementRequest): number | undefined {
  const places = request.placements.flatMap(({ latency }) => latency?.to ?? []);
  if (places.length > 0) {
    const known = places.map((place) => latencyTo(node.site, place));
    return known.reduce((worst, ms) =>
      worst === undefined || ms === undefined ? undefined : Math.max(worst, ms),
    );
  }
  if (isMeasured(node.site.latencyMs)) return node.site.latencyMs;
  const ms = node.measures?.latencyP95Ms;
  return isMeasured(ms) ? ms : undefined;
}

function latencyTerm(ms: number | undefined): number {
  return ms === undefined ? NEUTRAL : LATENCY_HALF_MS / (LATENCY_HALF_MS + ms);
}

/** More is better. */
function rising(value: number | undefined, half: number): number {
  return isMeasured(value) ? value / (value + half) : NEUTRAL;
}

function idlePart({ usage, capacity }: NodeFacts): number {
  if (usage === undefined) return NEUTRAL;
  const memoryRatio =
    amount(capacity.memoryBytes) > 0 ? usage.memoryUsedBytes / capacity.memoryBytes : undefined;
  const loads = [
    usage.cpuRatio,
    memoryRatio,
    usage.pressure?.cpuRatio,
    usage.pressure?.memoryRatio,
    usage.pressure?.ioRatio,
  ].filter(isKnown);
  if (loads.length === 0) return NEUTRAL;
  return 1 - Math.round(Math.min(1, Math.max(...loads)) * LOAD_STEPS) / LOAD_STEPS;
}
