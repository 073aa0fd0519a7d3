import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Placement } from "@flotilla/shared/model/resources/placement";
import type { Adjustment } from "@flotilla/shared/scheduling/adjustment";
import { AffinityIndex, type Workload } from "@flotilla/shared/scheduling/affinity/affinity-index";
import { effectivePlacement } from "@flotilla/shared/scheduling/division/effective-placement";
import type { Plan } from "../../domain/application/plan.ts";
import { policyOf } from "../../domain/application/policy.ts";
import type { ResourceStore } from "../resources/ports.ts";
import type { FleetMirror } from "./fleet-mirror.ts";

type Application = ObjectOf<"Application">;

/** A component's instances as affinities see them, with the key under which they are counted. */
interface Known {
  readonly key: string;
  readonly workload: Workload;
}

/**
 * What runs where, for the affinities of one round of decisions. Undefined from `open` where no object says any: such
 * fleets pay a look at their Applications, others one at all assignments, once a round.
 */
export class AffinityBook {
  readonly #store: ResourceStore;
  readonly #mirror: FleetMirror;
  readonly #index: AffinityIndex;
  readonly #known = new Map<string, Known | undefined>();

  private constructor(deps: BookDeps) {
    this.#store = deps.store;
    this.#mirror = deps.mirror;
    const { sites } = deps.mirror;
    this.#index = new AffinityIndex({
      sites: [...sites.keys()],
      regionOf: (site) => sites.get(site)?.spec.region,
    });
    for (const { metadata, spec } of deps.mirror.assignments.values()) {
      const known = this.#knownOf(metadata.namespace ?? "", spec);
      if (known !== undefined && spec.node !== undefined) this.#enter(known, spec.node);
    }
  }

  static open(deps: BookDeps): AffinityBook | undefined {
    return usesAffinities(deps.store) ? new AffinityBook(deps) : undefined;
  }

  /** Where an instance of the component may, must and would rather go. */
  adjustmentOf(
    plan: Plan,
    component: string,
  ): Pick<Adjustment, "required" | "barred" | "preferred"> {
    const known = this.#ofPlan(plan, component);
    return known === undefined ? {} : this.#index.adjustmentFor(known.workload);
  }

  /** One of its instances leaves this node. */
  leave(plan: Plan, component: string, node: string | undefined): void {
    const known = this.#ofPlan(plan, component);
    if (known !== undefined && node !== undefined) this.#index.remove(known.key, node);
  }

  /** One of its instances was given to this node. */
  enter(plan: Plan, component: string, node: string | undefined): void {
    const known = this.#ofPlan(plan, component);
    if (known !== undefined && node !== undefined) this.#enter(known, node);
  }

  #enter({ key, workload }: Known, node: string): void {
    const site = this.#mirror.factsOf(node)?.site.name;
    if (site !== undefined) this.#index.add(key, workload, { node, site });
  }

  #ofPlan({ input }: Plan, component: string): Known | undefined {
    const { namespace = "", name } = input.application.metadata;
    return this.#knownOf(namespace, { application: name, component });
  }

  #knownOf(
    namespace: string,
    of: { readonly application: string; readonly component: string },
  ): Known | undefined {
    const key = `${namespace}/${of.application}/${of.component}`;
    if (this.#known.has(key)) return this.#known.get(key);
    const application = this.#store.get("Application", namespace, of.application);
    const component = application?.spec.components.find((c) => c.name === of.component);
    const known =
      application === undefined || component === undefined
        ? undefined
        : { key, workload: this.#workloadOf(application, component) };
    this.#known.set(key, known);
    return known;
  }

  #workloadOf(
    application: Application,
    component: Application["spec"]["components"][number],
  ): Workload {
    const { namespace = "", name } = application.metadata;
    const { fleet } = application.spec;
    const policy = policyOf(application, this.#store.list("PropagationPolicy", namespace));
    const fleetPlacement =
      fleet && this.#store.get("Fleet", fleet.namespace ?? namespace, fleet.name)?.spec.placement;
    const { affinities, antiAffinities } = effectivePlacement(
      policy?.spec,
      fleetPlacement,
      component,
    );
    const labels = {
      ...component.template.spec.template.metadata?.labels,
      "apps.kurator.dev/application": name,
      "apps.kurator.dev/component": component.name,
    };
    const identity = { namespace, application: name, component: component.name, labels };
    return { ...identity, affinities, antiAffinities };
  }
}

function usesAffinities(store: ResourceStore): boolean {
  const says = (placement: Placement | undefined): boolean =>
    placement?.affinity !== undefined || placement?.antiAffinity !== undefined;
  return (
    store.list("Application").some((a) => a.spec.components.some((c) => says(c.placement))) ||
    store.list("PropagationPolicy").some((p) => says(p.spec.placement)) ||
    store.list("Fleet").some((f) => says(f.spec.placement))
  );
}

interface BookDeps {
  readonly store: ResourceStore;
  readonly mirror: FleetMirror;
}
