import { solveLinearProgram } from "@flotilla/shared/platform/linear-program";
import { ArticleScore, type NodeParts } from "@flotilla/shared/scheduling/engine/article-score";
import { Engine } from "@flotilla/shared/scheduling/engine/engine";
import { OpportunityScore } from "@flotilla/shared/scheduling/engine/opportunity-score";
import { type GpuValues, gpuValues } from "@flotilla/shared/scheduling/gpu/values";
import { ARTICLE_PARTS } from "@flotilla/shared/scheduling/weights";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { FgdScore, type TypicalPod, typicalPods } from "./fgd.ts";
import { type Fleet, mixOf } from "./fleet.ts";
import type { Placer } from "./replay.ts";
import type { TracePod } from "./trace.ts";
import { BestFitScore, RandomPlacer } from "./yardsticks.ts";

/** What can be replayed: the product's scheduler, and the published policies as yardsticks. */
export const POLICIES = ["flotilla", "fgd", "bestfit", "random"] as const;
export type Policy = (typeof POLICIES)[number];

/** What the product's scheduler scores by: slot and strand alone, or the article's five parts. */
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
  readonly values: GpuValues;
  readonly typical: readonly TypicalPod[];
}

/** Counts the pods. */
export function knowledgeOf(pods: readonly TracePod[]): PodKnowledge {
  return { values: gpuValues(mixOf(pods), solveLinearProgram), typical: typicalPods(pods) };
}

/** The policy on a fresh fleet. */
export function placerOf(
  policy: Policy,
  profile: Profile,
  { values, typical }: PodKnowledge,
  fleet: Fleet,
): Placer {
  const nodes = fleet.table;
  switch (policy) {
    case "flotilla": {
      const opportunity = new OpportunityScore({ values }, { nodes });
      if (profile === "gpu") return new Engine({}, { nodes, score: opportunity });
      const deps = { nodes, opportunity, parts: drawnParts(fleet) };
      return new Engine({}, { nodes, score: new ArticleScore({ weights: ARTICLE_PARTS }, deps) });
    }
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

/**
 * The trace knows no prices, latencies or sites. Under the article's weights each node gets its performance, cost,
 * compliance and topology drawn uniformly, by its name's order: seven tenths of the score then know nothing of GPUs.
 */
function drawnParts(fleet: Fleet): NodeParts {
  const random = new SeededRandom(DRAW_SEED);
  const order = [...fleet.nodes.keys()].toSorted((a, b) =>
    nameOf(fleet, a) < nameOf(fleet, b) ? -1 : 1,
  );
  const drawn = (): Float64Array => {
    const column = new Float64Array(fleet.nodes.length);
    for (const node of order) column[node] = random.unit("part");
    return column;
  };
  return { performance: drawn(), cost: drawn(), compliance: drawn(), topology: drawn() };
}

function nameOf(fleet: Fleet, node: number): string {
  return fleet.nodes[node]?.name ?? "";
}
