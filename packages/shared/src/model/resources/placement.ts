import { type Static, Type } from "typebox";
import { DURATION_PATTERN } from "../../kernel/duration.ts";
import { LabelSelector, Toleration } from "../metadata.ts";
import { Quantity } from "../workload.ts";

const Names = Type.Array(Type.String({ minLength: 1 }), { maxItems: 10_000 });

/** Candidates of a division: all three hold when said; none said: every candidate. A site counts as a cluster. */
const TargetCluster = Type.Object({
  clusterNames: Type.Optional(Names),
  siteNames: Type.Optional(Names),
  labelSelector: Type.Optional(LabelSelector),
});

/** How replicas are shared out over the candidates; names and meaning as in Karmada's Placement. */
export const ReplicaScheduling = Type.Object({
  /** Duplicated: the full count on every candidate. Divided (the default): the count shared out. */
  replicaSchedulingType: Type.Optional(
    Type.Union([Type.Literal("Duplicated"), Type.Literal("Divided")]),
  ),
  /** Weighted: by weightPreference. Aggregated: on as few candidates as hold it. Spread: the same count on each, as far as it fits. */
  replicaDivisionPreference: Type.Optional(
    Type.Union([Type.Literal("Weighted"), Type.Literal("Aggregated"), Type.Literal("Spread")]),
  ),
  weightPreference: Type.Optional(
    Type.Object({
      /** A candidate takes the weight of the first entry that names it; one that none names takes nothing. */
      staticWeightList: Type.Optional(
        Type.Array(
          Type.Object({
            targetCluster: TargetCluster,
            weight: Type.Integer({ minimum: 0, maximum: 1_000_000 }),
          }),
          { maxItems: 1_000 },
        ),
      ),
      /** The weight is how many more replicas a candidate takes. */
      dynamicWeight: Type.Optional(Type.Literal("AvailableReplicas")),
    }),
  ),
});
export type ReplicaScheduling = Static<typeof ReplicaScheduling>;

/** Over how many different sites, regions or providers the replicas are to be. `cluster` is the same as `site`. */
export const SpreadConstraint = Type.Object({
  spreadByField: Type.Union([
    Type.Literal("site"),
    Type.Literal("cluster"),
    Type.Literal("region"),
    Type.Literal("provider"),
  ]),
  /** Default 1. */
  minGroups: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
  /** Default: no bound. */
  maxGroups: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
});
export type SpreadConstraint = Static<typeof SpreadConstraint>;

const affinityTermFields = {
  /** Application in the same namespace; absent, with a component: this one. */
  application: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
  component: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
  /** Labels of the instances meant, in the same namespace. */
  labelSelector: Type.Optional(LabelSelector),
  /** What counts as the same place. */
  topologyKey: Type.Union([Type.Literal("node"), Type.Literal("site"), Type.Literal("region")]),
};

/** Instances that this one wants to be near to, or away from. What is said of them must all hold. */
export const AffinityTerm = Type.Object(affinityTermFields);
export type AffinityTerm = Static<typeof AffinityTerm>;

export const WeightedAffinityTerm = Type.Object({
  ...affinityTermFields,
  weight: Type.Integer({ minimum: 1, maximum: 100 }),
});
export type WeightedAffinityTerm = Static<typeof WeightedAffinityTerm>;

/** Kubernetes' inter-pod affinity: required terms exclude, preferred ones weigh in the topology part. */
export const WorkloadAffinity = Type.Object({
  required: Type.Optional(Type.Array(AffinityTerm, { maxItems: 50 })),
  preferred: Type.Optional(Type.Array(WeightedAffinityTerm, { maxItems: 50 })),
});
export type WorkloadAffinity = Static<typeof WorkloadAffinity>;

/** Which accelerators will do; how many, and how much of each, is asked for in `resources` of the containers. */
const GpuPlacement = Type.Object({
  /** One of these: whole words of the vendor's name, as `A100`, `RTX 4090` or `NVIDIA H100 80GB HBM3`; case does not matter. */
  models: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 64 }),
  ),
  /** Memory that each device has at least; of a MIG device its own. */
  memory: Type.Optional(Quantity),
  /** How close several devices of one instance should be at least. */
  topology: Type.Optional(
    Type.Union([Type.Literal("nvlink"), Type.Literal("pcie"), Type.Literal("numa")]),
  ),
  /** True: a node without such devices will not do. False (default): of the node's devices the closest are taken. */
  topologyRequired: Type.Optional(Type.Boolean()),
});

