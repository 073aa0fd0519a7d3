import { type Static, Type } from "typebox";
import { DURATION_PATTERN } from "../../kernel/duration.ts";
import { DELIVERY_WINDOWS_MAX, ReportedArtifacts } from "../artifact.ts";
import { Capacity, GPUS_MAX, Inventory, Usage } from "../capacity.ts";
import { DesiredInstance, DeviceShare } from "../desired-state.ts";
import { Measures } from "../measures.ts";
import { Condition, Taint } from "../metadata.ts";
import { ReportedInstance } from "../reported-state.ts";
import { Quantity } from "../workload.ts";

/** Our own kinds, group `edge.kurator.dev/v1alpha1`. All cluster-scoped but Assignment. */

export const EdgeNodeSpec = Type.Object({
  /** Site that the node belongs to; set at enrolment from the join token. */
  site: Type.String({ minLength: 1, maxLength: 63 }),
  /** Cordoned: takes nothing new, keeps what it has. */
  unschedulable: Type.Optional(Type.Boolean()),
  /** Cordoned, and everything on it is moved away. */
  drain: Type.Optional(Type.Boolean()),
  taints: Type.Optional(Type.Array(Taint)),
  /** True closes the live session and refuses every certificate of this node. */
  revoked: Type.Optional(Type.Boolean()),
});
export type EdgeNodeSpec = Static<typeof EdgeNodeSpec>;

export const EdgeNodeStatus = Type.Object({
  life: Type.Optional(
    Type.Union([
      Type.Literal("registered"),
      Type.Literal("ready"),
      Type.Literal("suspect"),
      Type.Literal("lost"),
    ]),
  ),
  agentVersion: Type.Optional(Type.String()),
  bootId: Type.Optional(Type.String()),
  epoch: Type.Optional(Type.Integer()),
  inventory: Type.Optional(Inventory),
  capacity: Type.Optional(Capacity),
  usage: Type.Optional(Usage),
  measures: Type.Optional(Measures),
  artifacts: Type.Optional(ReportedArtifacts),
  desiredRevision: Type.Optional(Type.Integer()),
  acceptedRevision: Type.Optional(Type.Integer()),
  convergedRevision: Type.Optional(Type.Integer()),
  certificateExpiresAt: Type.Optional(Type.String()),
  certificateSerial: Type.Optional(Type.String()),
  /** Serial of a renewed certificate that the node has not used yet; once it does, it is the only one. */
  nextCertificateSerial: Type.Optional(Type.String()),
  conditions: Type.Optional(Type.Array(Condition)),
});
export type EdgeNodeStatus = Static<typeof EdgeNodeStatus>;

/** Nodes that share a LAN and a fate. Its labels and attributes are what placement sees. */
export const SiteSpec = Type.Object({
  provider: Type.Optional(Type.String()),
  region: Type.Optional(Type.String()),
  attributes: Type.Optional(Type.Record(Type.String(), Type.String())),
  taints: Type.Optional(Type.Array(Taint)),
  /** Price of one node-hour; absent: unknown, and the cost part is neutral. */
  pricePerNodeHour: Type.Optional(Type.Number({ minimum: 0, maximum: 1e6 })),
  /** Measured or promised round-trip time to the users of this site. */
  latencyMs: Type.Optional(Type.Number({ minimum: 0, maximum: 1e6 })),
  /** Where other sites measure how far this one is: a TCP port that accepts connections. */
  probe: Type.Optional(
    Type.Object({
      host: Type.String({ minLength: 1, maxLength: 253, pattern: "^[A-Za-z0-9.:_-]+$" }),
      port: Type.Integer({ minimum: 1, maximum: 65_535 }),
    }),
  ),
  /** How its nodes fetch artifacts. */
  delivery: Type.Optional(
    Type.Object({
      /** Of each node; a Kubernetes quantity of bytes, `512Ki`. Absent: as fast as the link is. */
      bytesPerSecond: Type.Optional(Quantity),
      /** Absent: at any time. */
      windows: Type.Optional(
        Type.Array(
          Type.Object({
            /** Five fields of cron: when the window opens. */
            start: Type.String({ minLength: 9, maxLength: 128 }),
            /** How long it is open: `6h`. */
            duration: Type.String({ pattern: DURATION_PATTERN }),
            /** IANA name; absent: each device's own. */
            timeZone: Type.Optional(Type.String({ maxLength: 64 })),
          }),
          { minItems: 1, maxItems: DELIVERY_WINDOWS_MAX },
        ),
      ),
      /** The link costs by the byte: smaller deltas are worth more work on the nodes. */
      metered: Type.Optional(Type.Boolean()),
      /** False: nodes of the site fetch nothing from each other. Default true. */
      peers: Type.Optional(Type.Boolean()),
    }),
  ),
});
export type SiteSpec = Static<typeof SiteSpec>;

