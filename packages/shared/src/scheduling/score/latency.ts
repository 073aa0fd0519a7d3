import type { NodeFacts, PlacementRequest, SiteFacts } from "../facts.ts";
import { isMeasured } from "./part.ts";

/** Round trips to named places: what is known of them, what was promised. */

/** 95th percentile of the round trip from a site to a site or region, milliseconds: 0 within the place, undefined when unknown. */
export function latencyTo(site: SiteFacts, place: string): number | undefined {
  if (site.name === place || site.region === place) return 0;
  const ms = site.latencies?.get(place);
  return isMeasured(ms) ? ms : undefined;
}

/** Why the node may not take it: a promised latency that is known to be broken. What is unknown passes. */
export function latency({ placements }: PlacementRequest, { site }: NodeFacts): string | undefined {
  for (const { latency: promise } of placements) {
    if (promise === undefined) continue;
    const ms = latencyTo(site, promise.to);
    // Written so that a promise that is no number is a "no", not a "yes".
    if (ms !== undefined && !(ms <= promise.maxMs))
      return `latency to ${promise.to}: at most ${promise.maxMs} ms, measured ${rounded(ms)} ms (p95)`;
  }
  return undefined;
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
