import type { Opened } from "./metadata.ts";
import { TrustError } from "./refusal.ts";
import type { MetadataKind, RoleKeys, TrustKey } from "./shapes.ts";

/** The keys of a delegator, and which of them speak for one role. */
export interface Quorum {
  readonly keys: Readonly<Record<string, TrustKey>>;
  readonly role: RoleKeys;
  /** For messages: `root 4`, `targets`. */
  readonly of: string;
}

/** How many different public keys of the quorum have signed. One key counts once, whatever ids it is listed under. */
export function signerCount(quorum: Quorum, file: Opened<MetadataKind>): number {
  const signers = new Set<string>();
  for (const keyId of quorum.role.keyids) {
    const key = Object.hasOwn(quorum.keys, keyId) ? quorum.keys[keyId] : undefined;
    if (key === undefined || signers.has(key.keyval.public)) continue;
    if (file.signatures.isSignedBy(keyId, key)) signers.add(key.keyval.public);
  }
  return signers.size;
}

/** Throws TrustError `metadata-unsigned` when fewer keys have signed than the threshold. */
export function requireQuorum(quorum: Quorum, file: Opened<MetadataKind>): void {
  const count = signerCount(quorum, file);
  const { threshold } = quorum.role;
  if (count >= threshold) return;
  throw new TrustError("metadata-unsigned", {
    subject: file.subject,
    message: `signed by ${count} of the ${threshold} keys that ${quorum.of} asks for`,
    mend: "If you publish it: `flotilla trust sign` with the missing keys. Else do not trust where it came from.",
  });
}
