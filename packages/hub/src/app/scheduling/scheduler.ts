import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Adjustment } from "@flotilla/shared/scheduling/adjustment";
import { decide } from "@flotilla/shared/scheduling/decide";
import {
  type RoomOptions,
  roomBySite,
  type SiteRoom,
} from "@flotilla/shared/scheduling/division/room";
import type { Decision, PlacementRequest, Siblings, Use } from "@flotilla/shared/scheduling/facts";
import { firstRejection } from "@flotilla/shared/scheduling/filter";
import { deviceShares } from "@flotilla/shared/scheduling/gpu/shares";
import { isResolved } from "../../domain/application/component.ts";
import type { Plan, Want } from "../../domain/application/plan.ts";
import type { ResourceStore } from "../resources/ports.ts";
import { AffinityBook } from "./affinity-book.ts";
import { FactsTable } from "./facts-table.ts";
import { FleetMirror } from "./fleet-mirror.ts";

/** Decisions by Assignment id (`namespace/name`). */
export type Decisions = ReadonlyMap<string, Decision>;

/**
 * Gives room away. It alone does, one decision after the other, so that no node is ever promised more than it has; what is
 * decided holds its room at once, and `mirror.restore` gives it back when the commit fails.
 */
export class Scheduler {
  readonly mirror: FleetMirror;
  readonly #store: ResourceStore;
  readonly #table = new FactsTable();

  constructor(deps: { readonly store: ResourceStore }) {
    this.#store = deps.store;
    this.mirror = new FleetMirror({ store: deps.store, table: this.#table });
  }

  /** Room on each site for more of a request, beside all that is assigned and decided. */
  roomsOf(request: PlacementRequest, options: RoomOptions): ReadonlyMap<string, SiteRoom> {
    return roomBySite(this.#table.snapshot.values(), request, options);
  }

  /** Decides everything that the plans want, in this order. */
  decide(plans: readonly Plan[]): Decisions {
    const decisions = new Map<string, Decision>();
    const wants = plans.some((plan) => plan.wants.length > 0);
    const book = wants ? this.#openBook() : undefined;
    for (const plan of plans) {
      const siblings = new SiblingCounts(plan);
      for (const want of plan.wants) {
        const id = idOfWant(plan, want);
        const { name } = want.target.component;
        siblings.count(name, nodeOf(want), -1);
        book?.leave(plan, name, nodeOf(want));
        const decision = this.#decideOne(plan, want, {
          siblings: siblings.of(name),
          ...book?.adjustmentOf(plan, name),
        });
        siblings.count(name, decision.node, 1);
        book?.enter(plan, name, decision.node);
        decisions.set(id, decision);
      }
    }
    return decisions;
  }

  /** How one instance of a planned Application would be decided now, its own room counted as free. Changes nothing. */
  reconsider(plan: Plan, { metadata, spec }: ObjectOf<"Assignment">): Decision {
    const component = plan.outcomes.find((o) => o.component.name === spec.component)?.component;
    if (component === undefined || !isResolved(component)) return { candidates: [] };
    const id = `${metadata.namespace ?? ""}/${metadata.name}`;
    const siblings = new SiblingCounts(plan);
    siblings.count(spec.component, spec.node, -1);
    const book = this.#openBook();
    book?.leave(plan, spec.component, spec.node);
    this.#table.unassign(id);
    try {
      const { weights } = plan.input;
      return decide(component.request, this.#table.snapshot, weights, {
        adjustment: {
          siblings: siblings.of(spec.component),
          ...book?.adjustmentOf(plan, spec.component),
        },
      });
    } finally {
      this.mirror.restore(id);
    }
  }

  #openBook(): AffinityBook | undefined {
    return AffinityBook.open({ store: this.#store, mirror: this.mirror });
  }

  #decideOne(plan: Plan, want: Want, adjustment: Adjustment): Decision {
    const id = idOfWant(plan, want);
    const table = this.#table;
    const request = requestOf(want);
    const use: Use = request;
    const staying = (): Decision | undefined => {
      const here = table.snapshot.get(nodeOf(want) ?? "");
      if (here === undefined || firstRejection(request, here, ROOM_FILTERS) !== undefined)
        return undefined;
      const held = want.before?.spec.devices ?? [];
      const shares = deviceShares(here, request, { held });
      if (!shares.ok) return undefined;
      const given = shares.devices === undefined ? {} : { devices: shares.devices };
      table.assign(id, here.name, { ...use, ...given });
      return { node: here.name, candidates: [], ...given };
    };
    table.unassign(id);
    const stays = want.kind === "refit" ? staying() : undefined;
    if (stays !== undefined) return stays;
    const decision = decide(request, table.snapshot, plan.input.weights, { adjustment });
    const { node, devices } = decision;
    if (node !== undefined) table.assign(id, node, { ...use, ...(devices && { devices }) });
    else if (want.kind === "move") return staying() ?? decision;
    return decision;
  }
}

/** What stands in the way of another spec on the same node. */
const ROOM_FILTERS = ["GpuDevices", "Resources", "Ports"] as const;

/** What the want asks for, on its site where the division names one. */
function requestOf({ target: { component, site } }: Want): PlacementRequest {
  const { request } = component;
  if (site === undefined) return request;
  const pinned = { siteAffinity: { siteNames: [site] } };
  return { ...request, placements: [...request.placements, pinned] };
}

function nodeOf(want: Want): string | undefined {
  return want.before?.spec.node;
}

/** Id of the Assignment that a want is for. */
export function idOfWant({ input }: Plan, { name }: Want): string {
  return `${input.application.metadata.namespace ?? ""}/${name}`;
}

/** Where the instances of each component are, as the decisions of one plan go on. */
class SiblingCounts {
  readonly #plan: Plan;
  readonly #byComponent = new Map<
    string,
    { readonly byNode: Map<string, number>; readonly bySite: Map<string, number> }
  >();

  constructor(plan: Plan) {
    this.#plan = plan;
    for (const { spec } of plan.draft.assignments) this.count(spec.component, spec.node, 1);
  }

  of(component: string): Siblings {
    return this.#countsOf(component);
  }

  /** One more, or one less, on this node; undefined: on none. */
  count(component: string, node: string | undefined, step: 1 | -1): void {
    const facts = node === undefined ? undefined : this.#plan.input.factsOf(node);
    if (facts === undefined) return;
    const { byNode, bySite } = this.#countsOf(component);
    add(byNode, facts.name, step);
    add(bySite, facts.site.name, step);
  }

  #countsOf(component: string) {
    const known = this.#byComponent.get(component);
    if (known !== undefined) return known;
    const counts = { byNode: new Map<string, number>(), bySite: new Map<string, number>() };
    this.#byComponent.set(component, counts);
    return counts;
  }
}

function add(counts: Map<string, number>, key: string, step: number): void {
  const count = (counts.get(key) ?? 0) + step;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
