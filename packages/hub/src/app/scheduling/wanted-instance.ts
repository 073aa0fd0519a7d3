import type { PlacementRequest, Weights } from "@flotilla/shared/scheduling/facts";
import type { Plan, Want } from "../../domain/application/plan.ts";

/** One want of a plan as the scheduler handles it. */
export interface WantedInstance {
  /** `namespace/name` of its Assignment. */
  readonly id: string;
  readonly plan: Plan;
  readonly want: Want;
  readonly component: string;
  readonly request: PlacementRequest;
  readonly weights: Weights;
}

/** Id of the Assignment that a want is for. */
export function idOfWant({ input }: Plan, { name }: Want): string {
  return `${input.application.metadata.namespace ?? ""}/${name}`;
}

/** The wants of a plan. Equal requests are one object, so that they are one shape to the engine. */
export function wantedInstances(plan: Plan): readonly WantedInstance[] {
  // By what is asked, not by component: instances of one may be asked for as they were before.
  const onSite = new Map<PlacementRequest, Map<string, PlacementRequest>>();
  return plan.wants.map((want) => {
    const { component, site } = want.target;
    const known = onSite.get(component.request) ?? new Map<string, PlacementRequest>();
    onSite.set(component.request, known);
    const request = known.get(site ?? "") ?? requestOn(component.request, site);
    known.set(site ?? "", request);
    return {
      id: idOfWant(plan, want),
      plan,
      want,
      component: component.name,
      request,
      weights: plan.input.weights,
    };
  });
}

/** What is asked for, on its site where the division names one. */
function requestOn(request: PlacementRequest, site: string | undefined): PlacementRequest {
  if (site === undefined) return request;
  const pinned = { siteAffinity: { siteNames: [site] } };
  return { ...request, placements: [...request.placements, pinned] };
}
