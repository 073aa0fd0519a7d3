import type { PlacementRequest, Siblings } from "./facts.ts";
import { NEUTRAL } from "./score/part.ts";

/**
 * What one request alone makes of some sites and nodes: instances near by, its own and those of other workloads. Everything else
 * about a request is the same for all requests of its shape. What is not named here is as it is for everybody.
 */
export interface Adjustment {
  /** Instances of the same component. */
  readonly siblings?: Siblings;
  /** Required affinity: a node passes when, of every entry, its site or itself is named. */
  readonly required?: readonly RequiredDomains[];
  /** Required anti-affinity: why not there. */
  readonly barred?: ByDomain<string>;
  /** Preferred affinity, −1 (away from there) to 1 (there); site and node add up. */
  readonly preferred?: ByDomain<number>;
}

/** Something said of sites and of nodes, by their names. */
export interface ByDomain<T> {
  readonly sites: ReadonlyMap<string, T>;
  readonly nodes: ReadonlyMap<string, T>;
}

/** Sites and nodes where one required affinity holds, and what it asks for, as a reason. */
export interface RequiredDomains {
  readonly sites: ReadonlySet<string>;
  readonly nodes: ReadonlySet<string>;
  /** `asks for component db on the same site`. */
  readonly reason: string;
}

/** Nobody else of the component is placed, and no affinity asked for. */
export const NO_ADJUSTMENT: Adjustment = {};

/** A node as an adjustment sees it. */
export interface Spot {
  readonly node: string;
  readonly site: string;
}

/** Why the node may not take it; undefined when it may. */
export function affinityRejection(
  { required, barred }: Adjustment,
  { node, site }: Spot,
): string | undefined {
  const missed = required?.find(({ sites, nodes }) => !sites.has(site) && !nodes.has(node));
  return missed?.reason ?? barred?.nodes.get(node) ?? barred?.sites.get(site);
}

/**
 * The topology part, by node. Deployments spread over sites, then over nodes, so that one failure takes few replicas. Jobs
 * keep together: the share of their siblings that is on the same site. A preference p moves that towards 1 by the share p, or
 * towards 0 by the share −p.
 */
export function topologyOf(
  kind: PlacementRequest["kind"],
  adjustment: Adjustment,
): (spot: Spot) => number {
  const { siblings, preferred } = adjustment;
  const total = siblingCount(adjustment);
  const bySiblings = ({ node, site }: Spot): number => {
    const onSite = siblings?.bySite.get(site) ?? 0;
    const onNode = siblings?.byNode.get(node) ?? 0;
    if (kind === "Deployment") return (1 / (1 + onSite) + 1 / (1 + onNode)) / 2;
    return total === 0 ? NEUTRAL : onSite / total;
  };
  return (spot) => {
    const part = bySiblings(spot);
    if (preferred === undefined) return part;
    const preference = preferenceOf(preferred, spot);
    return preference >= 0 ? part + (1 - part) * preference : part * (1 + preference);
  };
}

/** True when no site and no node is special to the request. */
export function isPlain({ siblings, required = [], barred, preferred }: Adjustment): boolean {
  return (
    required.length === 0 &&
    barred === undefined &&
    preferred === undefined &&
    (siblings === undefined || siblings.bySite.size + siblings.byNode.size === 0)
  );
}

/** Siblings that are placed. */
export function siblingCount({ siblings }: Adjustment): number {
  let count = 0;
  for (const onSite of siblings?.bySite.values() ?? []) count += onSite;
  return count;
}

function preferenceOf({ sites, nodes }: ByDomain<number>, { site, node }: Spot): number {
  const sum = sound(sites.get(site)) + sound(nodes.get(node));
  return Math.min(1, Math.max(-1, sum));
}

function sound(value: number | undefined): number {
  return value !== undefined && Number.isFinite(value) ? value : 0;
}
