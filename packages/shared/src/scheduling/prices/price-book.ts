import type { NodePriceEntry, PriceListSpec } from "../../model/resources/pricing.ts";
import type { NodePrice } from "../facts.ts";
import { byName } from "../select.ts";

/** Names by which prices are looked up; of two that are as many, the earlier ones count more. */
const NAMES = ["site", "instanceType", "gpuModel", "region", "provider"] as const;

/** What prices are looked up by. */
export type PricedNode = Readonly<Partial<Record<(typeof NAMES)[number], string>>>;

/** A list with its name and age. */
export interface NamedPriceList {
  readonly name: string;
  /** ISO time; the older list decides which currency counts. */
  readonly createdAt: string;
  readonly spec: PriceListSpec;
}

/** Every other region, in an egress entry. */
const ANY_REGION = "*";

/** Stands between the names of a key; no name contains it. */
const SEPARATOR = "\u0000";

/**
 * All price lists as one. Lists of another currency than that of the oldest are left out: numbers of two currencies do not
 * compare.
 */
export class PriceBook {
  /** Absent: there is no list. */
  readonly currency: string | undefined;
  /** Names of the lists that are left out. */
  readonly otherCurrency: readonly string[];
  /** Names that an entry has → their values → the first such entry. Most names first. */
  readonly #nodes: readonly (readonly [
    readonly (keyof PricedNode)[],
    ReadonlyMap<string, NodePrice>,
  ])[];
  /** Region of origin → region of arrival → price of a GB. */
  readonly #egress: ReadonlyMap<string, ReadonlyMap<string, number>>;
  readonly #egressTo = new Map<string, ReadonlyMap<string, number>>();

  constructor(lists: readonly NamedPriceList[]) {
    const sorted = lists.toSorted(
      (a, b) => byName(a.createdAt, b.createdAt) || byName(a.name, b.name),
    );
    this.currency = sorted[0]?.spec.currency;
    const counted = sorted.filter((list) => list.spec.currency === this.currency);
    this.otherCurrency = sorted.filter((list) => !counted.includes(list)).map((list) => list.name);
    this.#nodes = indexed(counted.flatMap((list) => list.spec.nodes));
    this.#egress = egressOf(counted);
  }

  /** The price that fits the node best; undefined when none does. */
  priceOf(node: PricedNode): NodePrice | undefined {
    for (const [names, entries] of this.#nodes) {
      const key = keyOf(node, names);
      const price = key === undefined ? undefined : entries.get(key);
      if (price !== undefined) return price;
    }
    return undefined;
  }

  /** Price of a GB into a region by where it comes from; what is missing is unknown. */
  egressTo(region: string): ReadonlyMap<string, number> {
    const known = this.#egressTo.get(region);
    if (known !== undefined) return known;
    const prices = new Map<string, number>();
    for (const [from, to] of this.#egress) {
      const price = to.get(region) ?? (from === region ? undefined : to.get(ANY_REGION));
      if (price !== undefined) prices.set(from, price);
    }
    this.#egressTo.set(region, prices);
    return prices;
  }
}

function indexed(entries: readonly NodePriceEntry[]) {
  const byNames = new Map<string, Map<string, NodePrice>>();
  const namesOf = new Map<string, readonly (keyof PricedNode)[]>();
  for (const entry of entries) {
    const names = NAMES.filter((name) => entry[name] !== undefined);
    const text = names.join();
    namesOf.set(text, names);
    const group = byNames.get(text) ?? new Map<string, NodePrice>();
    byNames.set(text, group);
    const key = keyOf(entry, names);
    if (key !== undefined && !group.has(key)) group.set(key, priceOf(entry));
  }
  return [...namesOf]
    .toSorted(([, a], [, b]) => b.length - a.length || rank(a) - rank(b))
    .map(([text, names]) => [names, byNames.get(text) ?? new Map<string, NodePrice>()] as const);
}

/** Lower for earlier names; as a binary number with the first name as its highest digit, turned round. */
function rank(names: readonly (keyof PricedNode)[]): number {
  return -NAMES.reduce((sum, name) => sum * 2 + (names.includes(name) ? 1 : 0), 0);
}

function keyOf(values: PricedNode, names: readonly (keyof PricedNode)[]): string | undefined {
  const parts: string[] = [];
  for (const name of names) {
    const value = values[name];
    if (value === undefined) return undefined;
    parts.push(name === "gpuModel" ? value.toLowerCase() : value);
  }
  return parts.join(SEPARATOR);
}

function priceOf({ pricePerHour, spotPricePerHour }: NodePriceEntry): NodePrice {
  return {
    perHour: pricePerHour,
    ...(spotPricePerHour === undefined ? {} : { spotPerHour: spotPricePerHour }),
  };
}

function egressOf(lists: readonly NamedPriceList[]): Map<string, Map<string, number>> {
  const prices = new Map<string, Map<string, number>>();
  for (const { spec } of lists)
    for (const { from, to, pricePerGb } of spec.egress ?? []) {
      const row = prices.get(from) ?? new Map<string, number>();
      prices.set(from, row);
      if (!row.has(to)) row.set(to, pricePerGb);
    }
  return prices;
}
