import { matchesSelector } from "../../model/selectors.ts";
import { amount } from "../facts.ts";
import { byName } from "../select.ts";
import { groupOf, type Selection, selectGroups, type Worth } from "./groups.ts";
import { type Sharer, shareOut } from "./share-out.ts";
import type {
  Counted,
  Division,
  DivisionCandidate,
  DivisionInput,
  DivisionRules,
} from "./types.ts";

/** Most replicas that a division reckons with: far above any Application's, far below where numbers lose whole ones. */
export const DIVISION_REPLICAS_MAX = 10_000_000;

/** How the replicas are shared out. */
type Preference = "Duplicated" | "Static" | "Dynamic" | "Aggregated" | "Spread";

/**
 * Shares a component's replicas out over its candidates. Sticky: what a candidate has stays unless the rules leave the
 * candidate out; more replicas are added, fewer are taken where a candidate has most above its share. Deterministic: the
 * order of the candidates does not matter.
 *
 * | rule | each candidate's part |
 * |---|---|
 * | Duplicated | all |
 * | Weighted, staticWeightList | by weight, within what fits; remainders as in `shareOut` |
 * | Weighted, AvailableReplicas | by how many it can have in all |
 * | Aggregated | the roomiest first, each filled, those that have replicas before others |
 * | Spread, or spread constraints alone | the same for each, within what fits |
 */
export function divide(input: DivisionInput): Division {
  return divided(input, { sticky: true });
}

/** The division as if nothing were there yet; among equally good ones the nearest to what is. */
export function idealDivision(input: DivisionInput): Division {
  return divided(input, { sticky: false });
}

function divided(input: DivisionInput, { sticky }: { readonly sticky: boolean }): Division {
  const preference = preferenceOf(input.rules);
  const replicas = whole(input.replicas);
  const all = input.candidates
    .map((candidate) => counted(candidate, input.rules, preference))
    .toSorted((a, b) => byName(a.name, b.name));
  const named = all.filter((c) => preference !== "Static" || c.weight > 0);
  const worth = worthOf(preference, { sticky, replicas });
  const selection = selectGroups(named, input.rules.spreadConstraints, worth);
  const order = { preference, replicas, sticky };
  const counts = withMinGroups(selection, countsOf(selection.chosen, order), preference);
  const wanted = preference === "Duplicated" ? replicas * selection.chosen.length : replicas;
  const unplaced = wanted - sum([...counts.values()]);
  return {
    bySite: new Map(all.map((c) => [c.name, counts.get(c.name) ?? 0])),
    reasons: new Map(all.map((c) => [c.name, reasonOf(c, counts, { selection, preference })])),
    unplaced,
    waitingBySite: waitingOf(selection.chosen, counts, { ...order, unplaced }),
    problems: problemsOf(selection, counts, replicas),
  };
}

function preferenceOf({ scheduling }: DivisionRules): Preference {
  if (scheduling === undefined) return "Spread";
  if (scheduling.replicaSchedulingType === "Duplicated") return "Duplicated";
  const preference = scheduling.replicaDivisionPreference ?? "Weighted";
  if (preference !== "Weighted") return preference;
  if (scheduling.weightPreference?.dynamicWeight !== undefined) return "Dynamic";
  return scheduling.weightPreference?.staticWeightList === undefined ? "Spread" : "Static";
}

function counted(
  candidate: DivisionCandidate,
  rules: DivisionRules,
  preference: Preference,
): Counted {
  const existing = whole(candidate.existing);
  const room = Math.min(existing + whole(candidate.available), DIVISION_REPLICAS_MAX);
  const weight =
    preference === "Static" ? staticWeight(candidate, rules) : preference === "Dynamic" ? room : 1;
  return { candidate, name: candidate.name, existing, room, weight };
}

