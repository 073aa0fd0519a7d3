import { SNAPSHOT_BYTES_MAX, TIMESTAMP_BYTES_MAX } from "./limits.ts";
import { type Opened, openMetadata } from "./metadata.ts";
import { requireQuorum } from "./quorum.ts";
import { TrustError } from "./refusal.ts";
import {
  type Need,
  offered,
  reopenStored,
  requireFresh,
  requireNamedBytes,
  requireNamedVersion,
  requireNotOlder,
  topQuorum,
  type Walk,
} from "./walk.ts";

/** Takes `timestamp.json` (TUF 1.0.34 §5.4). One of the stored version is not looked at again: the stored one stays. */
export function takeTimestamp(walk: Walk, root: Opened<"root">): Opened<"timestamp"> | Need {
  const quorum = topQuorum(root, "timestamp");
  const stored = reopenStored(walk, "timestamp", "timestamp", quorum);
  const file = "timestamp.json";
  const bytes = offered(walk, { file, bytesMax: TIMESTAMP_BYTES_MAX });
  if (!(bytes instanceof Uint8Array)) return bytes;
  const fresh = openMetadata("timestamp", { subject: file, bytes }, walk.tools);
  requireQuorum(quorum, fresh);
  if (stored !== undefined) {
    requireNotOlder(file, fresh.signed.version, stored.signed.version);
    const seen = stored.signed.meta["snapshot.json"].version;
    requireNotOlder("snapshot in timestamp.json", fresh.signed.meta["snapshot.json"].version, seen);
  }
  const current =
    stored !== undefined && stored.signed.version === fresh.signed.version ? stored : fresh;
  requireFresh(walk, current);
  walk.trusted.set("timestamp", current.bytes);
  return current;
}

/** Takes the snapshot that the timestamp names (TUF 1.0.34 §5.5). */
export function takeSnapshot(
  walk: Walk,
  root: Opened<"root">,
  timestamp: Opened<"timestamp">,
): Opened<"snapshot"> | Need {
  const quorum = topQuorum(root, "snapshot");
  const named = timestamp.signed.meta["snapshot.json"];
  const stored = reopenStored(walk, "snapshot", "snapshot", quorum);
  const file = `${named.version}.snapshot.json`;
  const bytesMax = Math.min(named.length, SNAPSHOT_BYTES_MAX);
  const isStored = stored !== undefined && walk.tools.sha256(stored.bytes) === named.hashes.sha256;
  const bytes = isStored ? stored.bytes : offered(walk, { file, bytesMax });
  if (!(bytes instanceof Uint8Array)) return bytes;
  requireNamedBytes(walk, file, bytes, named);
  const snapshot = openMetadata("snapshot", { subject: file, bytes }, walk.tools);
  requireQuorum(quorum, snapshot);
  requireNamedVersion(file, snapshot.signed.version, named);
  if (stored !== undefined) requireNoneLost(stored, snapshot);
  requireFresh(walk, snapshot);
  walk.trusted.set("snapshot", bytes);
  return snapshot;
}

/** A file that was ever named stays named, and none goes back. */
function requireNoneLost(stored: Opened<"snapshot">, snapshot: Opened<"snapshot">): void {
  for (const [name, before] of Object.entries(stored.signed.meta)) {
    const now = Object.hasOwn(snapshot.signed.meta, name) ? snapshot.signed.meta[name] : undefined;
    if (now === undefined)
      throw new TrustError("metadata-rolled-back", {
        subject: snapshot.subject,
        message: `does not name ${name} any more`,
        mend: "Name every file that was ever named; a role is emptied, not left out.",
      });
    requireNotOlder(`${name} in ${snapshot.subject}`, now.version, before.version);
  }
}