/** How far another site is. No percentiles: every probe was lost. */
export const SiteLatency = Type.Object({
  site: Type.String(),
  region: Type.Optional(Type.String()),
  p50Ms: Type.Optional(Type.Number()),
  p95Ms: Type.Optional(Type.Number()),
  lossRatio: Type.Number(),
});
export type SiteLatency = Static<typeof SiteLatency>;

/** How much the CPUs of a site's nodes are used in one hour of the day, on average over the days. */
export const HourLoad = Type.Object({
  /** Of the day, UTC. */
  hour: Type.Integer({ minimum: 0, maximum: 23 }),
  cpuRatio: Type.Number(),
});
export type HourLoad = Static<typeof HourLoad>;

export const SiteStatus = Type.Object({
  /** Sorted by site. */
  latencies: Type.Optional(Type.Array(SiteLatency)),
  nodeCount: Type.Optional(Type.Integer()),
  readyNodeCount: Type.Optional(Type.Integer()),
  /** Learned while there are releases to be prepared; sorted by hour. */
  load: Type.Optional(Type.Array(HourLoad, { maxItems: 24 })),
  observedGeneration: Type.Optional(Type.Integer()),
  conditions: Type.Optional(Type.Array(Condition)),
});
export type SiteStatus = Static<typeof SiteStatus>;

/** A single-use permission to enrol one node. The secret is answered once, at creation, and stored as a SHA-256 only. */
export const JoinTokenSpec = Type.Object({
  site: Type.String({ minLength: 1, maxLength: 63 }),
  /** When set, only a node of this name may use the token. */
  nodeName: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
  /** How long the token is good for; default 1h, at most 24h. */
  ttl: Type.Optional(Type.String({ pattern: DURATION_PATTERN })),
  /** Labels that the node gets. */
  nodeLabels: Type.Optional(Type.Record(Type.String(), Type.String())),
});
export type JoinTokenSpec = Static<typeof JoinTokenSpec>;

export const JoinTokenStatus = Type.Object({
  /** Hexadecimal SHA-256 of the secret. */
  secretHash: Type.Optional(Type.String()),
  expiresAt: Type.Optional(Type.String()),
  usedAt: Type.Optional(Type.String()),
  usedBy: Type.Optional(Type.String()),
  /** The whole join string, in the answer to the creating request alone; never stored. */
  joinString: Type.Optional(Type.String()),
});
export type JoinTokenStatus = Static<typeof JoinTokenStatus>;

export const ScoreParts = Type.Object({
  resource: Type.Number(),
  performance: Type.Number(),
  cost: Type.Number(),
  compliance: Type.Number(),
  topology: Type.Number(),
});
export type ScoreParts = Static<typeof ScoreParts>;

/** One candidate of a placement: the first filter that it failed, or its five parts and their weighted sum. */
export const Candidate = Type.Object({
  node: Type.String(),
  site: Type.String(),
  score: Type.Optional(Type.Number()),
  parts: Type.Optional(ScoreParts),
  /** What its score would have used and is not known: it counted as neutral. */
  unknown: Type.Optional(Type.Array(Type.String())),
  filter: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String()),
});
export type Candidate = Static<typeof Candidate>;

/**
 * A committed placement of one instance. Made by the hub only; read by `flotilla why` and projected as core/v1 Pod.
 * The reported part is what the node last said of the instance.
 */
export const AssignmentSpec = Type.Object({
  application: Type.String(),
  applicationUid: Type.String(),
  component: Type.String(),
  index: Type.Integer({ minimum: 0 }),
  /** Node that runs it; absent while no node fits (see `candidates`). */
  node: Type.Optional(Type.String()),
  site: Type.Optional(Type.String()),
  score: Type.Optional(Type.Number()),
  parts: Type.Optional(ScoreParts),
  weights: Type.Optional(ScoreParts),
  /** Sum of the containers' requests: what the node has set aside. */
  requests: Capacity,
  /** Devices of the node that are its own, or slices of them; the same as in `desired`. */
  devices: Type.Optional(Type.Array(DeviceShare, { minItems: 1, maxItems: GPUS_MAX })),
  desired: DesiredInstance,
});
export type AssignmentSpec = Static<typeof AssignmentSpec>;

export const AssignmentStatus = Type.Object({
  reported: Type.Optional(ReportedInstance),
  reportedBy: Type.Optional(Type.String()),
  /** Candidates of the last decision, best first, rejected ones last; CANDIDATES_MAX of them, the rest counted. */
  candidates: Type.Optional(Type.Array(Candidate)),
  candidatesOmitted: Type.Optional(Type.Integer()),
  decidedAt: Type.Optional(Type.String()),
  /** Why it waits, in one word (a WaitingReason, or Evicted); only while it has no node. */
  reason: Type.Optional(Type.String()),
  message: Type.Optional(Type.String()),
  /** DevicesReady: False while the node does not report a device that the instance has. */
  conditions: Type.Optional(Type.Array(Condition)),
});
export type AssignmentStatus = Static<typeof AssignmentStatus>;
