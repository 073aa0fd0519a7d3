import { parseDurationMs } from "../../kernel/duration.ts";
import type { Component } from "../../model/resources/application.ts";
import type {
  Autoscaling,
  Placement,
  ReplicaScheduling,
  WorkloadAffinity,
} from "../../model/resources/placement.ts";
import type { PropagationPolicySpec } from "../../model/resources/policy.ts";
import type { DivisionRules } from "./types.ts";

/** What a component is placed by, once its own word, its policy's and its fleet's are put together. */
export interface EffectivePlacement {
  /** Each narrows: all must hold. */
  readonly placements: readonly Placement[];
  /** Absent: each replica goes where its own score is best. */
  readonly rules?: DivisionRules;
  /** ActiveStandby; in this order, what is not named follows by name. */
  readonly standby?: { readonly order: readonly string[]; readonly failbackAfterMs?: number };
  /** ActiveActive: percent of the traffic by site. */
  readonly trafficSplit?: Readonly<Record<string, number>>;
  readonly affinities: readonly WorkloadAffinity[];
  readonly antiAffinities: readonly WorkloadAffinity[];
  /** Deployments only. */
  readonly autoscaling?: Autoscaling;
}

/**
 * Filters and affinities add up: all of them hold. Of what can be said once only (how replicas are shared out, spread
 * constraints, autoscaling) the component's word goes before the policy's, and that before the fleet's. A traffic split is a
 * list of static weights unless the component says itself how it is divided.
 */
export function effectivePlacement(
  policy: PropagationPolicySpec | undefined,
  fleet: Placement | undefined,
  component: Component,
): EffectivePlacement {
  const ranked = [component.placement, policy?.placement, fleet].filter((p) => p !== undefined);
  const distribution = policy?.distribution;
  const own = component.placement?.replicaScheduling;
  const split = own === undefined ? distribution?.trafficSplit : undefined;
  const scheduling =
    split === undefined
      ? ranked.find((p) => p.replicaScheduling !== undefined)?.replicaScheduling
      : weightsOf(split);
  const spreadConstraints =
    ranked.find((p) => p.spreadConstraints !== undefined)?.spreadConstraints ?? [];
  const isDivided = scheduling !== undefined || spreadConstraints.length > 0;
  const isStandby = distribution?.mode === "ActiveStandby" && own === undefined;
  const autoscaling =
    component.type === "Deployment" ? (component.autoscaling ?? policy?.autoscaling) : undefined;
  return {
    placements: ranked.toReversed(),
    ...(isDivided && !isStandby
      ? { rules: { ...(scheduling === undefined ? {} : { scheduling }), spreadConstraints } }
      : {}),
    ...(isStandby && policy !== undefined ? { standby: standbyOf(policy) } : {}),
    ...(split === undefined ? {} : { trafficSplit: split }),
    affinities: ranked.flatMap((p) => p.affinity ?? []),
    antiAffinities: ranked.flatMap((p) => p.antiAffinity ?? []),
    ...(autoscaling === undefined ? {} : { autoscaling }),
  };
}

function weightsOf(split: Readonly<Record<string, number>>): ReplicaScheduling {
  return {
    weightPreference: {
      staticWeightList: Object.entries(split).map(([name, weight]) => ({
        targetCluster: { clusterNames: [name] },
        weight,
      })),
    },
  };
}

function standbyOf({
  placement,
  distribution,
}: PropagationPolicySpec): NonNullable<EffectivePlacement["standby"]> {
  const after = distribution?.failback?.afterStable;
  const failbackAfterMs = after === undefined ? undefined : parseDurationMs(after);
  return {
    order: [
      ...(placement?.clusterAffinity?.clusterNames ?? []),
      ...(placement?.siteAffinity?.siteNames ?? []),
    ],
    ...(failbackAfterMs === undefined ? {} : { failbackAfterMs }),
  };
}
