import { type Static, Type } from "typebox";
import { Sha256Hex } from "../../model/artifact.ts";

/** How can this node get a file that it was asked to have? Answered by `artifact-offer` with `replyTo`. */
export const ArtifactGet = Type.Object({
  /** SHA-256 of the file. */
  target: Sha256Hex,
  /** Files that the node has and that a delta may begin from, likeliest first. */
  bases: Type.Array(Sha256Hex, { maxItems: 16 }),
  /** Memory that the node can spare for a patch, bytes above the agent's own. */
  memoryBytes: Type.Integer({ minimum: 0 }),
  /** An instance cannot run without it: the hub answers with what is ready, and makes nobody wait for a smaller way. */
  isUrgent: Type.Boolean(),
  /** Manifests (by SHA-256) that failed here: something else, please. */
  failed: Type.Array(Sha256Hex, { maxItems: 16 }),
});
export type ArtifactGet = Static<typeof ArtifactGet>;
