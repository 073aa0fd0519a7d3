import {
  allocatable,
  INSTANCES_PER_NODE_MAX,
  type NodeFacts,
  type PlacementRequest,
} from "../facts.ts";
import { isKnown, NEUTRAL } from "./part.ts";

/** Hours of the day over which a component's data is spread. */
const HOURS_PER_DAY = 24;

/**
 * What an instance costs per hour on a node, in the currency of the price list: the share of the node that it takes, at the
 * node's price, and what its data costs on the way there. Undefined when any of it is unknown.
 */
export function hourlyCost(node: NodeFacts, request: PlacementRequest): number | undefined {
  const price = nodePrice(node, request.spot === true);
  const egress = egressPerHour(node, request);
  if (price === undefined || egress === undefined) return undefined;
  const cost = price * takenShare(node, request) + egress;
  return isKnown(cost) ? cost : undefined;
}

/** The lowest cost among those that fit over this one, in [0, 1]; scale-free, so that a cent decides little. */
export function costPart(cost: number | undefined, costMin: number | undefined): number {
  if (!isKnown(cost) || !isKnown(costMin)) return NEUTRAL;
  return cost === 0 ? 1 : costMin / cost;
}

/** The lowest known cost; undefined when none is known. */
export function lowestCost(costs: Iterable<number | undefined>): number | undefined {
  let lowest: number | undefined;
  for (const cost of costs)
    if (isKnown(cost) && (lowest === undefined || cost < lowest)) lowest = cost;
  return lowest;
}

/** Price of a node-hour: of the price list, on the spot market where the request takes that, else of the Site. */
export function nodePrice({ price, site }: NodeFacts, spot: boolean): number | undefined {
  if (spot && isKnown(price?.spotPerHour)) return price.spotPerHour;
  if (isKnown(price?.perHour)) return price.perHour;
  return isKnown(site.pricePerNodeHour) ? site.pricePerNodeHour : undefined;
}

/** Price of moving the request's data to the node's region for an hour; 0 without data, undefined when a price is unknown. */
export function egressPerHour(
  { site }: NodeFacts,
  { placements }: PlacementRequest,
): number | undefined {
  let sum = 0;
  for (const { data } of placements) {
    if (data === undefined || data.gbPerDay === 0) continue;
    const pricePerGb =
      site.egressPricePerGb?.get(data.region) ?? (site.region === data.region ? 0 : undefined);
    if (!isKnown(pricePerGb) || !isKnown(data.gbPerDay)) return undefined;
    sum += (data.gbPerDay / HOURS_PER_DAY) * pricePerGb;
  }
  return sum;
}

/** The largest share of anything that it takes of the node: of a resource, or of the instances that a node takes. */
function takenShare(node: NodeFacts, { amounts, gpu }: PlacementRequest): number {
  const all = allocatable(node);
  const gpus =
    gpu === undefined || gpu.migProfile !== undefined
      ? amounts.gpuCount
      : gpu.count * (gpu.milli / 1_000);
  const shares = [
    amounts.milliCpu / all.milliCpu,
    amounts.memoryBytes / all.memoryBytes,
    amounts.diskBytes / all.diskBytes,
    gpus / all.gpuCount,
  ].filter(isKnown);
  return Math.min(1, Math.max(1 / INSTANCES_PER_NODE_MAX, ...shares));
}
