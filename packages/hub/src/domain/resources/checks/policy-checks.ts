import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Cause } from "../api-error.ts";
import { duplicates, forbiddenValue, invalidValue, requiredValue } from "../causes.ts";
import { autoscalingCauses } from "./autoscaling-checks.ts";
import { divisionCauses } from "./division-checks.ts";
import { placementCauses } from "./selector-checks.ts";

const TRAFFIC_PERCENT_SUM = 100;
const URL_PATTERN = /^(https?:\/\/[^\s/]+|file:\/\/\/\S)/;
const URL_WITH_USER = /^https?:\/\/[^/?#]*@/;

export function propagationPolicyCauses(policy: ObjectOf<"PropagationPolicy">): Cause[] {
  const { spec } = policy;
  const stages = spec.rollout?.stages ?? [];
  const both = spec.rollback !== undefined && spec.rollout?.rollback !== undefined;
  return [
    ...(spec.targetRef === undefined && (spec.resourceSelectors ?? []).length === 0
      ? [requiredValue("spec.targetRef", "name a targetRef, or at least one of resourceSelectors")]
      : []),
    ...placementCauses("spec.placement", spec.placement),
    ...divisionCauses("spec.placement", spec.placement),
    ...distributionCauses(spec),
    ...autoscalingCauses("spec.autoscaling", spec.autoscaling),
    ...trafficSplitCauses(spec),
    ...duplicates(
      stages,
      (s) => s.name,
      (index) => `spec.rollout.stages[${index}].name`,
    ),
    ...stages.flatMap((stage, index) => stageCauses(`spec.rollout.stages[${index}]`, stage)),
    ...(both && !jsonEqual(spec.rollback, spec.rollout?.rollback)
      ? [invalidValue("spec.rollback", spec.rollback, "differs from spec.rollout.rollback")]
      : []),
  ];
}

type PropagationSpec = ObjectOf<"PropagationPolicy">["spec"];
/** Fields of the two modes that do not go together, and weights that are said twice. */
function distributionCauses({ distribution, placement }: PropagationSpec): Cause[] {
  if (distribution === undefined) return [];
  const field = "spec.distribution";
  const { mode, trafficSplit, failback } = distribution;
  const isStandby = mode === "ActiveStandby";
  const weights = placement?.replicaScheduling?.weightPreference;
  return [
    ...(isStandby && trafficSplit !== undefined
      ? [
          forbiddenValue(
            `${field}.trafficSplit`,
            "one candidate has all traffic when `mode` is 'ActiveStandby'; remove one of them",
          ),
        ]
      : []),
    ...(!isStandby && failback !== undefined
      ? [
          forbiddenValue(
            `${field}.failback`,
            "may only be specified when `mode` is 'ActiveStandby'",
          ),
        ]
      : []),
    ...(trafficSplit !== undefined && weights !== undefined
      ? [
          forbiddenValue(
            `${field}.trafficSplit`,
            "spec.placement.replicaScheduling.weightPreference says weights already; remove one of them",
          ),
        ]
      : []),
  ];
}

type Stage = NonNullable<NonNullable<PropagationSpec["rollout"]>["stages"]>[number];

function trafficSplitCauses(spec: PropagationSpec): Cause[] {
  const split = spec.distribution?.trafficSplit;
  if (split === undefined) return [];
  const field = "spec.distribution.trafficSplit";
  const sum = Object.values(split).reduce((n, percent) => n + percent, 0);
  const clusters = spec.placement?.clusterAffinity?.clusterNames;
  return [
    ...(sum === TRAFFIC_PERCENT_SUM
      ? []
      : [invalidValue(field, sum, `the percentages must add up to ${TRAFFIC_PERCENT_SUM}`)]),
    ...Object.keys(split).flatMap((cluster) =>
      clusters === undefined || clusters.includes(cluster)
        ? []
        : [
            invalidValue(
              `${field}[${cluster}]`,
              cluster,
              "is not among spec.placement.clusterAffinity.clusterNames",
            ),
          ],
    ),
  ];
}

function stageCauses(field: string, stage: Stage): Cause[] {
  const inside = stage.validation?.duration;
  return [
    ...(stage.validation?.metrics ?? []).flatMap((metric, index) => {
      const at = `${field}.validation.metrics[${index}]`;
      const { minimum, maximum } = metric;
      if (minimum === undefined && maximum === undefined)
        return [requiredValue(`${at}.minimum`, "name a minimum, a maximum, or both")];
      return minimum !== undefined && maximum !== undefined && minimum > maximum
        ? [invalidValue(`${at}.minimum`, minimum, `must be at most maximum (${maximum})`)]
        : [];
    }),
    ...(stage.duration !== undefined && inside !== undefined && stage.duration !== inside
      ? [invalidValue(`${field}.duration`, stage.duration, "differs from validation.duration")]
      : []),
  ];
}

export function schedulingProfileCauses(profile: ObjectOf<"SchedulingProfile">): Cause[] {
  const { resources = [], scoreWeights, costAware, performanceAware } = profile.spec;
  const metrics = performanceAware?.metrics ?? [];
  const api = costAware?.priceAPI;
  return [
    ...duplicates(
      resources,
      (r) => r.name,
      (index) => `spec.resources[${index}].name`,
    ),
    ...duplicates(
      metrics,
      (m) => m.name,
      (index) => `spec.performanceAware.metrics[${index}].name`,
    ),
    ...weightCauses(
      "spec.resources",
      resources.map((r) => r.weight),
    ),
    ...weightCauses("spec.scoreWeights", allFive(scoreWeights)),
    ...weightCauses(
      "spec.performanceAware.metrics",
      metrics.map((m) => m.weight),
    ),
    ...(api === undefined ? [] : priceApiCauses("spec.costAware.priceAPI", api)),
  ];
}

function priceApiCauses(field: string, api: string): Cause[] {
  if (!URL_PATTERN.test(api))
    return [invalidValue(field, api, "must be an http, https or file:/// URL")];
  return URL_WITH_USER.test(api)
    ? [
        invalidValue(
          field,
          "***",
          "must not carry a user or password: everyone who may read the profile reads it",
        ),
      ]
    : [];
}

/** Entries that name the same are a contradiction: only the first would count. */
export function priceListCauses({ spec }: ObjectOf<"PriceList">): Cause[] {
  return [
    ...duplicates(
      spec.nodes,
      ({ site, instanceType, gpuModel, region, provider }) =>
        JSON.stringify([site, instanceType, gpuModel?.toLowerCase(), region, provider]),
      (index) => `spec.nodes[${index}]`,
    ),
    ...duplicates(
      spec.egress ?? [],
      ({ from, to }) => JSON.stringify([from, to]),
      (index) => `spec.egress[${index}]`,
    ),
  ];
}

/** The weights when all five are said; one that is left out keeps the article's, which is not zero. */
function allFive(weights: ObjectOf<"SchedulingProfile">["spec"]["scoreWeights"]): number[] {
  const said = Object.values(weights ?? {});
  return said.length === 5 ? said : [];
}

function weightCauses(field: string, weights: readonly number[]): Cause[] {
  return weights.length > 0 && weights.every((w) => w === 0)
    ? [invalidValue(field, weights, "at least one weight must be above 0")]
    : [];
}

export function partitionPolicyCauses(policy: ObjectOf<"NetworkPartitionPolicy">): Cause[] {
  return timeoutCauses("spec.detection", policy.spec.detection);
}

export function optimizationPolicyCauses(policy: ObjectOf<"NetworkOptimizationPolicy">): Cause[] {
  const { connection, routing } = policy.spec;
  const { maxIdle, maxActive } = connection ?? {};
  return [
    ...(maxIdle !== undefined && maxActive !== undefined && maxIdle > maxActive
      ? [
          invalidValue(
            "spec.connection.maxIdle",
            maxIdle,
            `must be at most maxActive (${maxActive})`,
          ),
        ]
      : []),
    ...timeoutCauses("spec.routing.probe", routing?.probe),
  ];
}

/** A probe must be over before the next one begins. */
function timeoutCauses(
  field: string,
  probe: { readonly interval?: string; readonly timeout?: string } | undefined,
): Cause[] {
  if (probe?.interval === undefined || probe.timeout === undefined) return [];
  const intervalMs = parseDurationMs(probe.interval) ?? 0;
  return (parseDurationMs(probe.timeout) ?? 0) <= intervalMs
    ? []
    : [
        invalidValue(
          `${field}.timeout`,
          probe.timeout,
          `must be at most interval (${probe.interval})`,
        ),
      ];
}

export function endpointCauses(endpoint: ObjectOf<"CrossClusterEndpoint">): Cause[] {
  const { sourceCluster, targetCluster } = endpoint.spec;
  return sourceCluster === targetCluster
    ? [invalidValue("spec.targetCluster", targetCluster, "must differ from sourceCluster")]
    : [];
}
