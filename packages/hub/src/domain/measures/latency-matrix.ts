import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { SiteLatency } from "@flotilla/shared/model/resources/edge";

/** Most places in one site's status: what it probes itself, and what probes it. */
export const SITE_LATENCIES_MAX = 64;
/** A latency is written anew when it moved by more than this share, and by STEP_MS at least: each write wakes the scheduler. */
const STEP_RATIO = 0.1;
const STEP_MS = 1;
const STEP_LOSS_RATIO = 0.05;

type Site = ObjectOf<"Site">;
type Node = ObjectOf<"EdgeNode">;

/** From site → to site → what was measured. */
export type LatencyMatrix = ReadonlyMap<string, ReadonlyMap<string, SiteLatency>>;

/**
 * Who is how far from whom, from what ready nodes report. Where a site does not probe another one, the way back counts: a
 * round trip is the same from both ends. Of several nodes of a site the first by name counts. `nodes` sorted by name.
 */
export function latencyMatrix(sites: readonly Site[], nodes: readonly Node[]): LatencyMatrix {
  const regionOf = new Map(sites.map(({ metadata, spec }) => [metadata.name, spec.region]));
  const rows = new Map<string, Map<string, SiteLatency>>();
  const put = (from: string, entry: Omit<SiteLatency, "region">): void => {
    if (!regionOf.has(from) || !regionOf.has(entry.site) || from === entry.site) return;
    const row = rows.get(from) ?? new Map<string, SiteLatency>();
    rows.set(from, row);
    const region = regionOf.get(entry.site);
    if (!row.has(entry.site))
      row.set(entry.site, { ...entry, ...(region === undefined ? {} : { region }) });
  };
  const measured = nodes
    .filter(({ spec, status }) => status?.life === "ready" && spec.revoked !== true)
    .flatMap(({ spec, status }) =>
      (status?.measures?.latencies ?? []).map(({ sampleCount: _count, ...l }) => ({
        from: spec.site,
        l,
      })),
    );
  for (const { from, l } of measured) put(from, l);
  for (const { from, l } of measured) put(l.site, { ...l, site: from });
  return rows;
}

/** What a site's status says after it: by name, at most SITE_LATENCIES_MAX, each as before while it has hardly moved. */
export function siteLatencies(site: Site, matrix: LatencyMatrix): SiteLatency[] {
  const before = new Map((site.status?.latencies ?? []).map((l) => [l.site, l]));
  return [...(matrix.get(site.metadata.name)?.values() ?? [])]
    .toSorted((a, b) => (a.site < b.site ? -1 : 1))
    .slice(0, SITE_LATENCIES_MAX)
    .map((next) => {
      const old = before.get(next.site);
      return old !== undefined && !hasMoved(old, next) ? old : next;
    });
}

/** By site and by region, for placements: the 95th percentile; of a region's sites the furthest, for a promise to hold there. */
export function latencyFacts(latencies: readonly SiteLatency[]): ReadonlyMap<string, number> {
  const regions = new Map<string, number>();
  const sites = new Map<string, number>();
  for (const { site, region, p95Ms } of latencies) {
    if (p95Ms === undefined) continue;
    sites.set(site, p95Ms);
    if (region !== undefined) regions.set(region, Math.max(p95Ms, regions.get(region) ?? 0));
  }
  // A site's own name goes before a region that is called the same.
  return new Map([...regions, ...sites]);
}

function hasMoved(old: SiteLatency, next: SiteLatency): boolean {
  const moved = (a: number | undefined, b: number | undefined): boolean =>
    a === undefined || b === undefined
      ? a !== b
      : Math.abs(a - b) > Math.max(STEP_MS, STEP_RATIO * a);
  return (
    old.region !== next.region ||
    moved(old.p50Ms, next.p50Ms) ||
    moved(old.p95Ms, next.p95Ms) ||
    Math.abs(old.lossRatio - next.lossRatio) > STEP_LOSS_RATIO
  );
}