/** Of the first entry that names the candidate; a site counts as a cluster. */
function staticWeight({ name, labels }: DivisionCandidate, { scheduling }: DivisionRules): number {
  const entry = scheduling?.weightPreference?.staticWeightList?.find(
    ({ targetCluster: target }) => {
      const names = [...(target.clusterNames ?? []), ...(target.siteNames ?? [])];
      return (
        (names.length === 0 || names.includes(name)) &&
        matchesSelector(target.labelSelector, labels)
      );
    },
  );
  return amount(entry?.weight);
}

/** Which groups are kept when there are too many: those that have replicas; for the ideal those that are roomy or weigh most. */
function worthOf(
  preference: Preference,
  { sticky, replicas }: { readonly sticky: boolean; readonly replicas: number },
): Worth {
  if (sticky) return (c) => [c.existing, c.room, c.weight];
  if (preference === "Static") return (c) => [c.weight, c.existing, c.room];
  return (c) => [Math.min(c.room, replicas), c.existing, c.room];
}

interface Order {
  readonly preference: Preference;
  readonly replicas: number;
  readonly sticky: boolean;
}

function countsOf(chosen: readonly Counted[], order: Order): Map<string, number> {
  const { preference, replicas, sticky } = order;
  if (preference === "Duplicated")
    return new Map(chosen.map((c) => [c.name, Math.min(replicas, c.room)]));
  const has = sticky ? sum(chosen.map((c) => c.existing)) : 0;
  const grows = replicas >= has;
  const lower = (c: Counted): number => (sticky && grows ? c.existing : 0);
  const upper = (c: Counted): number => (grows ? c.room : c.existing);
  if (preference === "Aggregated") return aggregated(chosen, replicas, { lower, upper, sticky });
  return new Map(
    shareOut(
      chosen.map(
        (c): Sharer => ({
          name: c.name,
          weight: c.weight,
          lower: lower(c),
          upper: upper(c),
          existing: c.existing,
        }),
      ),
      replicas,
    ),
  );
}

/** The fewest candidates: each is filled before the next; those with replicas first while they are to stay. */
function aggregated(
  chosen: readonly Counted[],
  replicas: number,
  bounds: {
    readonly lower: (c: Counted) => number;
    readonly upper: (c: Counted) => number;
    readonly sticky: boolean;
  },
): Map<string, number> {
  const { lower, upper, sticky } = bounds;
  const order = chosen.toSorted(
    (a, b) =>
      (sticky ? Number(b.existing > 0) - Number(a.existing > 0) : 0) ||
      upper(b) - upper(a) ||
      b.existing - a.existing ||
      byName(a.name, b.name),
  );
  const counts = new Map(order.map((c) => [c.name, lower(c)]));
  let left = replicas - sum([...counts.values()]);
  for (const c of order) {
    const more = Math.min(Math.max(0, left), upper(c) - lower(c));
    counts.set(c.name, lower(c) + more);
    left -= more;
  }
  return counts;
}

/**
 * Sees to minGroups: while a group too few has replicas, one replica goes from where most are beyond what was there to the
 * roomiest candidate of an empty group. Only where the giver's groups keep one.
 */
function withMinGroups(
  { chosen, bounds }: Selection,
  counts: Map<string, number>,
  preference: Preference,
): Map<string, number> {
  if (preference === "Duplicated") return counts;
  const countOf = (c: Counted): number => counts.get(c.name) ?? 0;
  const inGroup = (c: Counted, field: Selection["bounds"][number]["field"]): number =>
    sum(chosen.filter((o) => groupOf(o, field) === groupOf(c, field)).map(countOf));
  const lacking = (): Selection["bounds"] =>
    bounds.filter((b) => {
      const used = new Set(chosen.filter((c) => countOf(c) > 0).map((c) => groupOf(c, b.field)));
      return used.size < b.minGroups;
    });
  for (let unmet = lacking(); unmet.length > 0; unmet = lacking()) {
    const opened = (c: Counted): number => unmet.filter((b) => inGroup(c, b.field) === 0).length;
    const [taker] = chosen
      .filter((c) => c.room > 0 && countOf(c) === 0 && opened(c) > 0)
      .toSorted(
        (a, b) =>
          opened(b) - opened(a) ||
          b.existing - a.existing ||
          b.room - a.room ||
          byName(a.name, b.name),
      );
    const [giver] = chosen
      .filter((c) => countOf(c) > 0 && bounds.every((b) => inGroup(c, b.field) > 1))
      .toSorted(
        (a, b) =>
          countOf(b) - b.existing - (countOf(a) - a.existing) ||
          countOf(b) - countOf(a) ||
          byName(a.name, b.name),
      );
    if (taker === undefined || giver === undefined) break;
    counts.set(giver.name, countOf(giver) - 1);
    counts.set(taker.name, 1);
  }
  return counts;
}

