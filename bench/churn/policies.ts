import type { NodeScore } from "@flotilla/shared/scheduling/engine/node-score";
import { OpportunityScore } from "@flotilla/shared/scheduling/engine/opportunity-score";
import { FgdScore } from "../openb/fgd.ts";
import type { Fleet } from "../openb/fleet.ts";
import type { PodKnowledge } from "../openb/policies.ts";
import { BestFitScore } from "../openb/yardsticks.ts";

/** What decides where an arrival goes; all can be followed by the same planner of moves. */
export const CHURN_POLICIES = ["flotilla", "fgd", "bestfit"] as const;
export type ChurnPolicy = (typeof CHURN_POLICIES)[number];

/** The policy's score on a fresh fleet. */
export function scoreOf(
  policy: ChurnPolicy,
  { values, typical }: PodKnowledge,
  fleet: Fleet,
): NodeScore {
  const nodes = fleet.table;
  switch (policy) {
    case "flotilla":
      return new OpportunityScore({ values }, { nodes });
    case "fgd":
      return new FgdScore({ typical, models: fleet.models }, { nodes });
    case "bestfit":
      return new BestFitScore({ nodes });
  }
}
