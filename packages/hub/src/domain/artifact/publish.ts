import { must } from "@flotilla/shared/kernel/assert";
import { METADATA_VERSION_MAX } from "@flotilla/shared/trust/limits";
import { type Opened, openMetadata } from "@flotilla/shared/trust/metadata";
import type { SigningTools, TrustTools } from "@flotilla/shared/trust/ports";
import {
  fileNameOf,
  type SigningKey,
  signedFile,
  snapshotSigned,
  timestampSigned,
} from "@flotilla/shared/trust/publish";
import { TrustError } from "@flotilla/shared/trust/refusal";
import type { MetadataKind } from "@flotilla/shared/trust/shapes";
import type { TrustState } from "@flotilla/shared/trust/state";

/** What the hub publishes of trust metadata: which files go together, and the two that it signs itself. */

const DAY_MS = 86_400_000;
/** Life of a snapshot that the hub signs: 7 days. It is renewed at half of it. */
export const SNAPSHOT_LIFE_MS: number = 7 * DAY_MS;
/** Life of a timestamp that the hub signs: 1 day. It is renewed at half of it. */
export const TIMESTAMP_LIFE_MS: number = DAY_MS;

const VERSIONED = /^([1-9][0-9]{0,9})\.([a-z][a-z0-9-]{0,62})\.json$/;

/** A metadata file in one version. */
export interface VersionedFile {
  readonly version: number;
  readonly bytes: Uint8Array;
}

/** One publication: the root, and what timestamp and snapshot name. */
export interface Publication {
  readonly root: VersionedFile;
  readonly timestamp: Opened<"timestamp">;
  readonly snapshot: Opened<"snapshot">;
  /** `targets` and the delegated roles, by role. */
  readonly roles: ReadonlyMap<string, VersionedFile>;
}

/** Where published files are read from. */
export interface PublishedFiles {
  read(file: string): Uint8Array | undefined;
  list(): readonly string[];
}

/** Version of the newest file of a role; 0 where there is none. */
export function newestVersion(files: PublishedFiles, role: string): number {
  return files.list().reduce((newest, name) => {
    const [, version = "0", of] = VERSIONED.exec(name) ?? [];
    return of === role ? Math.max(newest, Number(version)) : newest;
  }, 0);
}

/** What is published: the timestamp leads. Undefined before the first publication. Throws TrustError where a file is damaged or gone. */
export function publicationOf(files: PublishedFiles, tools: TrustTools): Publication | undefined {
  const version = newestVersion(files, "root");
  const stamp = files.read("timestamp.json");
  if (version === 0 || stamp === undefined) return undefined;
  const root = { version, bytes: fileOf(files, fileNameOf("root", version)) };
  const timestamp = open("timestamp", "timestamp.json", stamp, tools);
  const named = timestamp.signed.meta["snapshot.json"];
  const name = fileNameOf("snapshot", named.version);
  const snapshot = open("snapshot", name, fileOf(files, name), tools);
  const roles = Object.entries(snapshot.signed.meta).map(([entry, meta]) => {
    const role = entry.replace(/\.json$/, "");
    const bytes = fileOf(files, fileNameOf(role, meta.version));
    return [role, { version: meta.version, bytes }] as const;
  });
  return { root, timestamp, snapshot, roles: new Map(roles) };
}

/** What a node knows that has seen everything that is published. */
export function stateOf({ root, timestamp, snapshot, roles }: Publication): TrustState {
  const trusted = new Map([
    ["root", root.bytes],
    ["timestamp", timestamp.bytes],
    ["snapshot", snapshot.bytes],
    ...[...roles].map(([role, file]) => [role, file.bytes] as const),
  ]);
  return { trusted, floorMs: 0, orderRevision: 0, installed: new Map() };
}

/** What of an upload is new. */
export interface Upload {
  /** By file name, in the order of their versions. */
  readonly roots: ReadonlyMap<string, Uint8Array>;
  /** The newest of each role that is above what is published. */
  readonly roles: ReadonlyMap<string, VersionedFile>;
  /** Names of files that change nothing: published already, older, or the hub's own to make. */
  readonly skipped: readonly string[];
}

/**
 * Sorts an upload: a whole repository may be sent every time. Throws TrustError `metadata-malformed` for a name that is none,
 * and `metadata-mixed` where a published name comes with other bytes.
 */
export function sortUpload(
  files: PublishedFiles,
  published: Publication | undefined,
  uploaded: ReadonlyMap<string, Uint8Array>,
): Upload {
  const roots: [number, string, Uint8Array][] = [];
  const roles = new Map<string, VersionedFile>();
  const skipped: string[] = [];
  for (const [name, bytes] of uploaded) {
    const [, number = "", role = ""] = VERSIONED.exec(name) ?? [];
    if (name !== "timestamp.json" && role === "") throw badName(name);
    const version = Number(number);
    const isOurs = name === "timestamp.json" || role === "snapshot" || role === "timestamp";
    if (isOurs || isKnown(files, published, { name, role, version, bytes })) skipped.push(name);
    else if (role === "root") roots.push([version, name, bytes]);
    else if (version > (roles.get(role)?.version ?? 0)) roles.set(role, { version, bytes });
  }
  roots.sort(([a], [b]) => a - b);
  return { roots: new Map(roots.map(([, name, bytes]) => [name, bytes])), roles, skipped };
}

