import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Explanation, PlacementPlan } from "@flotilla/shared/model/what-if";
import { completePlan } from "../../domain/application/complete-plan.ts";
import { type Plan, planApplication } from "../../domain/application/plan.ts";
import { notFound } from "../../domain/resources/api-error.ts";
import { subjectOf } from "../../domain/resources/kind-lookup.ts";
import { explanationOf, placementPlanOf } from "../../domain/scheduling/what-if.ts";
import { planInputOf } from "../application/plan-input.ts";
import type { Sha256 } from "../desired/ports.ts";
import type { ResourceStore } from "../resources/ports.ts";
import type { PlacementApi } from "./ports.ts";
import type { Scheduler } from "./scheduler.ts";
import { idOfWant } from "./wanted-instance.ts";

/** Most instances of one component that a plan shows as new. */
export const PLANNED_MAX = 10_000;

/** Asks the scheduler and takes everything back: what is answered here is never committed. */
export class WhatIf implements PlacementApi {
  readonly #deps: WhatIfDeps;

  constructor(deps: WhatIfDeps) {
    this.#deps = deps;
  }

  explain(namespace: string, name: string): Explanation {
    const { store, scheduler } = this.#deps;
    const assignment = store.get("Assignment", namespace, name);
    if (assignment === undefined) throw notFound(subjectOf("Assignment", name));
    const application = store.get("Application", namespace, assignment.spec.application);
    if (application === undefined)
      throw notFound(subjectOf("Application", assignment.spec.application));
    scheduler.mirror.sync();
    const plan = this.#planOf(application);
    return explanationOf(assignment, scheduler.reconsider(plan, assignment), plan.input.weights);
  }

  plan(application: ObjectOf<"Application">): PlacementPlan {
    const { scheduler } = this.#deps;
    scheduler.mirror.sync();
    const plan = this.#planOf(application);
    try {
      const batch = scheduler.tryOut(plan, this.#deps.clock.wallMs());
      const completed = completePlan(plan, (want) => batch.outcomes.get(idOfWant(plan, want)));
      return placementPlanOf(plan, completed, batch.evictions);
    } finally {
      for (const want of plan.wants) scheduler.mirror.restore(idOfWant(plan, want));
    }
  }

  #planOf(application: ObjectOf<"Application">): Plan {
    const { sha256, clock, scheduler } = this.#deps;
    return planApplication({
      ...planInputOf(application, { ...this.#deps, mirror: scheduler.mirror }),
      sha256,
      nowIso: isoTime(clock.wallMs()),
      newUid: () => "",
      changesMax: PLANNED_MAX,
    });
  }
}

interface WhatIfDeps {
  readonly store: ResourceStore;
  readonly scheduler: Scheduler;
  readonly sha256: Sha256;
  readonly clock: Clock;
}
