import { assert } from "../kernel/assert.ts";
import { isoTime } from "../kernel/iso-time.ts";
import { canonicalJson, type Json } from "../kernel/json.ts";
import type { SigningTools, TrustTools } from "./ports.ts";
import type {
  Delegation,
  MetadataKind,
  MetaFile,
  RoleKeys,
  RootSigned,
  SignedOf,
  SnapshotSigned,
  TargetEntry,
  TargetsSigned,
  TimestampSigned,
  TrustKey,
} from "./shapes.ts";

/** Version of TUF's specification that we write. */
const SPEC_VERSION = "1.0.34";

/** A signature as it stands in a file. */
export interface FileSignature {
  readonly keyid: string;
  readonly sig: string;
}

/** A key that signs: the public half, and what makes signatures with the other. */
export interface SigningKey {
  readonly keyId: string;
  readonly key: TrustKey;
  /** 64 bytes in lower-case hexadecimal. */
  readonly sign: (bytes: Uint8Array) => string;
}

/** Version and expiry, which every file has. */
export interface Dated {
  readonly version: number;
  readonly expiresMs: number;
}

/** Keys and threshold of one role, before they are written. */
export interface KeySet {
  readonly keys: readonly { readonly keyId: string; readonly key: TrustKey }[];
  readonly threshold: number;
}

/** A root's signed part. */
export function rootSigned(
  dated: Dated,
  roles: Readonly<Record<"root" | "targets" | "snapshot" | "timestamp", KeySet>>,
): RootSigned {
  const { root, targets, snapshot, timestamp } = roles;
  return {
    _type: "root",
    ...common(dated),
    consistent_snapshot: true,
    keys: keysOf([root, targets, snapshot, timestamp]),
    roles: {
      root: roleKeys(root),
      targets: roleKeys(targets),
      snapshot: roleKeys(snapshot),
      timestamp: roleKeys(timestamp),
    },
  };
}

/** A role that another one delegates paths to. */
export interface DelegatedRole extends KeySet {
  readonly name: string;
  readonly paths: readonly string[];
  readonly isTerminating: boolean;
}

/** Signed part of a targets role, delegated or not. */
export function targetsSigned(
  dated: Dated,
  targets: Readonly<Record<string, TargetEntry>>,
  delegated: readonly DelegatedRole[] = [],
): TargetsSigned {
  const roles = delegated.map(
    (role): Delegation => ({
      name: role.name,
      ...roleKeys(role),
      terminating: role.isTerminating,
      paths: [...role.paths],
    }),
  );
  return {
    _type: "targets",
    ...common(dated),
    targets,
    ...(roles.length === 0 ? {} : { delegations: { keys: keysOf(delegated), roles } }),
  };
}

/** A snapshot's signed part over the files of `targets` and all delegated roles, by role. */
export function snapshotSigned(
  dated: Dated,
  files: ReadonlyMap<string, { readonly version: number; readonly bytes: Uint8Array }>,
  tools: TrustTools,
): SnapshotSigned {
  const meta = [...files].map(([role, file]) => [`${role}.json`, metaFile(file, tools)] as const);
  return { _type: "snapshot", ...common(dated), meta: Object.fromEntries(meta) };
}

/** A timestamp's signed part. */
export function timestampSigned(
  dated: Dated,
  snapshot: { readonly version: number; readonly bytes: Uint8Array },
  tools: TrustTools,
): TimestampSigned {
  return {
    _type: "timestamp",
    ...common(dated),
    meta: { "snapshot.json": metaFile(snapshot, tools) },
  };
}

/** One more signature for a signed part. */
export function signatureOf<K extends MetadataKind>(
  kind: K,
  signed: SignedOf[K],
  key: SigningKey,
  tools: SigningTools,
): FileSignature {
  return { keyid: key.keyId, sig: key.sign(tools.bytesToSign(kind, signed as unknown as Json)) };
}

/** The bytes of a file: one text for one content. */
export function fileBytes(signed: unknown, signatures: readonly FileSignature[]): Uint8Array {
  return new TextEncoder().encode(`${canonicalJson({ signatures, signed })}\n`);
}

/** A file signed by these keys. */
export function signedFile<K extends MetadataKind>(
  kind: K,
  signed: SignedOf[K],
  keys: readonly SigningKey[],
  tools: SigningTools,
): Uint8Array {
  return fileBytes(
    signed,
    keys.map((key) => signatureOf(kind, signed, key, tools)),
  );
}

/** Name under which a version is published: consistent snapshots, and a timestamp that is always at the same place. */
export function fileNameOf(role: string, version: number): string {
  return role === "timestamp" ? "timestamp.json" : `${version}.${role}.json`;
}

function common({ version, expiresMs }: Dated): {
  spec_version: string;
  version: number;
  expires: string;
} {
  assert(Number.isFinite(expiresMs), "an expiry that is no time");
  return {
    spec_version: SPEC_VERSION,
    version,
    expires: isoTime(expiresMs).replace(/\.\d+Z$/, "Z"),
  };
}

function keysOf(sets: readonly KeySet[]): Record<string, TrustKey> {
  return Object.fromEntries(sets.flatMap((set) => set.keys.map(({ keyId, key }) => [keyId, key])));
}

function roleKeys({ keys, threshold }: KeySet): RoleKeys {
  return { keyids: keys.map((k) => k.keyId), threshold };
}

function metaFile(
  file: { readonly version: number; readonly bytes: Uint8Array },
  tools: TrustTools,
): MetaFile {
  return {
    version: file.version,
    length: file.bytes.byteLength,
    hashes: { sha256: tools.sha256(file.bytes) },
  };
}
