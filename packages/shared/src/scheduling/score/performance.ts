import { amount, type NodeFacts } from "../facts.ts";
import { isKnown, NEUTRAL } from "./part.ts";

/** Round-trip time at which the latency half of the performance part is one half, milliseconds. */
const LATENCY_HALF_MS = 50;

/** Half latency of the site to its users, half how idle the machine is (its worst pressure or load). In [0, 1]. */
export function performancePart(node: NodeFacts): number {
  const { latencyMs } = node.site;
  const latency = isKnown(latencyMs) ? LATENCY_HALF_MS / (LATENCY_HALF_MS + latencyMs) : NEUTRAL;
  return (latency + idlePart(node)) / 2;
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
  return loads.length === 0 ? NEUTRAL : 1 - Math.min(1, Math.max(...loads));
}
