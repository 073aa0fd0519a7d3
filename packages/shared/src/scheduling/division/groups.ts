import type { SpreadConstraint } from "../../model/resources/placement.ts";
import { byName } from "../select.ts";
import type { Counted } from "./types.ts";

/**
 * Up to so many candidates the groups of several constraints at once are chosen by trying every set (4,096 of them);
 * above, group by group. One constraint alone is always chosen exactly.
 */
export const SPREAD_EXACT_CANDIDATES_MAX = 12;

/** What a set of candidates is worth: compared number by number, greater is better. */
export type Worth = (counted: Counted) => readonly number[];

/** A constraint with its defaults filled in. */
interface Bounds {
  readonly field: "site" | "region" | "provider";
  readonly minGroups: number;
  readonly maxGroups: number;
}

/** The candidates among which the replicas are divided, and what of the constraints cannot be kept. */
export interface Selection {
  readonly chosen: readonly Counted[];
  readonly bounds: readonly Bounds[];
  readonly problems: readonly string[];
  /** Why a candidate was left out, by name. */
  readonly reasons: ReadonlyMap<string, string>;
}

/** Chooses the groups: as much worth as maxGroups allows, enough of them for minGroups where that can be had. */
export function selectGroups(
  candidates: readonly Counted[],
  constraints: readonly SpreadConstraint[],
  worth: Worth,
): Selection {
  const bounds = constraints.map(boundsOf);
  const reasons = new Map<string, string>();
  const grouped = candidates.filter((c) => {
    const field = bounds.find((b) => groupOf(c, b.field) === undefined)?.field;
    if (field !== undefined)
      reasons.set(c.name, `its ${field} is not known, and the spread asks for it`);
    return field === undefined;
  });
  const binding = bounds.filter((b) => groupsOf(grouped, b.field).size > b.maxGroups);
  const chosen = choose(grouped, binding, bounds, worth);
  for (const c of grouped)
    if (!chosen.includes(c)) reasons.set(c.name, `left out by maxGroups: ${textOf(binding)}`);
  const problems = bounds.flatMap(({ field, minGroups }) => {
    const has = groupsOf(chosen, field).size;
    return has >= minGroups
      ? []
      : [
          `minGroups asks for ${minGroups} different values of ${field}, the candidates have ${has}`,
        ];
  });
  return { chosen, bounds, problems, reasons };
}

/** The group of a candidate; undefined when it is not known. */
export function groupOf({ candidate }: Counted, field: Bounds["field"]): string | undefined {
  return field === "site" ? candidate.name : candidate[field];
}

function boundsOf({ spreadByField, minGroups, maxGroups }: SpreadConstraint): Bounds {
  return {
    field: spreadByField === "cluster" ? "site" : spreadByField,
    minGroups: minGroups ?? 1,
    maxGroups: maxGroups ?? Number.POSITIVE_INFINITY,
  };
}

function groupsOf(candidates: readonly Counted[], field: Bounds["field"]): Map<string, Counted[]> {
  return Map.groupBy(candidates, (c) => groupOf(c, field) ?? "");
}

function choose(
  candidates: readonly Counted[],
  binding: readonly Bounds[],
  bounds: readonly Bounds[],
  worth: Worth,
): readonly Counted[] {
  const [only, ...more] = binding;
  if (only === undefined) return candidates;
  if (more.length === 0 && bounds.length === 1) return best(candidates, only, worth);
  return candidates.length <= SPREAD_EXACT_CANDIDATES_MAX
    ? bestSet(candidates, bounds, worth)
    : groupByGroup(candidates, bounds, worth);
}

/** The groups of the greatest worth, as many as maxGroups allows. */
function best(candidates: readonly Counted[], bounds: Bounds, worth: Worth): readonly Counted[] {
  const groups = [...groupsOf(candidates, bounds.field)].map(([name, members]) => ({
    name,
    members,
    worth: total(members, worth),
  }));
  groups.sort((a, b) => compare(b.worth, a.worth) || byName(a.name, b.name));
  return inOrder(candidates, new Set(groups.slice(0, bounds.maxGroups).flatMap((g) => g.members)));
}

/** Every set is tried: fewest missing groups, then the greatest worth, then the first of equals. */
function bestSet(
  candidates: readonly Counted[],
  bounds: readonly Bounds[],
  worth: Worth,
): readonly Counted[] {
  let bestMembers: readonly Counted[] = [];
  let bestKey: readonly number[] | undefined;
  for (let set = 1; set < 2 ** candidates.length; set++) {
    const members = candidates.filter((_, index) => Math.floor(set / 2 ** index) % 2 === 1);
    const counts = bounds.map((b) => groupsOf(members, b.field).size);
    if (counts.some((count, index) => count > (bounds[index]?.maxGroups ?? 0))) continue;
    const missing = counts.map((count, index) =>
      Math.min(0, count - (bounds[index]?.minGroups ?? 0)),
    );
    const key = [missing.reduce((a, b) => a + b, 0), ...total(members, worth), members.length];
    if (bestKey !== undefined && compare(key, bestKey) <= 0) continue;
    bestMembers = members;
    bestKey = key;
  }
  return bestMembers;
}

/** First candidates that open a group that is still missing, then the rest, each while no bound is passed. */
function groupByGroup(
  candidates: readonly Counted[],
  bounds: readonly Bounds[],
  worth: Worth,
): readonly Counted[] {
  const order = candidates.toSorted(
    (a, b) => compare(worth(b), worth(a)) || byName(a.name, b.name),
  );
  const chosen = new Set<Counted>();
  const used = new Map(bounds.map((b) => [b.field, new Set<string>()]));
  const isNew = (c: Counted, b: Bounds): boolean =>
    used.get(b.field)?.has(groupOf(c, b.field) ?? "") === false;
  const isMissing = (b: Bounds): boolean => (used.get(b.field)?.size ?? 0) < b.minGroups;
  for (const forMissing of [true, false])
    for (const c of order) {
      const allowed = bounds.every(
        (b) => !isNew(c, b) || (used.get(b.field)?.size ?? 0) < b.maxGroups,
      );
      const helps = bounds.some((b) => isMissing(b) && isNew(c, b));
      if (chosen.has(c) || !allowed || (forMissing && !helps)) continue;
      chosen.add(c);
      for (const b of bounds) used.get(b.field)?.add(groupOf(c, b.field) ?? "");
    }
  return inOrder(candidates, chosen);
}

function inOrder(candidates: readonly Counted[], chosen: ReadonlySet<Counted>): readonly Counted[] {
  return candidates.filter((c) => chosen.has(c));
}

function total(members: readonly Counted[], worth: Worth): readonly number[] {
  return members
    .map(worth)
    .reduce((a, b) => b.map((value, index) => value + (a[index] ?? 0)), [] as readonly number[]);
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function textOf(bounds: readonly Bounds[]): string {
  return bounds.map((b) => `at most ${b.maxGroups} of ${b.field}`).join(", ");
}
