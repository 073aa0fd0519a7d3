import { ROOT_BYTES_MAX, ROOT_STEPS_MAX } from "./limits.ts";
import { type Opened, openMetadata } from "./metadata.ts";
import type { TrustTools } from "./ports.ts";
import { type Quorum, requireQuorum } from "./quorum.ts";
import { TrustError } from "./refusal.ts";
import { type Need, requireFresh, topQuorum, trustedRoot, type Walk } from "./walk.ts";

/**
 * Walks `N+1.root.json` until there is no next one (TUF 1.0.34 §5.3): each is signed by a threshold of the keys before it and
 * of its own. Only the last has to be fresh, so a node that was away for years finds its way.
 */
export function walkRoots(walk: Walk): Need | undefined {
  let root = trustedRoot(walk);
  for (let step = 0; ; step++) {
    const file = `${root.signed.version + 1}.root.json`;
    const bytes = walk.files.metadata.get(file);
    if (bytes === undefined) return { file, bytesMax: ROOT_BYTES_MAX };
    if (bytes === "absent") break;
    if (step === ROOT_STEPS_MAX) throw tooLong(file);
    const next = openMetadata("root", { subject: file, bytes }, walk.tools);
    requireNext(root, next);
    if (hasOtherKeys(root, next, "timestamp") || hasOtherKeys(root, next, "snapshot")) {
      walk.trusted.delete("timestamp");
      walk.trusted.delete("snapshot");
    }
    if (hasOtherKeys(root, next, "timestamp")) forgetTime(walk);
    walk.trusted.set("root", bytes);
    root = next;
  }
  requireFresh(walk, root);
  return undefined;
}

/** Throws unless `next` follows `root`: the next number, and signed by a threshold of both. */
export function requireNext(root: Opened<"root">, next: Opened<"root">): void {
  if (next.signed.version !== root.signed.version + 1)
    throw new TrustError("root-out-of-order", {
      subject: next.subject,
      message: `holds version ${next.signed.version}, ${root.signed.version + 1} comes next`,
      mend: "Publish every root under its own number; none may be left out or replaced.",
    });
  requireQuorum(topQuorum(root, "root"), next);
  requireQuorum(topQuorum(next, "root"), next);
}

/** A root to begin with, from the build or from enrolment: signed by its own threshold. Throws TrustError. */
export function openFirstRoot(bytes: Uint8Array, tools: TrustTools): Opened<"root"> {
  const root = openMetadata("root", { subject: "first root", bytes }, tools);
  requireQuorum(topQuorum(root, "root"), root);
  return root;
}

/**
 * Whether a root is a later one of the same owners: it has a higher version, and a threshold of the known root's keys signed it.
 * Such a root is walked to, not taken: what lies between may have changed keys.
 */
export function isLaterRoot(known: Uint8Array, root: Uint8Array, tools: TrustTools): boolean {
  try {
    const before = openMetadata("root", { subject: "known root", bytes: known }, tools);
    const later = openMetadata("root", { subject: "other root", bytes: root }, tools);
    requireQuorum(topQuorum(before, "root"), later);
    return later.signed.version > before.signed.version;
  } catch (error) {
    if (error instanceof TrustError) return false;
    throw error;
  }
}

/** TUF §5.3.11: with other keys for timestamp or snapshot, what the old ones have signed is forgotten. */
function hasOtherKeys(
  root: Opened<"root">,
  next: Opened<"root">,
  role: "timestamp" | "snapshot",
): boolean {
  return fingerprint(topQuorum(root, role)) !== fingerprint(topQuorum(next, role));
}

/**
 * The floor came from times that the old timestamp key attested. With that key its time goes too (Uptane: a rotated time key resets
 * the clock), else a thief could have set every clock years ahead, beyond what the owner signs now.
 */
function forgetTime(walk: Walk): void {
  walk.floorMs = 0;
  walk.nowMs = walk.givenMs ?? 0;
}

function fingerprint({ role }: Quorum): string {
  return `${role.threshold} of ${role.keyids.toSorted().join(" ")}`;
}

function tooLong(file: string): TrustError {
  return new TrustError("root-chain-too-long", {
    subject: file,
    message: `more than ${ROOT_STEPS_MAX} roots in one walk`,
    mend: "Nothing to do if they are real: the next try goes on from here.",
  });
}
