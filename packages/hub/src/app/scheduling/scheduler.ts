import { decide } from "@flotilla/shared/scheduling/decide";
import type { Decision, Siblings, Use } from "@flotilla/shared/scheduling/facts";
import { firstRejection } from "@flotilla/shared/scheduling/filter";
import type { Plan, Want } from "../../domain/application/plan.ts";
import type { ResourceStore } from "../resources/ports.ts";
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
  readonly #table = new FactsTable();

  constructor(deps: { readonly store: ResourceStore }) {
    this.mirror = new FleetMirror({ store: deps.store, table: this.#table });
  }

  /** Decides everything that the plans want, in this order. */
  decide(plans: readonly Plan[]): Decisions {
    const decisions = new Map<string, Decision>();
    for (const plan of plans) {
      const siblings = new SiblingCounts(plan);
      for (const want of plan.wants) {
        const id = idOfWant(plan, want);
        siblings.leave(want);
        const decision = this.#decideOne(plan, want, siblings.of(want));
        siblings.enter(want, decision.node);
        decisions.set(id, decision);
      }
    }
    return decisions;
  }

  #decideOne(plan: Plan, want: Want, siblings: Siblings): Decision {
    const id = idOfWant(plan, want);
    const table = this.#table;
    const { request } = want.target.component;
    const use: Use = request;
    const staying = (): Decision | undefined => {
      const here = table.snapshot.get(nodeOf(want) ?? "");
      if (here === undefined || firstRejection(request, here, ["Resources", "Ports"]) !== undefined)
        return undefined;
      table.assign(id, here.name, use);
      return { node: here.name, candidates: [] };
    };
    table.unassign(id);
    const stays = want.kind === "refit" ? staying() : undefined;
    if (stays !== undefined) return stays;
    const decision = decide(request, table.snapshot, plan.input.weights, siblings);
    if (decision.node !== undefined) table.assign(id, decision.node, use);
    else if (want.kind === "move") return staying() ?? decision;
    return decision;
  }
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
    for (const { spec } of plan.draft.assignments) this.#count(spec.component, spec.node, 1);
  }

  of(want: Want): Siblings {
    return this.#countsOf(want.target.component.name);
  }

  leave(want: Want): void {
    this.#count(want.target.component.name, nodeOf(want), -1);
  }

  enter(want: Want, node: string | undefined): void {
    this.#count(want.target.component.name, node, 1);
  }

  #count(component: string, node: string | undefined, step: 1 | -1): void {
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
