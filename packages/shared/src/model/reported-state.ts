import { type Static, Type } from "typebox";
import { COMPONENT_ARTIFACTS_MAX, ReportedArtifact, ReportedArtifacts } from "./artifact.ts";

/** What the agent last saw of one instance, as it is or will be sent to the hub. */
export const InstancePhase = Type.Union([
  Type.Literal("Pending"),
  Type.Literal("Running"),
  Type.Literal("Succeeded"),
  Type.Literal("Failed"),
  Type.Literal("Stopping"),
]);
export type InstancePhase = Static<typeof InstancePhase>;

export const ReportedInstance = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 320 }),
  specDigest: Type.String({ maxLength: 128 }),
  phase: InstancePhase,
  ready: Type.Boolean(),
  /** Starts after the first one of this specDigest on this node. Adoption by a new agent is no restart. */
  restartCount: Type.Integer({ minimum: 0 }),
  /** Wall-clock time of the present run's start, ISO 8601. */
  startedAt: Type.Optional(Type.String({ maxLength: 40 })),
  finishedAt: Type.Optional(Type.String({ maxLength: 40 })),
  exitCode: Type.Optional(Type.Integer({ minimum: -1, maximum: 255 })),
  pid: Type.Optional(Type.Integer({ minimum: 1 })),
  /** CPU that its processes used on average over the last interval, thousandths of a core. */
  milliCpu: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000_000 })),
  /** What it tells of itself at its metrics endpoint, as far as it is asked for. */
  metrics: Type.Optional(
    Type.Record(Type.String({ maxLength: 128 }), Type.Number({ minimum: 0, maximum: 1e15 }), {
      maxProperties: 16,
    }),
  ),
  /** Why it is as it is: a waiting step's reason, a probe's failure, an exit. */
  reason: Type.Optional(Type.String({ maxLength: 64 })),
  message: Type.Optional(Type.String({ maxLength: 1_024 })),
  artifacts: Type.Optional(Type.Array(ReportedArtifact, { maxItems: COMPONENT_ARTIFACTS_MAX })),
});
export type ReportedInstance = Static<typeof ReportedInstance>;

/** The whole of what runs on a node. Always whole: what is not listed is not there. */
export const ReportedState = Type.Object({
  /** Revision of the desired state that the agent has accepted; 0 before the first. */
  acceptedRevision: Type.Integer({ minimum: 0 }),
  /** Revision that the reconciler has fully carried out; 0 before the first. */
  convergedRevision: Type.Integer({ minimum: 0 }),
  instances: Type.Array(ReportedInstance, { maxItems: 1_000 }),
  artifacts: Type.Optional(ReportedArtifacts),
});
export type ReportedState = Static<typeof ReportedState>;