/** Where something may run: the article's cluster rules, and the same for sites and nodes. */
export const Placement = Type.Object({
  clusterAffinity: Type.Optional(
    Type.Object({
      clusterNames: Type.Optional(Type.Array(Type.String())),
      exclude: Type.Optional(Type.Array(Type.String())),
      labelSelector: Type.Optional(LabelSelector),
    }),
  ),
  clusterSelector: Type.Optional(LabelSelector),
  clusterTolerations: Type.Optional(Type.Array(Toleration)),
  siteAffinity: Type.Optional(
    Type.Object({
      siteNames: Type.Optional(Type.Array(Type.String())),
      exclude: Type.Optional(Type.Array(Type.String())),
    }),
  ),
  siteSelector: Type.Optional(LabelSelector),
  nodeSelector: Type.Optional(LabelSelector),
  tolerations: Type.Optional(Type.Array(Toleration)),
  gpu: Type.Optional(GpuPlacement),
  /** Compliance attributes that a site or cluster must carry, for example `data-residency: cn`. */
  compliance: Type.Optional(Type.Record(Type.String(), Type.String())),
  /** Round trip to a site or region that is promised: a place known to be further is not taken. */
  latency: Type.Optional(
    Type.Object({
      to: Type.String({ minLength: 1, maxLength: 63 }),
      /** 95th percentile, milliseconds. */
      maxMs: Type.Number({ exclusiveMinimum: 0, maximum: 60_000 }),
    }),
  ),
  /** Where its data comes from, and how much: what that costs on the way counts as cost. */
  data: Type.Optional(
    Type.Object({
      region: Type.String({ minLength: 1, maxLength: 63 }),
      gbPerDay: Type.Number({ minimum: 0, maximum: 1e6 }),
    }),
  ),
  /** Absent: each replica goes where its own score is best. */
  replicaScheduling: Type.Optional(ReplicaScheduling),
  spreadConstraints: Type.Optional(Type.Array(SpreadConstraint, { maxItems: 4 })),
  /** Near to instances of other workloads, or of its own. */
  affinity: Type.Optional(WorkloadAffinity),
  /** Away from them. An instance that runs keeps newcomers off that it must be away from. */
  antiAffinity: Type.Optional(WorkloadAffinity),
});
export type Placement = Static<typeof Placement>;

/** What one instance should have on average: a share of what it asks for, or an amount. */
const MetricTarget = Type.Object({
  type: Type.String(),
  averageUtilization: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
  averageValue: Type.Optional(Type.Union([Type.String(), Type.Number()])),
});

/** A metric to scale by: the short form of PropagationPolicy (`type: CPU`) or the form of autoscaling/v2 (Resource, Pods). */
export const AutoscalingMetric = Type.Object({
  type: Type.String(),
  averageUtilization: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
  resource: Type.Optional(Type.Object({ name: Type.String(), target: MetricTarget })),
  /** A metric that each instance tells at `autoscaling.endpoint`. */
  pods: Type.Optional(
    Type.Object({
      metric: Type.Object({ name: Type.String({ pattern: "^[A-Za-z_:][A-Za-z0-9_:]{0,127}$" }) }),
      target: MetricTarget,
    }),
  ),
});
export type AutoscalingMetric = Static<typeof AutoscalingMetric>;

const ScalingRules = Type.Object({
  stabilizationWindowSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 3_600 })),
});

export const Autoscaling = Type.Object({
  minReplicas: Type.Integer({ minimum: 0, maximum: 10_000 }),
  maxReplicas: Type.Integer({ minimum: 1, maximum: 10_000 }),
  metrics: Type.Optional(Type.Array(AutoscalingMetric, { maxItems: 16 })),
  /** As in autoscaling/v2: how long a lower (default 300 s) or a higher (0 s) recommendation must have held. */
  behavior: Type.Optional(
    Type.Object({
      scaleUp: Type.Optional(ScalingRules),
      scaleDown: Type.Optional(ScalingRules),
    }),
  ),
  /** Where each instance tells its metrics, in the Prometheus text format over HTTP on its node. */
  endpoint: Type.Optional(
    Type.Object({
      port: Type.Integer({ minimum: 1, maximum: 65_535 }),
      path: Type.Optional(Type.String({ pattern: "^/", maxLength: 1_024 })),
    }),
  ),
});
export type Autoscaling = Static<typeof Autoscaling>;

/** How an Application is spread over the candidates as a service. */
export const Distribution = Type.Object({
  /** ActiveActive: on all at once, shared out by trafficSplit. ActiveStandby: all on the first healthy candidate. */
  mode: Type.Optional(Type.Union([Type.Literal("ActiveActive"), Type.Literal("ActiveStandby")])),
  /** Percent by candidate; together 100. */
  trafficSplit: Type.Optional(
    Type.Record(Type.String(), Type.Integer({ minimum: 0, maximum: 100 })),
  ),
  /** ActiveStandby: when a candidate that comes earlier is healthy again. Absent: back on demand only (`flotilla rebalance`). */
  failback: Type.Optional(
    Type.Object({
      /** How long the earlier candidate must have been healthy without a break. */
      afterStable: Type.String({ pattern: DURATION_PATTERN }),
    }),
  ),
});
export type Distribution = Static<typeof Distribution>;
