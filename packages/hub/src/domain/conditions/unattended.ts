import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { KindName } from "@flotilla/shared/model/kinds";
import { type Condition, withCondition } from "@flotilla/shared/model/metadata";

/** What is said of a kind that no controller of this hub acts on, or only in part. */
interface Notice {
  readonly status: Condition["status"];
  readonly reason: "ControllerNotAvailable" | "InUse";
  readonly message: string;
}

/** Says what is done with each of these kinds, and what is not. */
export const NOTICES = {
  PropagationPolicy: {
    status: "True",
    reason: "InUse",
    message:
      "placement, autoscaling and distribution count for the Applications that it means; rollout is stored, not acted on: no stages or gates; an edited Application is updated everywhere, a quarter of a component at a time",
  },
  SchedulingProfile: {
    status: "True",
    reason: "InUse",
    message:
      "score weights, resource weights and the metrics p95-latency, network-bandwidth and disk-iops count for Applications that name this profile; other metrics are not measured; PricesCurrent tells of priceAPI",
  },
  PerformanceProfile: {
    status: "True",
    reason: "InUse",
    message:
      "scheduler.delay and scheduler.batch of the profile named default, else of the first by name, count for the whole hub; network and storage are stored, not acted on: nothing is set on any node",
  },
  CrossClusterEndpoint: unavailable("stored, not acted on: no tunnel is set up"),
  NetworkOptimizationPolicy: {
    status: "True",
    reason: "InUse",
    message:
      "routing.probe of the first policy by name that has it counts for the latency matrix between sites; no routing, compression or encryption beyond that of the hub's own links",
  },
  NetworkPartitionPolicy: unavailable(
    "stored, not acted on: a node that is cut off keeps running what it has, and what was on a lost node is placed elsewhere, both with fixed times",
  ),
  Cluster: {
    ...unavailable(
      "registered; the hub does not connect to it and places nothing there, so whether it can be reached is unknown",
    ),
    status: "Unknown",
  },
} as const satisfies Partial<Record<KindName, Notice>>;

/** A kind that carries a notice. */
export type NoticeKind = keyof typeof NOTICES;

/** The part of an object that a notice needs; every kind with one has it. */
interface Noticed {
  readonly metadata: { readonly generation: number };
  readonly status?: { observedGeneration?: number; conditions?: Condition[] };
}

/** The object with its notice as the condition Active; undefined when it has it already. */
export function withNotice<T extends Noticed>(
  kind: NoticeKind,
  object: T,
  nowIso: string,
): T | undefined {
  const { generation } = object.metadata;
  const conditions = withCondition(
    object.status?.conditions,
    { type: "Active", ...NOTICES[kind], observedGeneration: generation },
    nowIso,
  );
  const status = { ...object.status, observedGeneration: generation, conditions };
  return jsonEqual(object.status, status) ? undefined : { ...object, status };
}

function unavailable(message: string): Notice {
  return { status: "False", reason: "ControllerNotAvailable", message };
}
