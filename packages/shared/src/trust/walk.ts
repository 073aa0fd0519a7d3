import { must } from "../kernel/assert.ts";
import { ISO_TIME_MS_MAX, isoTime } from "../kernel/iso-time.ts";
import { type Opened, openMetadata } from "./metadata.ts";
import type { TrustTools } from "./ports.ts";
import { type Quorum, signerCount } from "./quorum.ts";
import { TrustError } from "./refusal.ts";
import { type MetadataKind, type MetaFile } from "./shapes.ts";
import type { OfferedFiles, TrustState } from "./state.ts";

/** A file that has to be fetched before the walk can go on. */
export interface Need {
  readonly file: string;
  readonly bytesMax: number;
}

/** One decision under way. Lives within one call of `decide`. */
export interface Walk {
  readonly stored: TrustState;
  readonly files: OfferedFiles;
  readonly tools: TrustTools;
  /** Trusted time as it was given. */
  readonly givenMs: number | undefined;
  /** Trusted time, never less than the floor; the floor where there is none. */
  nowMs: number;
  /** As stored, until a root names other keys for the time. */
  floorMs: number;
  /** Files accepted so far. */
  readonly trusted: Map<string, Uint8Array>;
  /** The same, read. */
  readonly targets: Map<string, Opened<"targets">>;
}

/** The walk's start. Throws TrustError `clock-unusable`. */
export function startWalk(
  stored: TrustState,
  files: OfferedFiles,
  now: { readonly ms: number | undefined },
  tools: TrustTools,
): Walk {
  const ms = now.ms ?? stored.floorMs;
  if (!Number.isFinite(ms) || ms < 0 || ms > ISO_TIME_MS_MAX)
    throw new TrustError("clock-unusable", {
      subject: "trusted time",
      message: `${ms} is no time between 1970 and 9999`,
      mend: "Look at the clock of the hub, or of this machine.",
    });
  return {
    stored,
    files,
    tools,
    givenMs: now.ms,
    nowMs: Math.max(ms, stored.floorMs),
    floorMs: stored.floorMs,
    trusted: new Map(stored.trusted),
    targets: new Map(),
  };
}

/** The offered file; a Need when nobody has asked for it yet. Throws TrustError `metadata-missing`. */
export function offered(walk: Walk, need: Need): Uint8Array | Need {
  const file = walk.files.metadata.get(need.file);
  if (file === undefined) return need;
  if (file !== "absent") return file;
  throw new TrustError("metadata-missing", {
    subject: need.file,
    message: "the source has no such file",
    mend: "Publish it, or look for what keeps it from this node; what runs goes on running.",
  });
}

/** The trusted root; what is stored was verified when it came in. */
export function trustedRoot(walk: Walk): Opened<"root"> {
  const bytes = must(walk.trusted.get("root"), "a trust state without a root");
  return openMetadata("root", { subject: "trusted root", bytes }, walk.tools);
}

/** The keys that the trusted root names for a top-level role. */
export function topQuorum(
  root: Opened<"root">,
  role: "root" | "timestamp" | "snapshot" | "targets",
): Quorum {
  const { keys, roles, version } = root.signed;
  return { keys, role: roles[role], of: `root ${version}` };
}

/**
 * The stored file of a role, when it still counts: it can be read and today's keys have signed it. Else it is forgotten,
 * which is how a stolen key's high version numbers go away with the key (fast-forward).
 */
export function reopenStored<K extends MetadataKind>(
  walk: Walk,
  kind: K,
  role: string,
  quorum: Quorum,
): Opened<K> | undefined {
  const bytes = walk.trusted.get(role);
  if (bytes === undefined) return undefined;
  try {
    const file = openMetadata(kind, { subject: `stored ${role}`, bytes }, walk.tools);
    if (signerCount(quorum, file) >= quorum.role.threshold) return file;
  } catch (error) {
    if (!(error instanceof TrustError)) throw error;
  }
  walk.trusted.delete(role);
  return undefined;
}

/** Throws TrustError `metadata-expired`. At the second that it names a file has expired. */
export function requireFresh(walk: Walk, file: Opened<MetadataKind>): void {
  if (walk.nowMs < file.expiresMs) return;
  throw new TrustError("metadata-expired", {
    subject: file.subject,
    message: `expired at ${file.signed.expires}, it is ${isoTime(walk.nowMs)}`,
    mend: "Sign and publish a new version. Nothing new is installed until then; what is installed goes on running.",
  });
}

/** Throws TrustError `metadata-rolled-back` when the version is below the one seen before. */
export function requireNotOlder(subject: string, version: number, seen: number): void {
  if (version >= seen) return;
  throw new TrustError("metadata-rolled-back", {
    subject,
    message: `version ${version}, and ${seen} was accepted before`,
    mend: "Publish a version above the accepted one; if it is published, the source replays an old copy.",
  });
}

/** Length and digest of a file as another, signed file says. Throws `metadata-too-large` or `metadata-mixed`. */
export function requireNamedBytes(
  walk: Walk,
  subject: string,
  bytes: Uint8Array,
  named: MetaFile,
): void {
  if (bytes.byteLength > named.length)
    throw new TrustError("metadata-too-large", {
      subject,
      message: `${bytes.byteLength} bytes, ${named.length} are signed for`,
      mend: "The source sends more than was published; use another, or publish anew.",
    });
  if (walk.tools.sha256(bytes) !== named.hashes.sha256) throw mixed(subject, "another digest");
}

/** The version inside, when it is the one that was named. Throws TrustError `metadata-mixed`. */
export function requireNamedVersion(subject: string, version: number, named: MetaFile): void {
  if (version !== named.version)
    throw mixed(subject, `version ${version} instead of ${named.version}`);
}

function mixed(subject: string, message: string): TrustError {
  return new TrustError("metadata-mixed", {
    subject,
    message: `${message} than the signed file that names it; files of two publications do not go together`,
    mend: "Copy one publication whole, newest timestamp last.",
  });
}
