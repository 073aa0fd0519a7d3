import type { ObjectOf } from "@flotilla/shared/model/kinds";

/** What a certificate is to its node. */
export type CertificateUse =
  /** The one in use. */
  | "current"
  /** Renewed and not used yet. Until it is, the current one stays good: the answer to a renewal may have been lost. */
  | "next"
  | "superseded"
  | "revoked"
  | "unknown-node";

/** Judges a certificate, by its serial, against what the hub knows of the node. A node being deleted is revoked. */
export function certificateUse(
  node: ObjectOf<"EdgeNode"> | undefined,
  serial: string,
): CertificateUse {
  if (node === undefined) return "unknown-node";
  if (node.spec.revoked === true || node.metadata.deletionTimestamp !== undefined) return "revoked";
  if (serial === node.status?.certificateSerial) return "current";
  return serial === node.status?.nextCertificateSerial ? "next" : "superseded";
}

/** The node once its next certificate has been used: the one before it is refused from now on. */
export function withNextInUse(node: ObjectOf<"EdgeNode">): ObjectOf<"EdgeNode"> {
  const { nextCertificateSerial, ...status } = node.status ?? {};
  if (nextCertificateSerial === undefined) return node;
  return { ...node, status: { ...status, certificateSerial: nextCertificateSerial } };
}
