import { type Static, Type } from "typebox";
import { LabelSelector, Toleration } from "../metadata.ts";

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
  /** Compliance attributes that a site or cluster must carry, for example `data-residency: cn`. */
  compliance: Type.Optional(Type.Record(Type.String(), Type.String())),
});
export type Placement = Static<typeof Placement>;

/** A metric to scale by: the short form of PropagationPolicy or the form of autoscaling/v2. */
export const AutoscalingMetric = Type.Object({
  type: Type.String(),
  averageUtilization: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  resource: Type.Optional(
    Type.Object({
      name: Type.String(),
      target: Type.Object({
        type: Type.String(),
        averageUtilization: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
        averageValue: Type.Optional(Type.Union([Type.String(), Type.Number()])),
      }),
    }),
  ),
});

export const Autoscaling = Type.Object({
  minReplicas: Type.Integer({ minimum: 0, maximum: 10_000 }),
  maxReplicas: Type.Integer({ minimum: 1, maximum: 10_000 }),
  metrics: Type.Optional(Type.Array(AutoscalingMetric)),
});
