import type { Adjustment } from "@flotilla/shared/scheduling/adjustment";
import type { Plan } from "../../domain/application/plan.ts";
import type { ResourceStore } from "../resources/ports.ts";
import { AffinityBook } from "./affinity-book.ts";
import type { FleetMirror } from "./fleet-mirror.ts";
import { SiblingCounts } from "./siblings.ts";

/** What runs where, as far as it matters to decisions of one batch: siblings of a component, and other workloads by affinity. */
export class Neighbours {
  readonly #affinities: AffinityBook | undefined;
  readonly #siblings = new Map<Plan, SiblingCounts>();

  constructor(deps: { readonly store: ResourceStore; readonly mirror: FleetMirror }) {
    this.#affinities = AffinityBook.open(deps);
  }

  /** What this makes of some sites and nodes for one more instance of the component. */
  adjustmentOf(plan: Plan, component: string): Adjustment {
    return {
      siblings: this.#siblingsOf(plan).of(component),
      ...this.#affinities?.adjustmentOf(plan, component),
    };
  }

  enter(plan: Plan, component: string, node: string | undefined): void {
    this.#siblingsOf(plan).count(component, node, 1);
    this.#affinities?.enter(plan, component, node);
  }

  leave(plan: Plan, component: string, node: string | undefined): void {
    this.#siblingsOf(plan).count(component, node, -1);
    this.#affinities?.leave(plan, component, node);
  }

  #siblingsOf(plan: Plan): SiblingCounts {
    const known = this.#siblings.get(plan);
    if (known !== undefined) return known;
    const counts = new SiblingCounts(plan);
    this.#siblings.set(plan, counts);
    return counts;
  }
}

/** The same for an instance that may go to this node alone; undefined: to any. */
export function boundTo(node: string | undefined, adjustment: Adjustment): Adjustment {
  if (node === undefined) return adjustment;
  const only = { sites: new Set<string>(), nodes: new Set([node]), reason: `asks for ${node}` };
  return { ...adjustment, required: [...(adjustment.required ?? []), only] };
}
