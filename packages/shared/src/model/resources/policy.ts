import { type Static, Type } from "typebox";
import { DURATION_PATTERN } from "../../kernel/duration.ts";
import { Quantity } from "../workload.ts";
import { Autoscaling, Distribution, Placement } from "./placement.ts";
import { CURRENCY_PATTERN } from "./pricing.ts";

/** The article's policies and profiles, field by field as printed there. */
const Duration = Type.String({ pattern: DURATION_PATTERN });
const Weight = Type.Number({ minimum: 0, maximum: 1_000 });

const ValidationMetric = Type.Object({
  name: Type.String({ minLength: 1 }),
  minimum: Type.Optional(Type.Number()),
  maximum: Type.Optional(Type.Number()),
});

const Stage = Type.Object({
  name: Type.String({ minLength: 1 }),
  clusters: Type.Optional(Type.Array(Type.String())),
  sites: Type.Optional(Type.Array(Type.String())),
  trafficPercent: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
  pause: Type.Optional(Type.Boolean()),
  validation: Type.Optional(
    Type.Object({
      metrics: Type.Optional(Type.Array(ValidationMetric)),
      duration: Type.Optional(Duration),
    }),
  ),
  /** Read here as well as under `validation`: the article's text leaves open which was meant. */
  duration: Type.Optional(Duration),
});

const Rollback = Type.Object({
  onFailure: Type.Optional(Type.Boolean()),
  automatic: Type.Optional(Type.Boolean()),
});

export const PropagationPolicySpec = Type.Object({
  resourceSelectors: Type.Optional(
    Type.Array(
      Type.Object({
        apiVersion: Type.String(),
        kind: Type.String(),
        name: Type.Optional(Type.String()),
        namespace: Type.Optional(Type.String()),
      }),
    ),
  ),
  targetRef: Type.Optional(
    Type.Object({ apiVersion: Type.String(), kind: Type.String(), name: Type.String() }),
  ),
  placement: Type.Optional(Placement),
  autoscaling: Type.Optional(Autoscaling),
  distribution: Type.Optional(Distribution),
  rollout: Type.Optional(
    Type.Object({
      strategy: Type.Optional(
        Type.Union([
          Type.Literal("Canary"),
          Type.Literal("BlueGreen"),
          Type.Literal("RollingUpdate"),
        ]),
      ),
      stages: Type.Optional(Type.Array(Stage, { maxItems: 100 })),
      rollback: Type.Optional(Rollback),
    }),
  ),
  rollback: Type.Optional(Rollback),
});
export type PropagationPolicySpec = Static<typeof PropagationPolicySpec>;

export const SchedulingProfileSpec = Type.Object({
  resources: Type.Optional(Type.Array(Type.Object({ name: Type.String(), weight: Weight }))),
  /** Weights of the five parts of a score; absent parts keep the article's. */
  scoreWeights: Type.Optional(
    Type.Object({
      resource: Type.Optional(Weight),
      performance: Type.Optional(Weight),
      cost: Type.Optional(Weight),
      compliance: Type.Optional(Weight),
      topology: Type.Optional(Weight),
    }),
  ),
  costAware: Type.Optional(
    Type.Object({
      enabled: Type.Optional(Type.Boolean()),
      /** Where prices are fetched: http, https or file URL of JSON or CSV. */
      priceAPI: Type.Optional(Type.String({ maxLength: 2_048 })),
      /** Currency that the feed is to deliver; absent: that of its first delivery. */
      currency: Type.Optional(Type.String({ pattern: CURRENCY_PATTERN })),
      updateInterval: Type.Optional(Duration),
      weight: Type.Optional(Weight),
    }),
  ),
  performanceAware: Type.Optional(
    Type.Object({
      enabled: Type.Optional(Type.Boolean()),
      metrics: Type.Optional(Type.Array(Type.Object({ name: Type.String(), weight: Weight }))),
      weight: Type.Optional(Weight),
    }),
  ),
});
export type SchedulingProfileSpec = Static<typeof SchedulingProfileSpec>;

export const PerformanceProfileSpec = Type.Object({
  scheduler: Type.Optional(
    Type.Object({
      delay: Type.Optional(Duration),
      batch: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
    }),
  ),
  network: Type.Optional(
    Type.Object({
      conntrackMax: Type.Optional(Type.Integer({ minimum: 1 })),
      tcpKeepalive: Type.Optional(Type.Integer({ minimum: 1 })),
    }),
  ),
  storage: Type.Optional(
    Type.Object({ ioTimeout: Type.Optional(Duration), cacheSize: Type.Optional(Quantity) }),
  ),
});

export const CrossClusterEndpointSpec = Type.Object({
  sourceCluster: Type.String({ minLength: 1 }),
  targetCluster: Type.String({ minLength: 1 }),
  protocol: Type.Optional(Type.Union([Type.Literal("TCP"), Type.Literal("UDP")])),
  port: Type.Integer({ minimum: 1, maximum: 65_535 }),
  tunnel: Type.Optional(
    Type.Object({
      type: Type.Literal("wireguard"),
      keepalive: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
    }),
  ),
});

const Enabled = Type.Optional(Type.Boolean());

export const NetworkOptimizationPolicySpec = Type.Object({
  connection: Type.Optional(
    Type.Object({
      maxIdle: Type.Optional(Type.Integer({ minimum: 0 })),
      maxActive: Type.Optional(Type.Integer({ minimum: 0 })),
      idleTimeout: Type.Optional(Duration),
      keepAlive: Type.Optional(Duration),
    }),
  ),
  routing: Type.Optional(
    Type.Object({
      algorithm: Type.Optional(
        Type.Union([Type.Literal("latency-aware"), Type.Literal("round-robin")]),
      ),
      probe: Type.Optional(
        Type.Object({
          enabled: Enabled,
          interval: Type.Optional(Duration),
          timeout: Type.Optional(Duration),
        }),
      ),
      failover: Type.Optional(
        Type.Object({
          enabled: Enabled,
          threshold: Type.Optional(Type.Integer({ minimum: 1 })),
          timeout: Type.Optional(Duration),
        }),
      ),
    }),
  ),
  acceleration: Type.Optional(
    Type.Object({
      compression: Type.Optional(
        Type.Object({ enabled: Enabled, minSize: Type.Optional(Type.Integer({ minimum: 0 })) }),
      ),
      encryption: Type.Optional(
        Type.Object({ enabled: Enabled, algorithm: Type.Optional(Type.Literal("aes-256-gcm")) }),
      ),
    }),
  ),
});

export const NetworkPartitionPolicySpec = Type.Object({
  detection: Type.Optional(
    Type.Object({
      interval: Type.Optional(Duration),
      timeout: Type.Optional(Duration),
      threshold: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
    }),
  ),
  recovery: Type.Optional(
    Type.Object({
      autoFailover: Enabled,
      degradation: Type.Optional(
        Type.Object({
          enabled: Enabled,
          level: Type.Optional(
            Type.Union([Type.Literal("none"), Type.Literal("basic"), Type.Literal("full")]),
          ),
        }),
      ),
      restoration: Type.Optional(
        Type.Object({ enabled: Enabled, validation: Type.Optional(Type.Boolean()) }),
      ),
    }),
  ),
});
