import { solveLinearProgram } from "@flotilla/shared/platform/linear-program";
import { Engine } from "@flotilla/shared/scheduling/engine/engine";
import { OpportunityScore } from "@flotilla/shared/scheduling/engine/opportunity-score";
import { type GpuValues, gpuValues } from "@flotilla/shared/scheduling/gpu/values";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { FgdScore, type TypicalPod, typicalPods } from "./fgd.ts";
import { type Fleet, mixOf } from "./fleet.ts";
import type { Placer } from "./replay.ts";
import { tablePlacer } from "./table-placer.ts";
import type { TracePod } from "./trace.ts";
import { BestFitScore, RandomPlacer } from "./yardsticks.ts";

/** What can be replayed: the product's scheduler, and the published policies as yardsticks. */
export const POLICIES = ["flotilla", "fgd", "bestfit", "random"] as const;
export type Policy = (typeof POLICIES)[number];

/** What the product's scheduler scores by: slot and strand alone, or, through the fleet table, the article's five parts. */
export const PROFILES = ["gpu", "article"] as const;
export type Profile = (typeof PROFILES)[number];

/** Name of each policy in the published curves. */
export const PUBLISHED_NAMES: Readonly<Record<Policy, string | undefined>> = {
  flotilla: undefined,
  fgd: "06-FGD",
  bestfit: "05-BestFit",
  random: "01-Random",
};

/** What all replays of one pod list share. Both the product and FGD know how often each kind of pod comes, and no more. */
export interface PodKnowledge {
  readonly pods: readonly TracePod[];
  readonly values: GpuValues;
  readonly typical: readonly TypicalPod[];
}

/** Counts the pods. */
export function knowledgeOf(pods: readonly TracePod[]): PodKnowledge {
  return { pods, values: gpuValues(mixOf(pods), solveLinearProgram), typical: typicalPods(pods) };
}

/** The policy on a fresh fleet. */
export function placerOf(
  policy: Policy,
  profile: Profile,
  knowledge: PodKnowledge,
  fleet: Fleet,
): Placer {
  const nodes = fleet.table;
  const { values, typical } = knowledge;
  switch (policy) {
    case "flotilla":
      return profile === "article"
        ? tablePlacer(fleet, knowledge)
        : new Engine({}, { nodes, score: new OpportunityScore({ values }, { nodes }) });
    case "fgd": {
      const score = new FgdScore({ typical, models: fleet.models }, { nodes });
      return new Engine({ mode: "tree" }, { nodes, score });
    }
    case "bestfit":
      return new Engine({ mode: "tree" }, { nodes, score: new BestFitScore({ nodes }) });
    case "random":
      return new RandomPlacer({ nodes, random: new SeededRandom(DRAW_SEED) });
  }
}

const DRAW_SEED = 42;