/** True when the file changes nothing. Throws TrustError `metadata-mixed` when it would replace what nodes may have seen. */
function isKnown(
  files: PublishedFiles,
  published: Publication | undefined,
  file: { readonly name: string; readonly role: string } & VersionedFile,
): boolean {
  const stored = files.read(file.name);
  const isSame = stored !== undefined && sameBytes(stored, file.bytes);
  const current =
    file.role === "root"
      ? newestVersion(files, "root")
      : (published?.roles.get(file.role)?.version ?? 0);
  if (isSame) return file.version <= current;
  // What no snapshot names was left by a publication that was cut off: nobody has seen it.
  const isSeen = stored !== undefined && file.version <= current;
  if (isSeen)
    throw new TrustError("metadata-mixed", {
      subject: file.name,
      message: "published already with other bytes; a published version is never replaced",
      mend: "Sign the change as the next version.",
    });
  return file.version < current;
}

/** The two files that the hub signs, over these files of the other roles. */
export function signOnline(
  roles: ReadonlyMap<string, VersionedFile>,
  versions: { readonly snapshot: number; readonly timestamp: number },
  by: { readonly key: SigningKey; readonly nowMs: number; readonly tools: SigningTools },
): ReadonlyMap<string, Uint8Array> {
  const dated = { version: versions.snapshot, expiresMs: by.nowMs + SNAPSHOT_LIFE_MS };
  const signed = snapshotSigned(dated, roles, by.tools);
  const bytes = signedFile("snapshot", signed, [by.key], by.tools);
  return new Map([
    [fileNameOf("snapshot", versions.snapshot), bytes],
    [
      "timestamp.json",
      signTimestamp({ version: versions.snapshot, bytes }, versions.timestamp, by),
    ],
  ]);
}

/** A timestamp for a snapshot. */
export function signTimestamp(
  snapshot: VersionedFile,
  version: number,
  by: { readonly key: SigningKey; readonly nowMs: number; readonly tools: SigningTools },
): Uint8Array {
  const dated = { version, expiresMs: by.nowMs + TIMESTAMP_LIFE_MS };
  return signedFile("timestamp", timestampSigned(dated, snapshot, by.tools), [by.key], by.tools);
}

/**
 * The version after this one, and at least the minutes since 1970: a hub that was restored from a backup then signs above what
 * nodes have seen, without anybody's help.
 */
export function nextVersion(previous: number, nowMs: number): number {
  const byTime = Math.min(Math.floor(Math.max(nowMs, 0) / 60_000), METADATA_VERSION_MAX - 1);
  return Math.max(previous + 1, byTime);
}

/** What has to be signed anew: by half its life, or when the clock was wrong at its signing. */
export function dueOf(
  { timestamp, snapshot }: Publication,
  nowMs: number,
): "nothing" | "timestamp" | "both" {
  const isDue = (expiresMs: number, lifeMs: number): boolean =>
    expiresMs - nowMs < lifeMs / 2 || expiresMs - nowMs > lifeMs;
  if (isDue(snapshot.expiresMs, SNAPSHOT_LIFE_MS)) return "both";
  return isDue(timestamp.expiresMs, TIMESTAMP_LIFE_MS) ? "timestamp" : "nothing";
}

/** Throws TrustError `metadata-unsigned` unless the root lets this one key sign snapshots and timestamps. */
export function requireOurKey(root: VersionedFile, key: SigningKey, tools: TrustTools): void {
  const subject = fileNameOf("root", root.version);
  const { roles } = open("root", subject, root.bytes, tools).signed;
  const missing = (["snapshot", "timestamp"] as const).filter(
    (role) => !roles[role].keyids.includes(key.keyId) || roles[role].threshold > 1,
  );
  if (missing.length === 0) return;
  throw new TrustError("metadata-unsigned", {
    subject,
    message: `does not let the hub's key ${key.keyId} alone sign ${missing.join(" and ")}`,
    mend: `Make the repository with \`flotilla trust init --online-key hub.pub\`, or add hub.pub with \`flotilla trust rotate --role ${must(missing[0], "a role")}\`.`,
  });
}

function open<K extends MetadataKind>(
  kind: K,
  subject: string,
  bytes: Uint8Array,
  tools: TrustTools,
): Opened<K> {
  return openMetadata(kind, { subject, bytes }, tools);
}

function fileOf(files: PublishedFiles, name: string): Uint8Array {
  const bytes = files.read(name);
  if (bytes !== undefined) return bytes;
  throw new TrustError("metadata-missing", {
    subject: name,
    message: "is named by what is published, and is not there",
    mend: "Restore the file from the backup, or publish the whole repository anew.",
  });
}

function badName(name: string): TrustError {
  return new TrustError("metadata-malformed", {
    subject: name.slice(0, 128),
    message: "no name of a metadata file",
    mend: "Send files named as `flotilla trust` names them: 1.root.json, 3.targets.json, 7.releases.json.",
  });
}

/** Equal in every byte. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}
