import { type Static, Type } from "typebox";

/** Kubernetes object metadata, shared by every kind (Kubernetes API conventions, "Metadata"). */

/** Points from a dependent to its owner; when the owner goes, the dependent is collected. */
export const OwnerReference = Type.Object({
  apiVersion: Type.String(),
  kind: Type.String(),
  name: Type.String(),
  uid: Type.String(),
  controller: Type.Optional(Type.Boolean()),
  blockOwnerDeletion: Type.Optional(Type.Boolean()),
});
export type OwnerReference = Static<typeof OwnerReference>;

const StringMap = Type.Record(Type.String(), Type.String());

/** What a client may send and what the hub answers. `resourceVersion` is a string to clients, the log's number inside. */
export const ObjectMeta = Type.Object({
  name: Type.Optional(Type.String()),
  generateName: Type.Optional(Type.String()),
  namespace: Type.Optional(Type.String()),
  uid: Type.Optional(Type.String()),
  resourceVersion: Type.Optional(Type.String()),
  generation: Type.Optional(Type.Integer({ minimum: 0 })),
  creationTimestamp: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  deletionTimestamp: Type.Optional(Type.String()),
  deletionGracePeriodSeconds: Type.Optional(Type.Integer({ minimum: 0 })),
  labels: Type.Optional(StringMap),
  annotations: Type.Optional(StringMap),
  finalizers: Type.Optional(Type.Array(Type.String())),
  ownerReferences: Type.Optional(Type.Array(OwnerReference)),
  managedFields: Type.Optional(Type.Array(Type.Unknown())),
  selfLink: Type.Optional(Type.String()),
});
export type ObjectMeta = Static<typeof ObjectMeta>;

/** A status condition (metav1.Condition). One entry per `type`. */
export const Condition = Type.Object({
  type: Type.String(),
  status: Type.Union([Type.Literal("True"), Type.Literal("False"), Type.Literal("Unknown")]),
  reason: Type.String(),
  message: Type.String(),
  lastTransitionTime: Type.String(),
  observedGeneration: Type.Optional(Type.Integer()),
});
export type Condition = Static<typeof Condition>;

/** Label selector (metav1.LabelSelector). */
export const LabelSelector = Type.Object({
  matchLabels: Type.Optional(StringMap),
  matchExpressions: Type.Optional(
    Type.Array(
      Type.Object({
        key: Type.String(),
        operator: Type.Union([
          Type.Literal("In"),
          Type.Literal("NotIn"),
          Type.Literal("Exists"),
          Type.Literal("DoesNotExist"),
        ]),
        values: Type.Optional(Type.Array(Type.String())),
      }),
    ),
  ),
});
export type LabelSelector = Static<typeof LabelSelector>;

const TaintEffect = Type.Union([
  Type.Literal("NoSchedule"),
  Type.Literal("PreferNoSchedule"),
  Type.Literal("NoExecute"),
]);

/** A mark on a node, site or cluster that repels workloads. */
export const Taint = Type.Object({
  key: Type.String({ minLength: 1 }),
  value: Type.Optional(Type.String()),
  effect: TaintEffect,
  timeAdded: Type.Optional(Type.String()),
});
export type Taint = Static<typeof Taint>;

/** A workload's acceptance of a taint. */
export const Toleration = Type.Object({
  key: Type.Optional(Type.String()),
  operator: Type.Optional(Type.Union([Type.Literal("Equal"), Type.Literal("Exists")])),
  value: Type.Optional(Type.String()),
  effect: Type.Optional(TaintEffect),
  tolerationSeconds: Type.Optional(Type.Integer({ minimum: 0 })),
});
export type Toleration = Static<typeof Toleration>;

/** Any stored object: what every kind has in common. */
export interface Resource<Spec = unknown, Status = unknown> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta & {
    readonly name: string;
    readonly uid: string;
    readonly generation: number;
  };
  readonly spec?: Spec;
  readonly status?: Status;
}

/** Sets or replaces the condition of this type. The transition time moves only when the status does. */
export function withCondition(
  conditions: readonly Condition[] | undefined,
  next: Omit<Condition, "lastTransitionTime">,
  nowIso: string,
): Condition[] {
  const before = conditions ?? [];
  const old = before.find((c) => c.type === next.type);
  const lastTransitionTime =
    old !== undefined && old.status === next.status ? old.lastTransitionTime : nowIso;
  const condition = { ...next, lastTransitionTime };
  return old === undefined
    ? [...before, condition]
    : before.map((c) => (c.type === next.type ? condition : c));
}