/** Where those without room wait: as if there were room for all of them. */
function waitingOf(
  chosen: readonly Counted[],
  counts: ReadonlyMap<string, number>,
  order: Order & { readonly unplaced: number },
): ReadonlyMap<string, number> {
  const { preference, replicas, unplaced } = order;
  if (unplaced <= 0 || chosen.length === 0) return new Map();
  const countOf = (c: Counted): number => counts.get(c.name) ?? 0;
  const waiting = (c: Counted, of: number): readonly [string, number] => [c.name, of - countOf(c)];
  if (preference === "Duplicated") return positive(chosen.map((c) => waiting(c, replicas)));
  if (preference === "Aggregated") {
    const [first] = chosen.toSorted((a, b) => b.room - a.room || byName(a.name, b.name));
    return new Map(first === undefined ? [] : [[first.name, unplaced]]);
  }
  const isWeightless = chosen.every((c) => c.weight === 0);
  const full = shareOut(
    chosen.map((c) => ({
      name: c.name,
      weight: isWeightless ? 1 : c.weight,
      lower: countOf(c),
      upper: countOf(c) + unplaced,
      existing: c.existing,
    })),
    replicas,
  );
  return positive(chosen.map((c) => waiting(c, full.get(c.name) ?? 0)));
}

function positive(counts: readonly (readonly [string, number])[]): ReadonlyMap<string, number> {
  return new Map(counts.filter(([, count]) => count > 0));
}

function reasonOf(
  c: Counted,
  counts: ReadonlyMap<string, number>,
  { selection, preference }: { readonly selection: Selection; readonly preference: Preference },
): string {
  const out = selection.reasons.get(c.name);
  if (out !== undefined) return out;
  if (preference === "Static" && c.weight === 0) return "staticWeightList gives it no weight";
  const count = counts.get(c.name) ?? 0;
  const kept = Math.min(count, c.existing);
  const change =
    count > c.existing
      ? `${count - c.existing} more`
      : count < c.existing
        ? `${c.existing - count} fewer`
        : "as it is";
  const share = preference === "Static" || preference === "Dynamic" ? `, weight ${c.weight}` : "";
  return `${preference}${share}: ${kept} stay, ${change}; room for ${c.room}`;
}

function problemsOf(
  { chosen, bounds, problems }: Selection,
  counts: ReadonlyMap<string, number>,
  replicas: number,
): readonly string[] {
  if (chosen.length === 0) return [...problems, "no candidate may take replicas"];
  const unmet = bounds.flatMap(({ field, minGroups }) => {
    const used = new Set(
      chosen.filter((c) => (counts.get(c.name) ?? 0) > 0).map((c) => groupOf(c, field)),
    ).size;
    if (used >= minGroups || problems.length > 0) return [];
    return [
      replicas < minGroups
        ? `minGroups asks for ${minGroups} of ${field}, there are ${replicas} replicas`
        : `minGroups asks for ${minGroups} of ${field}, only ${used} have room`,
    ];
  });
  return [...problems, ...unmet];
}

/** A count that may decide: whole, finite, not negative, within DIVISION_REPLICAS_MAX. */
function whole(value: number): number {
  return Math.min(Math.floor(amount(value)), DIVISION_REPLICAS_MAX);
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
