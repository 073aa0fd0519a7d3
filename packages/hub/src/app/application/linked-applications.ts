import type { Plan } from "../../domain/application/plan.ts";
import { idOf } from "../scheduling/assignment-index.ts";
import type { Batch } from "../scheduling/scheduler.ts";
import { idOfWant } from "../scheduling/wanted-instance.ts";

/**
 * Applications (`namespace/name`) whose changes must be one commit, for some take room that others free: those that evictions
 * are made for and those that are evicted; and whoever is placed on a node that an instance of another leaves, or is fitted anew on.
 * Committed apart, the one that takes could be written and the one that frees refused.
 */
export function linkedApplications(
  plans: ReadonlyMap<string, Plan>,
  { evictions, outcomes }: Pick<Batch, "evictions" | "outcomes">,
): ReadonlySet<string> {
  const linked = new Set([...evictions.values()].map((e) => e.forApplicationId));
  const freeing = new Map<string, Set<string>>();
  const taking = new Map<string, Set<string>>();
  for (const [id, { input }] of plans)
    for (const assignment of input.assignments) {
      const name = idOf(assignment);
      const { node } = assignment.spec;
      if (evictions.has(name)) linked.add(id);
      if (node !== undefined && (evictions.has(name) || outcomes.has(name)))
        note(freeing, node, id);
    }
  for (const [id, plan] of plans)
    for (const want of plan.wants) {
      const node = outcomes.get(idOfWant(plan, want))?.node;
      if (node !== undefined) note(taking, node, id);
    }
  for (const [node, takers] of taking) {
    const givers = freeing.get(node) ?? new Set();
    const together = new Set([...givers, ...takers]);
    if (givers.size > 0 && together.size > 1) for (const id of together) linked.add(id);
  }
  return linked;
}

function note(book: Map<string, Set<string>>, node: string, id: string): void {
  const ids = book.get(node) ?? new Set();
  book.set(node, ids.add(id));
}
