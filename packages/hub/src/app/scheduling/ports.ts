import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Explanation, PlacementPlan } from "@flotilla/shared/model/what-if";

/** Questions about placement that change nothing. Failures are ApiError. */
export interface PlacementApi {
  /** Why an instance is where it is, or waits. */
  explain(namespace: string, assignment: string): Explanation;
  /** What would become of the instances if this Application, complete as it would be stored, were applied now. */
  plan(application: ObjectOf<"Application">): PlacementPlan;
}
