import type { ScoreParts } from "../model/resources/edge.ts";
import type { SchedulingProfileSpec } from "../model/resources/policy.ts";
import { amount, type PerformanceWeights, type ResourceWeights, type Weights } from "./facts.ts";

/** The article's weights of the five parts. */
export const ARTICLE_PARTS: ScoreParts = {
  resource: 0.3,
  performance: 0.25,
  cost: 0.2,
  compliance: 0.15,
  topology: 0.1,
};

/** The article's weights of the resources, from its SchedulingProfile. */
export const ARTICLE_RESOURCES: ResourceWeights = { cpu: 1, memory: 0.8, gpu: 5, storage: 0.5 };

/** Names that a profile may give to a resource. */
const RESOURCE_OF: Readonly<Record<string, keyof ResourceWeights>> = {
  cpu: "cpu",
  memory: "memory",
  gpu: "gpu",
  "nvidia.com/gpu": "gpu",
  storage: "storage",
  disk: "storage",
  "ephemeral-storage": "storage",
};

/**
 * The weights of a profile: its scoreWeights over the article's, then costAware and performanceAware (weight, or 0 when
 * they are switched off), brought to a sum of 1. A profile whose weights are all 0 counts as none.
 */
export function weightsOf(profile: SchedulingProfileSpec | undefined): Weights {
  const { scoreWeights = {}, costAware, performanceAware, resources = [] } = profile ?? {};
  const switched = (part: number, aware: Aware | undefined): number =>
    aware?.enabled === false ? 0 : amount(aware?.weight ?? part);
  const raw = { ...ARTICLE_PARTS, ...scoreWeights };
  const parts = normalised({
    ...raw,
    cost: switched(raw.cost, costAware),
    performance: switched(raw.performance, performanceAware),
  });
  const performance = performanceWeights(performanceAware?.metrics);
  return {
    parts,
    resources: resourceWeights(resources),
    ...(performance === undefined ? {} : { performance }),
  };
}

interface Aware {
  readonly enabled?: boolean;
  readonly weight?: number;
}

function resourceWeights(
  entries: readonly { readonly name: string; readonly weight: number }[],
): ResourceWeights {
  const said = entries.flatMap(({ name, weight }) => {
    const resource = RESOURCE_OF[name];
    return resource === undefined ? [] : [[resource, amount(weight)] as const];
  });
  return { ...ARTICLE_RESOURCES, ...Object.fromEntries(said) };
}

/** Metrics that a profile may name, and what each weighs. */
export const PERFORMANCE_METRICS: Readonly<Record<string, keyof PerformanceWeights>> = {
  "p95-latency": "latency",
  "network-bandwidth": "network",
  "disk-iops": "disk",
};

/** Undefined when no metric is named that is known and weighs something. */
function performanceWeights(
  metrics: readonly { readonly name: string; readonly weight: number }[] | undefined,
): PerformanceWeights | undefined {
  const weights = { latency: 0, network: 0, disk: 0 };
  for (const { name, weight } of metrics ?? []) {
    const metric = PERFORMANCE_METRICS[name];
    if (metric !== undefined) weights[metric] = amount(weight);
  }
  const sum = weights.latency + weights.network + weights.disk;
  return sum > 0 && Number.isFinite(sum) ? weights : undefined;
}

function normalised(parts: ScoreParts): ScoreParts {
  const values = [
    parts.resource,
    parts.performance,
    parts.cost,
    parts.compliance,
    parts.topology,
  ].map(amount);
  const sum = values.reduce((a, b) => a + b, 0);
  if (!(sum > 0) || !Number.isFinite(sum)) return ARTICLE_PARTS;
  const share = (part: number): number => Math.round((amount(part) / sum) * 1e6) / 1e6;
  return {
    resource: share(parts.resource),
    performance: share(parts.performance),
    cost: share(parts.cost),
    compliance: share(parts.compliance),
    topology: share(parts.topology),
  };
}
