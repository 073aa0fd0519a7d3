import { type Static, type TProperties, Type } from "typebox";
import { Condition } from "../metadata.ts";
import { ResourceList } from "../workload.ts";

/** Queues as Volcano's `scheduling.volcano.sh/v1beta1` writes them, and priorities as Kubernetes does. */

/** Greatest weight of a queue. */
export const QUEUE_WEIGHT_MAX = 65_535;

/** Greatest value of a PriorityClass that is not named `system-…` (Kubernetes, HighestUserDefinablePriority). */
export const USER_PRIORITY_MAX = 1_000_000_000;

/** Least value of a PriorityClass, and greatest of one named `system-…`. */
export const PRIORITY_MIN = -2_147_483_648;
export const PRIORITY_MAX = 2_147_483_647;

export const QueueSpec = Type.Object({
  /** Share among queues that were given no `deserved`, and of what is lent. Default 1. */
  weight: Type.Optional(Type.Integer({ minimum: 1, maximum: QUEUE_WEIGHT_MAX })),
  /** Never passed. */
  capability: Type.Optional(ResourceList),
  /** May be lent to others, and is taken back from them when it is wanted. */
  deserved: Type.Optional(ResourceList),
  /** Never lent. */
  guarantee: Type.Optional(Type.Object({ resource: Type.Optional(ResourceList) })),
  /** Whether others may take back what it has above `deserved`. Default true. */
  reclaimable: Type.Optional(Type.Boolean()),
  /** Queue above; absent or `root`: the fleet. Only queues that none names as parent take jobs. */
  parent: Type.Optional(Type.String({ maxLength: 253 })),
  /** The greater is lent to first. Default 0. */
  priority: Type.Optional(Type.Integer({ minimum: PRIORITY_MIN, maximum: PRIORITY_MAX })),
  dequeueStrategy: Type.Optional(Type.Union([Type.Literal("fifo"), Type.Literal("traverse")])),
  /** `Closed`: nothing new starts. Default Open. */
  state: Type.Optional(Type.Union([Type.Literal("Open"), Type.Literal("Closed")])),
});
export type QueueSpec = Static<typeof QueueSpec>;

/** `cpu`, `memory` … with the quantity as text. */
const Quantities = Type.Record(Type.String(), Type.String());

export const QueueStatus = Type.Object({
  /** Closing: closed, and something still runs. */
  state: Type.Optional(
    Type.Union([Type.Literal("Open"), Type.Literal("Closed"), Type.Literal("Closing")]),
  ),
  /** Jobs that wait, whole or in part, and jobs that run, whole or in part. */
  pending: Type.Optional(Type.Integer()),
  running: Type.Optional(Type.Integer()),
  allocated: Type.Optional(Quantities),
  /** What it may take back: `spec.deserved`, cut where all queues together were given more than there is; else by weight. */
  deserved: Type.Optional(Quantities),
  /** Parts of the fleet, of the resource that it has the greatest part of; 0 to 1. */
  share: Type.Optional(Type.Number()),
  fairShare: Type.Optional(Type.Number()),
  dominantResource: Type.Optional(Type.String()),
  /** Room that is kept for its first job. */
  reservation: Type.Optional(
    Type.Object({
      job: Type.String(),
      since: Type.String(),
      startsAt: Type.Optional(Type.String()),
      nodes: Type.Array(Type.String()),
      amounts: Quantities,
    }),
  ),
  observedGeneration: Type.Optional(Type.Integer()),
  conditions: Type.Optional(Type.Array(Condition)),
});
export type QueueStatus = Static<typeof QueueStatus>;

/** `scheduling.k8s.io/v1`: fields beside apiVersion, kind and metadata. */
export const priorityClassFields = {
  /** The greater goes first, and may evict the lower. */
  value: Type.Integer({ minimum: PRIORITY_MIN, maximum: PRIORITY_MAX }),
  /** True: counts for what names no class. Of several the lowest value counts. */
  globalDefault: Type.Optional(Type.Boolean()),
  description: Type.Optional(Type.String({ maxLength: 4_096 })),
  /** Never: goes first, evicts nothing. */
  preemptionPolicy: Type.Optional(
    Type.Union([Type.Literal("PreemptLowerPriority"), Type.Literal("Never")]),
  ),
} as const satisfies TProperties;
