import type { Siblings } from "@flotilla/shared/scheduling/facts";
import type { Plan } from "../../domain/application/plan.ts";

interface Counts {
  readonly byNode: Map<string, number>;
  readonly bySite: Map<string, number>;
}

/** Where the instances of each component of one Application are, as decisions go on. */
export class SiblingCounts {
  readonly #factsOf: Plan["input"]["factsOf"];
  readonly #byComponent = new Map<string, Counts>();

  constructor({ draft, input }: Plan) {
    this.#factsOf = input.factsOf;
    for (const { spec } of draft.assignments) this.count(spec.component, spec.node, 1);
  }

  of(component: string): Siblings {
    return this.#countsOf(component);
  }

  /** One more, or one less, on this node; undefined: on none. */
  count(component: string, node: string | undefined, step: 1 | -1): void {
    const facts = node === undefined ? undefined : this.#factsOf(node);
    if (facts === undefined) return;
    const { byNode, bySite } = this.#countsOf(component);
    add(byNode, facts.name, step);
    add(bySite, facts.site.name, step);
  }

  #countsOf(component: string): Counts {
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
