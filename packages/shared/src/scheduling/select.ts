import type { Candidate, ScoreParts } from "../model/resources/edge.ts";
import { smallNodesFirst } from "./engine/row-order.ts";
import type { NodeFacts } from "./facts.ts";

/** The third part of a placement: the best of those that fit. */

/** A node that fits, with its score. */
export interface Scored {
  readonly node: string;
  readonly site: string;
  readonly score: number;
  readonly parts: ScoreParts;
  /** What its score would have used and is not known; absent: everything is. */
  readonly unknown?: string[];
}

/** Best first; equal scores stay in their order. */
export function ranked(scored: readonly Scored[]): readonly Scored[] {
  return scored.toSorted((a, b) => b.score - a.score);
}

/** The order of nodes with equal scores: those with fewer devices first, so that large machines stay whole, then by name. */
export function inTieOrder(
  a: Pick<NodeFacts, "name" | "devices">,
  b: Pick<NodeFacts, "name" | "devices">,
): number {
  const byGpus = smallNodesFirst({ gpuCount: a.devices.length }, { gpuCount: b.devices.length });
  return byGpus || byName(a.name, b.name);
}

/** Most candidates stored with an assignment. */
export const CANDIDATES_MAX = 20;

/**
 * The candidates worth storing: the best that fit and, in at least a quarter of the places, the rejected ones (one of
 * each filter first), the rest counted.
 */
export function shortened(
  candidates: readonly Candidate[],
  countMax: number = CANDIDATES_MAX,
): { readonly candidates: readonly Candidate[]; readonly omitted: number } {
  if (candidates.length <= countMax) return { candidates, omitted: 0 };
  const fitting = candidates.filter((c) => c.filter === undefined);
  const rejected = candidates.filter((c) => c.filter !== undefined);
  const firsts = rejected.filter((c, i) => rejected.findIndex((o) => o.filter === c.filter) === i);
  const rejectedMax = Math.max(Math.ceil(countMax / 4), countMax - fitting.length);
  const shown = new Set([...firsts, ...rejected].slice(0, rejectedMax));
  for (const c of [...firsts, ...rejected]) if (shown.size < rejectedMax) shown.add(c);
  const kept = [
    ...fitting.slice(0, countMax - shown.size),
    ...rejected.filter((c) => shown.has(c)),
  ];
  return { candidates: kept, omitted: candidates.length - kept.length };
}

/** Order by code unit. */
export function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
