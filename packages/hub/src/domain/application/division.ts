import { isoTime, parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { DivisionStatus } from "@flotilla/shared/model/resources/application";
import { matchesSelector } from "@flotilla/shared/model/selectors";
import { divide } from "@flotilla/shared/scheduling/division/divide";
import { rebalance } from "@flotilla/shared/scheduling/division/rebalance";
import type { Apart, RoomOptions, SiteRoom } from "@flotilla/shared/scheduling/division/room";
import { chooseActive } from "@flotilla/shared/scheduling/division/standby";
import type {
  Division,
  DivisionCandidate,
  DivisionInput,
} from "@flotilla/shared/scheduling/division/types";
import type { PlacementRequest } from "@flotilla/shared/scheduling/facts";
import type { ResolvedComponent } from "./component.ts";
import { type SharedInstance, type Sharing, shareInstances } from "./share-instances.ts";

/** Most moves that a status shows. */
export const REBALANCE_MOVES_SHOWN_MAX = 20;

/** Room by site for a request. */
export type RoomsOf = (
  request: PlacementRequest,
  options: RoomOptions,
) => ReadonlyMap<string, SiteRoom>;

export interface PlacedInstance extends SharedInstance {
  readonly node?: string;
}

export interface DivideComponentInput {
  readonly component: ResolvedComponent;
  readonly application: string;
  /** Its instances that have not ended. */
  readonly instances: readonly PlacedInstance[];
  /** How many there are to be; Duplicated: on each site. */
  readonly replicas: number;
  readonly before: DivisionStatus | undefined;
  /** Value of the rebalance annotation. */
  readonly rebalanceAsked: string | undefined;
  readonly roomsOf: RoomsOf;
  readonly nowMs: number;
}

export interface DividedComponent {
  readonly sharing: Sharing;
  readonly status: DivisionStatus;
  /** Instances in all. */
  readonly count: number;
}

/** Which instance of a component belongs to which site; undefined when nothing divides it: each goes where its score is best. */
export function divideComponent(input: DivideComponentInput): DividedComponent | undefined {
  const { rules, standby } = input.component.effective;
  if (rules === undefined && standby === undefined) return undefined;
  const rooms = roomsFor(input);
  const candidates = candidatesOf(input, rooms);
  const asked = input.rebalanceAsked;
  const isDemanded = asked !== undefined && asked !== input.before?.rebalanced;
  if (rules === undefined) return onStandby(input, { candidates, rooms, isDemanded });
  const division = divide({ candidates, replicas: input.replicas, rules });
  const settled: DivisionInput = {
    candidates: candidates.map((c) => settledCandidate(c, division)),
    replicas: input.replicas,
    rules,
  };
  const { moves } = rebalance(settled);
  const counts = totalsOf(division);
  if (isDemanded)
    for (const { from, to } of moves) {
      counts.set(from, (counts.get(from) ?? 0) - 1);
      counts.set(to, (counts.get(to) ?? 0) + 1);
    }
  return shared(
    input,
    { counts, division },
    {
      moves: moves
        .slice(0, REBALANCE_MOVES_SHOWN_MAX)
        .map(({ from, to, gain, price }) => ({ from, to, gain, price })),
      ...rebalancedOf(input, isDemanded && moves.length > 0),
    },
  );
}

/** The whole of it on the active candidate. */
function onStandby(
  input: DivideComponentInput,
  view: {
    readonly candidates: readonly DivisionCandidate[];
    readonly rooms: ReadonlyMap<string, SiteRoom>;
    readonly isDemanded: boolean;
  },
): DividedComponent {
  const { order = [], failbackAfterMs } = input.component.effective.standby ?? {};
  const rank = (name: string): number =>
    order.includes(name) ? order.indexOf(name) : order.length;
  const names = [...view.rooms.keys()].toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const { before } = input;
  const sinceMs = before?.stableSince && parseIsoTimeMs(before.stableSince);
  const chosen = chooseActive({
    candidates: names.map((name) => ({ name, health: view.rooms.get(name)?.health ?? "lost" })),
    ...(before?.active === undefined ? {} : { active: before.active }),
    ...(typeof sinceMs === "number" ? { stableSinceMs: sinceMs } : {}),
    ...(failbackAfterMs === undefined ? {} : { failbackAfterMs }),
    isDemanded: view.isDemanded,
    nowMs: input.nowMs,
  });
  const division = divide({
    candidates: view.candidates.filter((c) => c.name === chosen.active),
    replicas: input.replicas,
    rules: { scheduling: { replicaDivisionPreference: "Aggregated" }, spreadConstraints: [] },
  });
  const back = names.find((name) => view.rooms.get(name)?.health === "healthy");
  const couldMove = back !== undefined && chosen.active !== undefined && back !== chosen.active;
  return shared(
    input,
    { counts: totalsOf(division), division, note: chosen.reason },
    {
      ...(chosen.active === undefined ? {} : { active: chosen.active }),
      ...(chosen.stableSinceMs === undefined ? {} : { stableSince: isoTime(chosen.stableSinceMs) }),
      moves:
        couldMove && rank(back) < rank(chosen.active)
          ? [{ from: chosen.active, to: back, gain: 1, price: 0 }]
          : [],
      ...rebalancedOf(input, false),
    },
  );
}

function shared(
  input: DivideComponentInput,
  result: {
    readonly counts: ReadonlyMap<string, number>;
    readonly division: Division;
    readonly note?: string;
  },
  rest: Pick<DivisionStatus, "moves" | "active" | "stableSince" | "rebalanced">,
): DividedComponent {
  const { counts, division, note } = result;
  const { trafficSplit } = input.component.effective;
  const total = [...counts.values()].reduce((a, b) => a + b, 0);
  const waiting = [...division.waitingBySite.values()].reduce((a, b) => a + b, 0);
  const anywhere = division.unplaced - waiting;
  const message = [
    ...(note === undefined ? [] : [note]),
    ...division.problems,
    ...(division.unplaced > 0 ? [`${division.unplaced} of ${total + anywhere} find no room`] : []),
  ].join("; ");
  const names = [...new Set([...counts.keys(), ...Object.keys(trafficSplit ?? {})])].toSorted();
  return {
    sharing: shareInstances(input.instances, counts, anywhere),
    count: total + anywhere,
    status: {
      component: input.component.name,
      sites: names
        .map((name) => ({
          name,
          replicas: counts.get(name) ?? 0,
          ...(trafficSplit === undefined ? {} : { trafficPercent: trafficSplit[name] ?? 0 }),
        }))
        .filter((s) => s.replicas > 0 || (s.trafficPercent ?? 0) > 0),
      unplaced: division.unplaced,
      ...(message === "" ? {} : { message }),
      ...rest,
    },
  };
}

/** What was carried out stays written; a new request is written once nothing of it is left to do. */
function rebalancedOf(
  { before, rebalanceAsked }: DivideComponentInput,
  isUnderWay: boolean,
): Pick<DivisionStatus, "rebalanced"> {
  const value = isUnderWay ? before?.rebalanced : (rebalanceAsked ?? before?.rebalanced);
  return value === undefined ? {} : { rebalanced: value };
}

function roomsFor(input: DivideComponentInput): ReadonlyMap<string, SiteRoom> {
  const { component, instances, replicas } = input;
  const present = new Set(instances.flatMap((i) => i.site ?? []));
  const level = apartLevel(component, input.application);
  const apart: Apart | undefined = level && {
    level,
    taken: new Set(instances.flatMap((i) => (level === "site" ? i.site : i.node) ?? [])),
  };
  return input.roomsOf(component.request, {
    limit: replicas,
    present,
    ...(apart === undefined ? {} : { apart }),
  });
}

/** Whether required anti-affinity keeps its instances from each other's sites, or nodes. */
function apartLevel(component: ResolvedComponent, application: string): Apart["level"] | undefined {
  const terms = component.effective.antiAffinities
    .flatMap((a) => a.required ?? [])
    .filter(
      (t) =>
        (t.application ?? application) === application &&
        (t.component ?? component.name) === component.name &&
        matchesSelector(t.labelSelector, component.labels),
    );
  if (terms.some((t) => t.topologyKey !== "node")) return "site";
  return terms.length > 0 ? "node" : undefined;
}

function candidatesOf(
  { instances }: DivideComponentInput,
  rooms: ReadonlyMap<string, SiteRoom>,
): readonly DivisionCandidate[] {
  const existing = Map.groupBy(instances, (i) => i.site);
  return [...rooms].map(([name, { labels, available }]) => ({
    name,
    kind: "site",
    labels,
    ...(labels["region"] === undefined ? {} : { region: labels["region"] }),
    ...(labels["provider"] === undefined ? {} : { provider: labels["provider"] }),
    available,
    existing: existing.get(name)?.length ?? 0,
  }));
}

function settledCandidate(candidate: DivisionCandidate, { bySite }: Division): DivisionCandidate {
  const existing = bySite.get(candidate.name) ?? 0;
  const available = candidate.available + candidate.existing - existing;
  return { ...candidate, existing, available };
}

function totalsOf({ bySite, waitingBySite }: Division): Map<string, number> {
  return new Map(
    [...bySite].map(([name, count]) => [name, count + (waitingBySite.get(name) ?? 0)]),
  );
}
