import { type Static, Type } from "typebox";
import {
  ARTIFACT_NAME_PATTERN,
  ARTIFACT_VERSION_PATTERN,
  RELEASE_FILES_MAX,
  ReleaseFile,
} from "../artifact.ts";
import { Condition, LabelSelector } from "../metadata.ts";
import { Quantity } from "../workload.ts";

/** Models, configs and programs and their releases, group `artifacts.kurator.dev/v1alpha1`. Both kinds are cluster-scoped. */

/** What the files are; it decides how a delta is made. */
export const ArtifactFormat = Type.Union([
  Type.Literal("onnx"),
  Type.Literal("safetensors"),
  Type.Literal("tfjs"),
  Type.Literal("gguf"),
  Type.Literal("program"),
  Type.Literal("config"),
  Type.Literal("tar"),
  Type.Literal("raw"),
]);
export type ArtifactFormat = Static<typeof ArtifactFormat>;

export const ArtifactSpec = Type.Object({
  format: ArtifactFormat,
  description: Type.Optional(Type.String({ maxLength: 1_024 })),
  /** Newest releases that the hub keeps though nothing uses them; default ARTIFACT_KEEP_DEFAULT. What is used is always kept. */
  keep: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
});
export type ArtifactSpec = Static<typeof ArtifactSpec>;
export const ARTIFACT_KEEP_DEFAULT = 5;

export const ArtifactStatus = Type.Object({
  /** How many releases there are, and the newest one. */
  releases: Type.Optional(Type.Integer()),
  latestVersion: Type.Optional(Type.String()),
  latestCounter: Type.Optional(Type.Integer()),
  /** Bytes of all files of all releases, each content once. */
  bytes: Type.Optional(Type.Integer()),
  conditions: Type.Optional(Type.Array(Condition)),
});
export type ArtifactStatus = Static<typeof ArtifactStatus>;

/** One version of an artifact. Its name is `ARTIFACT-VERSION`. Nothing but `prestage` and `keep` can be changed. */
export const ReleaseSpec = Type.Object({
  artifact: Type.String({ pattern: ARTIFACT_NAME_PATTERN }),
  version: Type.String({ pattern: ARTIFACT_VERSION_PATTERN, maxLength: 64 }),
  /** Grows with every release of the artifact; the same as in the signed metadata. */
  counter: Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 }),
  files: Type.Array(ReleaseFile, { minItems: 1, maxItems: RELEASE_FILES_MAX }),
  /** Nodes that it can run on; absent: any. */
  constraints: Type.Optional(
    Type.Object({
      /** As the signed metadata says; a node's own is `hardwareId` of its inventory. */
      hardwareIds: Type.Optional(
        Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { minItems: 1, maxItems: 64 }),
      ),
      /** Labels that the node must have, such as `runtime.kurator.dev/onnx: "1.20"`. */
      nodeLabels: Type.Optional(Type.Record(Type.String(), Type.String())),
      /** Least memory of the node. */
      memory: Type.Optional(Quantity),
    }),
  ),
  /** Where it is to lie ready before anything runs with it. */
  prestage: Type.Optional(
    Type.Object({
      /** Nodes by label; absent: every node that the release can run on. */
      nodeSelector: Type.Optional(LabelSelector),
      sites: Type.Optional(Type.Array(Type.String(), { maxItems: 256 })),
    }),
  ),
  /** True: is kept though nothing uses it and newer ones are there. */
  keep: Type.Optional(Type.Boolean()),
});
export type ReleaseSpec = Static<typeof ReleaseSpec>;

export const ReleaseStatus = Type.Object({
  /** Stored: every file is in the store. Signed: published trust metadata lists every file. Ready: both. */
  conditions: Type.Optional(Type.Array(Condition)),
  bytes: Type.Optional(Type.Integer()),
  /** What an update to it costs from each base that was asked for. */
  deltas: Type.Optional(
    Type.Array(Type.Object({ from: Type.String(), bytes: Type.Integer(), profile: Type.String() })),
  ),
  /** Nodes that hold it, instances that run with it, instances that rolled back from it. */
  heldBy: Type.Optional(Type.Integer()),
  active: Type.Optional(Type.Integer()),
  rolledBack: Type.Optional(Type.Integer()),
});
export type ReleaseStatus = Static<typeof ReleaseStatus>;

/** Name of the Release object of one version. */
export function releaseName(artifact: string, version: string): string {
  return `${artifact}-${version}`;
}
