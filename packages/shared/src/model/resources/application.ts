import { type Static, Type } from "typebox";
import { DURATION_PATTERN } from "../../kernel/duration.ts";
import { ArtifactPin, COMPONENT_ARTIFACTS_MAX } from "../artifact.ts";
import { Condition } from "../metadata.ts";
import { DeploymentTemplate, JobTemplate } from "../workload.ts";
import { Autoscaling, Placement } from "./placement.ts";

const Duration = Type.String({ pattern: DURATION_PATTERN });

/** A whole number of instances, or a part of the component's: `25%`. */
const CountOrPercent = Type.Union([
  Type.Integer({ minimum: 0 }),
  Type.String({ pattern: "^(?:100|[0-9]{1,2})%$" }),
]);

/** How a component waits, and what may be done to it for others. */
export const ComponentScheduling = Type.Object({
  /** After so long it goes ahead of others, as far as the fair share of its queue reaches. */
  waitMax: Type.Optional(Duration),
  /** How long an instance runs; lets it use room that is kept for a job that waits. */
  estimate: Type.Optional(Duration),
  /** Overrides the preemptionPolicy of its PriorityClass. */
  preemption: Type.Optional(Type.Union([Type.Literal("LowerPriority"), Type.Literal("Never")])),
  /** True: pays spot prices where a price list has them. Default false. */
  spot: Type.Optional(Type.Boolean()),
  /** False: is never evicted or moved for others. Default true. */
  movable: Type.Optional(Type.Boolean()),
  /** Most instances that others may make unavailable at a time; counts what is unavailable anyway. Default: no limit. */
  disruptionBudget: Type.Optional(Type.Object({ maxUnavailable: CountOrPercent })),
});
export type ComponentScheduling = Static<typeof ComponentScheduling>;

const componentFields = {
  name: Type.String({ minLength: 1, maxLength: 63 }),
  placement: Type.Optional(Placement),
  volcano: Type.Optional(
    Type.Object({
      queue: Type.Optional(Type.String()),
      priorityClassName: Type.Optional(Type.String()),
      minMember: Type.Optional(Type.Integer({ minimum: 1 })),
    }),
  ),
  scheduling: Type.Optional(ComponentScheduling),
  autoscaling: Type.Optional(Autoscaling),
  /** Names of components of the same Application that must be ready, or finished, first. */
  dependsOn: Type.Optional(Type.Array(Type.String())),
  /** Models, configs and programs that it runs with, each in one version: a new one is a new revision of the Application. */
  artifacts: Type.Optional(Type.Array(ArtifactPin, { maxItems: COMPONENT_ARTIFACTS_MAX })),
};

export const DeploymentComponent = Type.Object({
  ...componentFields,
  type: Type.Literal("Deployment"),
  template: DeploymentTemplate,
});
export const JobComponent = Type.Object({
  ...componentFields,
  type: Type.Literal("Job"),
  template: JobTemplate,
});

/** A component: a Deployment keeps replicas running, a Job runs to completion. Told apart by `type`. */
export const Component = Type.Union([DeploymentComponent, JobComponent]);
export type Component = Static<typeof Component>;

export const ApplicationSpec = Type.Object({
  /** Fleet, in any namespace, whose members may run this; absent: every site and cluster of the hub. */
  fleet: Type.Optional(
    Type.Object({ name: Type.String(), namespace: Type.Optional(Type.String()) }),
  ),
  components: Type.Array(Component, { minItems: 1, maxItems: 100 }),
  /** Cluster-scoped SchedulingProfile; absent: the article's weights. */
  schedulingProfile: Type.Optional(Type.String()),
});
export type ApplicationSpec = Static<typeof ApplicationSpec>;

export const ComponentStatus = Type.Object({
  name: Type.String(),
  type: Type.Union([Type.Literal("Deployment"), Type.Literal("Job")]),
  desired: Type.Integer(),
  placed: Type.Integer(),
  running: Type.Integer(),
  ready: Type.Integer(),
  succeeded: Type.Integer(),
  failed: Type.Integer(),
  /** Instances whose running spec is the one last asked for. */
  updated: Type.Integer(),
  message: Type.Optional(Type.String()),
});
export type ComponentStatus = Static<typeof ComponentStatus>;

/** Annotation of an Application: any new value asks once for the moves to the ideal division, and for the way back to the first candidate. */
export const REBALANCE_ANNOTATION = "apps.kurator.dev/rebalance";

/** How a component's replicas are shared out: published for load balancers and for `flotilla application describe`. */
export const DivisionStatus = Type.Object({
  component: Type.String(),
  sites: Type.Array(
    Type.Object({
      name: Type.String(),
      /** Replicas that the division wants there. */
      replicas: Type.Integer(),
      /** Share of the traffic, percent; only where a policy says one. */
      trafficPercent: Type.Optional(Type.Integer()),
    }),
  ),
  /** Replicas that no candidate takes. */
  unplaced: Type.Integer(),
  message: Type.Optional(Type.String()),
  /** ActiveStandby: the candidate that has the replicas. */
  active: Type.Optional(Type.String()),
  /** ActiveStandby: since when the earlier candidate is healthy again. */
  stableSince: Type.Optional(Type.String()),
  /** Value of the rebalance annotation that was last carried out. */
  rebalanced: Type.Optional(Type.String()),
  /** What a rebalance would move, each worth its price, as of the last look; at most REBALANCE_MOVES_SHOWN_MAX. */
  moves: Type.Array(
    Type.Object({
      from: Type.String(),
      to: Type.String(),
      gain: Type.Number(),
      price: Type.Number(),
    }),
  ),
});
export type DivisionStatus = Static<typeof DivisionStatus>;

/** What the autoscaler knows and wants of one component. */
export const AutoscalingStatus = Type.Object({
  component: Type.String(),
  desiredReplicas: Type.Integer(),
  currentReplicas: Type.Integer(),
  lastScaleTime: Type.Optional(Type.String()),
  /** Recommendations within the longer of the two stabilisation windows: the extremes that can still decide. */
  recommendations: Type.Array(Type.Object({ at: Type.String(), replicas: Type.Integer() })),
  metrics: Type.Array(
    Type.Object({
      name: Type.String(),
      /** Absent: nothing is known of any instance. */
      current: Type.Optional(Type.Number()),
      target: Type.Number(),
      /** Instances whose value is not known. */
      missing: Type.Integer(),
    }),
  ),
  message: Type.Optional(Type.String()),
});
export type AutoscalingStatus = Static<typeof AutoscalingStatus>;

export const ApplicationStatus = Type.Object({
  phase: Type.Optional(
    Type.Union([
      Type.Literal("Pending"),
      Type.Literal("Progressing"),
      Type.Literal("Running"),
      Type.Literal("Completed"),
      Type.Literal("Degraded"),
    ]),
  ),
  observedGeneration: Type.Optional(Type.Integer()),
  components: Type.Optional(Type.Array(ComponentStatus)),
  division: Type.Optional(Type.Array(DivisionStatus)),
  autoscaling: Type.Optional(Type.Array(AutoscalingStatus)),
  conditions: Type.Optional(Type.Array(Condition)),
});
export type ApplicationStatus = Static<typeof ApplicationStatus>;
