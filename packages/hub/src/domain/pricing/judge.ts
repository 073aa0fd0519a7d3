import {
  type EgressPriceEntry,
  type NodePriceEntry,
  PRICE_PER_GB_MAX,
  PRICE_PER_HOUR_MAX,
  type PriceListSpec,
} from "@flotilla/shared/model/resources/pricing";
import type { PriceDocument } from "./document.ts";

/** A price that is more than so many times the last one, or less than that part of it, is held at this factor. */
export const PRICE_JUMP_FACTOR = 10;

/** Most clamped prices that a message names. */
const CLAMPED_NAMED_MAX = 3;

export type Judgement =
  | { readonly kind: "accept"; readonly spec: PriceListSpec; readonly clamped: readonly string[] }
  | { readonly kind: "refuse"; readonly reason: "CurrencyChanged"; readonly message: string };

/**
 * What becomes of a delivered list. A currency other than the last one's is refused until the profile asks for it; then all
 * prices begin anew. A price that jumps, or is absurd, is clamped, so that one wrong number does not move a fleet: a true
 * change arrives after a few deliveries.
 */
export function judgeDocument(
  document: PriceDocument,
  last: PriceListSpec | undefined,
  acceptedCurrency: string | undefined,
): Judgement {
  const { currency } = document;
  const wanted = acceptedCurrency ?? last?.currency;
  if (wanted !== undefined && wanted !== currency)
    return {
      kind: "refuse",
      reason: "CurrencyChanged",
      message: `the feed delivers ${currency}, the prices are in ${wanted}; set spec.costAware.currency to ${currency} to take it, all prices then begin anew`,
    };
  const base = last?.currency === currency ? last : undefined;
  const clamped: string[] = [];
  return { kind: "accept", spec: { currency, ...clampedLists(document, base, clamped) }, clamped };
}

/** `3 prices were clamped: a, b, c`; undefined when none was. */
export function clampedText(clamped: readonly string[]): string | undefined {
  if (clamped.length === 0) return undefined;
  const more = clamped.length - CLAMPED_NAMED_MAX;
  const named = clamped.slice(0, CLAMPED_NAMED_MAX).join("; ");
  return `${clamped.length} prices were clamped: ${named}${more > 0 ? `; and ${more} more` : ""}`;
}

function clampedLists(
  document: PriceDocument,
  base: PriceListSpec | undefined,
  clamped: string[],
): Pick<PriceListSpec, "nodes" | "egress"> {
  const lastNodes = firsts(base?.nodes ?? [], nodeKey);
  const lastEgress = firsts(base?.egress ?? [], egressKey);
  const nodes = document.nodes.map((entry) => {
    const last = lastNodes.get(nodeKey(entry));
    const at = (last_: number | undefined): Bounds => ({ last: last_, max: PRICE_PER_HOUR_MAX });
    const name = nodeName(entry);
    const pricePerHour = held(entry.pricePerHour, at(last?.pricePerHour), name, clamped);
    if (entry.spotPricePerHour === undefined) return { ...entry, pricePerHour };
    const spot = `${name} (spot)`;
    const spotPricePerHour = held(
      entry.spotPricePerHour,
      at(last?.spotPricePerHour),
      spot,
      clamped,
    );
    return { ...entry, pricePerHour, spotPricePerHour };
  });
  const egress = document.egress?.map((entry) => {
    const last = lastEgress.get(egressKey(entry))?.pricePerGb;
    const name = `${entry.from} to ${entry.to}`;
    const pricePerGb = held(entry.pricePerGb, { last, max: PRICE_PER_GB_MAX }, name, clamped);
    return { ...entry, pricePerGb };
  });
  return egress === undefined ? { nodes } : { nodes, egress };
}

interface Bounds {
  readonly last: number | undefined;
  readonly max: number;
}

/** The price within its bounds; what was held is noted. A price of 0 before gives no bound. */
function held(price: number, { last, max }: Bounds, name: string, clamped: string[]): number {
  const [low, high] =
    last === undefined || last === 0
      ? [0, max]
      : [last / PRICE_JUMP_FACTOR, Math.min(max, last * PRICE_JUMP_FACTOR)];
  const taken = Math.min(high, Math.max(low, price));
  if (taken !== price) clamped.push(`${name} ${price} → ${taken}`);
  return taken;
}

function firsts<T>(entries: readonly T[], keyOf: (entry: T) => string): Map<string, T> {
  const map = new Map<string, T>();
  for (const entry of entries) if (!map.has(keyOf(entry))) map.set(keyOf(entry), entry);
  return map;
}

type NodeNames = Omit<NodePriceEntry, "pricePerHour" | "spotPricePerHour">;

function nodeKey({ provider, region, site, instanceType, gpuModel }: NodeNames): string {
  return JSON.stringify([provider, region, site, instanceType, gpuModel]);
}

function nodeName({ provider, region, site, instanceType, gpuModel }: NodeNames): string {
  const names = [provider, region, site, instanceType, gpuModel].filter((n) => n !== undefined);
  return names.length === 0 ? "every node" : names.join("/");
}

function egressKey({ from, to }: Pick<EgressPriceEntry, "from" | "to">): string {
  return JSON.stringify([from, to]);
}
