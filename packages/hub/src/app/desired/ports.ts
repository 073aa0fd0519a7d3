import type { NodeArtifactParts } from "../../domain/desired/compile.ts";

/** Signs desired states. */
export interface DesiredSigner {
  /** First 16 hexadecimal digits of the SHA-256 of the SPKI DER. */
  readonly keyId: string;
  /** SPKI PEM, handed to nodes at enrolment. */
  readonly publicKey: string;
  /** Base64 of the Ed25519 signature over DESIRED_SIGNATURE_CONTEXT + payload (UTF-8). */
  sign(payload: string): string;
}

/** Lower-case hexadecimal SHA-256 of the UTF-8 bytes of a text. */
export type Sha256 = (text: string) => string;

/** What nodes are told of artifacts beside those of their instances. */
export interface DesiredArtifacts {
  partsOf(nodeId: string): NodeArtifactParts;
  /** One listener: who compiles desired states. Called with the nodes for which it has changed. */
  onChange(listener: (nodes: readonly string[]) => void): void;
}
