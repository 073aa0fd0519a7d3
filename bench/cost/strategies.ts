import { decide } from "@flotilla/shared/scheduling/decide";
import {
  allocatable,
  free,
  type NodeFacts,
  type PlacementRequest,
  type Siblings,
  type Snapshot,
} from "@flotilla/shared/scheduling/facts";
import { firstRejection } from "@flotilla/shared/scheduling/filter";
import { weightsOf } from "@flotilla/shared/scheduling/weights";

/** Where an instance goes; undefined: nowhere. */
export type Choose = (
  request: PlacementRequest,
  snapshot: Snapshot,
  siblings: Siblings,
) => string | undefined;

/** The article's SchedulingProfile: cost at .3. */
const ARTICLE_PROFILE = { costAware: { weight: 0.3 } };

/** The profile without its prices: what it costs not to know them. */
const BLIND = "price-blind";

/** All by the same filters, promised latencies among them. The first five are the product's own decision, with other weights. */
export const STRATEGIES = {
  [BLIND]: product({ costAware: { enabled: false } }),
  article: product({}),
  "cost .3": product(ARTICLE_PROFILE),
  "cost 1": product({ costAware: { weight: 1 } }),
  "cost alone": product({
    scoreWeights: { resource: 0, performance: 0, compliance: 0, topology: 0 },
  }),
  spread: byShares((used) => -used),
  "best fit": byShares((used) => used),
} as const satisfies Readonly<Record<string, Choose>>;

export type StrategyName = keyof typeof STRATEGIES;

// Object.keys of a literal has exactly the literal's keys.
export const STRATEGY_NAMES = Object.keys(STRATEGIES) as readonly StrategyName[];

/** What costs are compared with. */
export const PRICE_BLIND: StrategyName = BLIND;

function product(profile: Parameters<typeof weightsOf>[0]): Choose {
  const weights = weightsOf(profile);
  return (request, snapshot, siblings) =>
    decide(request, snapshot, weights, { adjustment: { siblings } }).node;
}

/** As Kubernetes' LeastAllocated and MostAllocated: the mean used share of what is asked for, of equal ones the first by name. */
function byShares(score: (usedShare: number) => number): Choose {
  return (request, snapshot) => {
    let best: { readonly name: string; readonly score: number } | undefined;
    for (const node of snapshot.values()) {
      if (firstRejection(request, node) !== undefined) continue;
      const value = score(usedShare(node, request));
      if (best === undefined || value > best.score) best = { name: node.name, score: value };
    }
    return best?.name;
  };
}

function usedShare(node: NodeFacts, { amounts }: PlacementRequest): number {
  const [all, left] = [allocatable(node), free(node)];
  const shares = (["milliCpu", "memoryBytes", "gpuCount"] as const)
    .filter((name) => amounts[name] > 0)
    .map((name) => 1 - (left[name] - amounts[name]) / all[name]);
  return shares.reduce((a, b) => a + b, 0) / shares.length;
}
