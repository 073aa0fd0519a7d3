import { type Static, Type } from "typebox";
import {
  COMPONENT_ARTIFACTS_MAX,
  Delivery,
  DesiredArtifact,
  PRESTAGED_RELEASES_MAX,
  PrestagedRelease,
} from "./artifact.ts";
import { GPUS_MAX } from "./capacity.ts";
import { ProbePlan } from "./measures.ts";
import { Container, RestartPolicy } from "./workload.ts";

/** One device that an instance has, or so many thousandths of it. */
export const DeviceShare = Type.Object({
  /** As the vendor's tool names the card, or the MIG device. */
  uuid: Type.String({ minLength: 1, maxLength: 256 }),
  milli: Type.Integer({ minimum: 1, maximum: 1_000 }),
});
export type DeviceShare = Static<typeof DeviceShare>;

/**
 * What the hub wants on one node: whole, numbered, signed. Not a command: a node that accepts revision n needs nothing
 * of n-1. The signature covers the exact bytes of `payload` (see protocol/down/desired.ts).
 */
export const DesiredInstance = Type.Object({
  /** `namespace.application.component-index`, unique in the fleet. */
  id: Type.String({ minLength: 1, maxLength: 320 }),
  namespace: Type.String(),
  application: Type.String(),
  component: Type.String(),
  index: Type.Integer({ minimum: 0 }),
  kind: Type.Union([Type.Literal("Deployment"), Type.Literal("Job")]),
  /** Digest of everything that, when changed, means a restart: containers, restart policy and the artifacts that are switched by a restart. */
  specDigest: Type.String({ minLength: 1, maxLength: 128 }),
  runtime: Type.Literal("process"),
  restartPolicy: RestartPolicy,
  /** Jobs: how often a failed run is tried again before the instance has failed for good. */
  backoffLimit: Type.Integer({ minimum: 0 }),
  /** Jobs: longest run of one instance, restarts included. */
  activeDeadlineSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
  terminationGracePeriodSeconds: Type.Integer({ minimum: 0 }),
  containers: Type.Array(Container, { minItems: 1, maxItems: 16 }),
  /** Metrics that the hub asks for, where the instance tells them. A change of it restarts nothing. */
  scrape: Type.Optional(
    Type.Object({
      port: Type.Integer({ minimum: 1, maximum: 65_535 }),
      path: Type.String({ pattern: "^/", maxLength: 1_024 }),
      names: Type.Array(Type.String({ maxLength: 128 }), { maxItems: 16 }),
    }),
  ),
  /** Accelerators of the instance, shared by its containers. Another set means a restart. */
  devices: Type.Optional(Type.Array(DeviceShare, { minItems: 1, maxItems: GPUS_MAX })),
  /** Files that it runs with; it is not started before they are there. */
  artifacts: Type.Optional(
    Type.Array(DesiredArtifact, { minItems: 1, maxItems: COMPONENT_ARTIFACTS_MAX }),
  ),
});
export type DesiredInstance = Static<typeof DesiredInstance>;

export const DesiredState = Type.Object({
  nodeId: Type.String(),
  /** Grows with every change for this node; never reused. */
  revision: Type.Integer({ minimum: 1 }),
  issuedAt: Type.String(),
  instances: Type.Array(DesiredInstance, { maxItems: 1_000 }),
  /** Of the node that probes for its site. */
  probe: Type.Optional(ProbePlan),
  /** Releases to hold ready. */
  prestage: Type.Optional(
    Type.Array(PrestagedRelease, { minItems: 1, maxItems: PRESTAGED_RELEASES_MAX }),
  ),
  /** Where bytes come from, and when; only when artifacts are named. */
  delivery: Type.Optional(Delivery),
});
export type DesiredState = Static<typeof DesiredState>;
