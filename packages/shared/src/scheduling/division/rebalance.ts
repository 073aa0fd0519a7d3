import { byName } from "../select.ts";
import { idealDivision } from "./divide.ts";
import type { DivisionCandidate, DivisionInput } from "./types.ts";

/**
 * What a move costs when nobody says, in misplaced replicas: a move is proposed when it mends at least a fifth of one. So
 * up to five replicas are moved to leave one candidate free.
 */
export const MOVE_PRICE_DEFAULT = 0.2;

/** One replica from here to there. Gain and price are in misplaced replicas: 1 is one replica that is where it should not be. */
export interface RebalanceMove {
  readonly from: string;
  readonly to: string;
  readonly gain: number;
  readonly price: number;
  readonly reason: string;
}

export interface Rebalance {
  /** Worth their price, best gain first, in the order in which they are to be carried out. */
  readonly moves: readonly RebalanceMove[];
  /** The moves to the ideal division whose gain is below their price. */
  readonly notWorth: readonly RebalanceMove[];
  /** The division that all moves together would bring. */
  readonly ideal: ReadonlyMap<string, number>;
}

/**
 * The moves from what is to the ideal division, the surplus of one candidate to the lack of another. The gain of a move:
 * how many of the replicas on its source are too many, one at most; for an Aggregated division 1 shared by the replicas
 * that have to leave until the candidate is free.
 */
export function rebalance(input: DivisionInput): Rebalance {
  const { bySite: ideal, reasons } = idealDivision(input);
  const surplus = new Map<string, number>();
  const lack = new Map<string, number>();
  const existing = new Map(input.candidates.map((c) => [c.name, existingOf(c)]));
  for (const [name, has] of existing) {
    const difference = has - (ideal.get(name) ?? 0);
    if (difference > 0) surplus.set(name, difference);
    if (difference < 0) lack.set(name, -difference);
  }
  const isAggregated =
    input.rules.scheduling?.replicaDivisionPreference === "Aggregated" &&
    input.rules.scheduling.replicaSchedulingType !== "Duplicated";
  const gainOf = gains(existing, ideal, isAggregated);
  const prices = new Map(input.candidates.map((c) => [c.name, priceOf(c)]));
  const moves: RebalanceMove[] = [];
  for (let from = most(surplus), to = most(lack); from !== undefined && to !== undefined; ) {
    moves.push({
      from,
      to,
      gain: gainOf(from),
      price: prices.get(from) ?? MOVE_PRICE_DEFAULT,
      reason: `${from} has ${existing.get(from)}, its part is ${ideal.get(from) ?? 0}; ${to}: ${reasons.get(to) ?? ""}`,
    });
    take(surplus, from);
    take(lack, to);
    [from, to] = [most(surplus), most(lack)];
  }
  const order = moves.toSorted((a, b) => b.gain - b.price - (a.gain - a.price));
  return {
    moves: order.filter((m) => m.gain >= m.price),
    notWorth: order.filter((m) => !(m.gain >= m.price)),
    ideal,
  };
}

function gains(
  existing: ReadonlyMap<string, number>,
  ideal: ReadonlyMap<string, number>,
  isAggregated: boolean,
): (from: string) => number {
  return (from) => {
    const has = existing.get(from) ?? 0;
    if (!isAggregated) return 1;
    return (ideal.get(from) ?? 0) === 0 && has > 0 ? 1 / has : 0;
  };
}

/** Name of the greatest, of equal ones the first by name. */
function most(counts: ReadonlyMap<string, number>): string | undefined {
  return [...counts].toSorted(([a, x], [b, y]) => y - x || byName(a, b))[0]?.[0];
}

function take(counts: Map<string, number>, name: string): void {
  const left = (counts.get(name) ?? 0) - 1;
  if (left > 0) counts.set(name, left);
  else counts.delete(name);
}

function existingOf({ existing }: DivisionCandidate): number {
  return Number.isFinite(existing) && existing > 0 ? Math.floor(existing) : 0;
}

/** A price that cannot be read forbids: nothing is moved for a number that nobody understands. */
function priceOf({ movePrice }: DivisionCandidate): number {
  if (movePrice === undefined) return MOVE_PRICE_DEFAULT;
  return Number.isFinite(movePrice) && movePrice >= 0 ? movePrice : Number.POSITIVE_INFINITY;
}
