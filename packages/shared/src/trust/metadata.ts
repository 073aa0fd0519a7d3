import { type Static, type TSchema, Type } from "typebox";
import { Check, Errors } from "typebox/value";
import { parseIsoTimeMs } from "../kernel/iso-time.ts";
import type { Json } from "../kernel/json.ts";
import {
  METADATA_VERSION_MAX,
  ROOT_BYTES_MAX,
  SNAPSHOT_BYTES_MAX,
  SNAPSHOT_FILES_MAX,
  TARGET_PATH_LENGTH_MAX,
  TARGETS_BYTES_MAX,
  TIMESTAMP_BYTES_MAX,
  TRUST_KEYS_MAX,
} from "./limits.ts";
import type { SignedDocument, TrustTools } from "./ports.ts";
import { TrustError } from "./refusal.ts";
import { readStrictJson } from "./strict-json.ts";

/** The shapes of TUF 1.0.34 as far as we take them: Ed25519 only, paths instead of hash bins, consistent snapshots always. */

const HEX_32 = Type.String({ pattern: "^[0-9a-f]{64}$" });
const Version = Type.Integer({ minimum: 1, maximum: METADATA_VERSION_MAX });
const Common = {
  spec_version: Type.String({ pattern: "^1\\.[0-9]{1,4}(\\.[0-9]{1,4})?$" }),
  version: Version,
  /** To the second and in UTC, as TUF asks. */
  expires: Type.String({ pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$" }),
};

/** A public key. Lower-case hexadecimal and nothing else, so that one key has one spelling. */
export const TrustKey = Type.Object({
  keytype: Type.Literal("ed25519"),
  scheme: Type.Literal("ed25519"),
  keyval: Type.Object({ public: HEX_32 }),
});
export type TrustKey = Static<typeof TrustKey>;

const Keys = Type.Record(HEX_32, TrustKey, {
  maxProperties: TRUST_KEYS_MAX,
  additionalProperties: false,
});
const KeyIds = Type.Array(HEX_32, { minItems: 1, maxItems: TRUST_KEYS_MAX, uniqueItems: true });
const Threshold = Type.Integer({ minimum: 1, maximum: TRUST_KEYS_MAX });

/** Which keys speak for a role, and how many of them it takes. */
export const RoleKeys = Type.Object({ keyids: KeyIds, threshold: Threshold });
export type RoleKeys = Static<typeof RoleKeys>;

export const RootSigned = Type.Object({
  _type: Type.Literal("root"),
  ...Common,
  consistent_snapshot: Type.Literal(true),
  keys: Keys,
  roles: Type.Object({
    root: RoleKeys,
    timestamp: RoleKeys,
    snapshot: RoleKeys,
    targets: RoleKeys,
  }),
});
export type RootSigned = Static<typeof RootSigned>;

const MetaFile = Type.Object({
  version: Version,
  length: Type.Integer({ minimum: 1, maximum: TARGETS_BYTES_MAX }),
  hashes: Type.Object({ sha256: HEX_32 }),
});
export type MetaFile = Static<typeof MetaFile>;

export const TimestampSigned = Type.Object({
  _type: Type.Literal("timestamp"),
  ...Common,
  meta: Type.Object({ "snapshot.json": MetaFile }, { additionalProperties: false }),
});
export type TimestampSigned = Static<typeof TimestampSigned>;

const ROLE_NAME = "[a-z][a-z0-9-]{0,62}";

export const SnapshotSigned = Type.Object({
  _type: Type.Literal("snapshot"),
  ...Common,
  meta: Type.Record(Type.String({ pattern: `^${ROLE_NAME}\\.json$` }), MetaFile, {
    maxProperties: SNAPSHOT_FILES_MAX,
    additionalProperties: false,
  }),
});
export type SnapshotSigned = Static<typeof SnapshotSigned>;

/** Path of a target: segments that begin with no dot, so that it leads nowhere but down. */
export const TARGET_PATH_PATTERN =
  "^[A-Za-z0-9_][A-Za-z0-9._+-]*(?:/[A-Za-z0-9_][A-Za-z0-9._+-]*)*$";
const PATH_PATTERN_PATTERN =
  "^[A-Za-z0-9_*?][A-Za-z0-9._+*?-]*(?:/[A-Za-z0-9_*?][A-Za-z0-9._+*?-]*)*$";

/** What Flotilla says of a target beyond TUF, in `custom`. */
export const TargetCustom = Type.Object({
  /** Artifact that the file belongs to. */
  artifact: Type.String({ pattern: "^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$" }),
  /** Grows with every release of the artifact. Files of one artifact and one counter are one release. */
  releaseCounter: Type.Integer({ minimum: 1, maximum: METADATA_VERSION_MAX }),
  /** Semantic version, for people. */
  version: Type.Optional(Type.String({ maxLength: 64 })),
  /** Hardware that the file is for; absent: any. */
  hardwareIds: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { minItems: 1, maxItems: 64 }),
  ),
  /** Signed rollback rule: a node that has had this release may go back to releases from this counter on. Absent: to none. */
  rollbackTo: Type.Optional(Type.Integer({ minimum: 1, maximum: METADATA_VERSION_MAX })),
  /** The file is a delta to a file of the release and no part of it. */
  isDelta: Type.Optional(Type.Boolean()),
});
export type TargetCustom = Static<typeof TargetCustom>;

export const TargetEntry = Type.Object({
  length: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  hashes: Type.Object({ sha256: HEX_32 }),
  custom: TargetCustom,
});
export type TargetEntry = Static<typeof TargetEntry>;

export const Delegation = Type.Object({
  name: Type.String({ pattern: `^${ROLE_NAME}$` }),
  keyids: KeyIds,
  threshold: Threshold,
  terminating: Type.Boolean(),
  paths: Type.Array(
    Type.String({ pattern: PATH_PATTERN_PATTERN, maxLength: TARGET_PATH_LENGTH_MAX }),
    {
      minItems: 1,
      maxItems: 64,
    },
  ),
  path_hash_prefixes: Type.Optional(Type.Never()),
});
export type Delegation = Static<typeof Delegation>;

export const TargetsSigned = Type.Object({
  _type: Type.Literal("targets"),
  ...Common,
  targets: Type.Record(
    Type.String({ pattern: TARGET_PATH_PATTERN, maxLength: TARGET_PATH_LENGTH_MAX }),
    TargetEntry,
    { additionalProperties: false },
  ),
  delegations: Type.Optional(
    Type.Object({
      keys: Keys,
      roles: Type.Array(Delegation, { maxItems: SNAPSHOT_FILES_MAX }),
      succinct_roles: Type.Optional(Type.Never()),
    }),
  ),
});
export type TargetsSigned = Static<typeof TargetsSigned>;

const Signatures = Type.Array(
  Type.Object({ keyid: HEX_32, sig: Type.String({ pattern: "^[0-9a-f]{128}$" }) }),
  { maxItems: TRUST_KEYS_MAX },
);

/** The four kinds of files; every delegated role is of the kind `targets`. */
export type MetadataKind = "root" | "timestamp" | "snapshot" | "targets";

/** The signed part of each kind. */
export interface SignedOf {
  readonly root: RootSigned;
  readonly timestamp: TimestampSigned;
  readonly snapshot: SnapshotSigned;
  readonly targets: TargetsSigned;
}

const SCHEMAS: { readonly [K in MetadataKind]: TSchema } = {
  root: RootSigned,
  timestamp: TimestampSigned,
  snapshot: SnapshotSigned,
  targets: TargetsSigned,
};

/** Largest file of each kind that is read, in bytes. */
export const BYTES_MAX_OF: Readonly<Record<MetadataKind, number>> = {
  root: ROOT_BYTES_MAX,
  timestamp: TIMESTAMP_BYTES_MAX,
  snapshot: SNAPSHOT_BYTES_MAX,
  targets: TARGETS_BYTES_MAX,
};

/** Names that mean something else than a delegated role. */
export const TOP_LEVEL_ROLES: readonly string[] = ["root", "timestamp", "snapshot", "targets"];

/** A file that was read; nothing says yet that anybody has signed it. */
export interface Opened<K extends MetadataKind> {
  /** File name, for messages. */
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly signed: SignedOf[K];
  readonly expiresMs: number;
  readonly signatures: SignedDocument;
}

/**
 * Bytes → a file of this kind. Size, JSON and shape are judged, in this order, before any signature is looked at.
 * Throws TrustError `metadata-too-large`, `metadata-malformed` or `key-duplicated`.
 */
export function openMetadata<K extends MetadataKind>(
  kind: K,
  file: { readonly subject: string; readonly bytes: Uint8Array },
  tools: TrustTools,
): Opened<K> {
  const document = readStrictJson(file.subject, file.bytes, BYTES_MAX_OF[kind]);
  const shape = Type.Object({ signed: SCHEMAS[kind], signatures: Signatures });
  if (!Check(shape, document)) throw malformed(file.subject, firstError(shape, document));
  const { signed, signatures } = document as unknown as {
    readonly signed: SignedOf[K];
    readonly signatures: Static<typeof Signatures>;
  };
  const expiresMs = parseIsoTimeMs(signed.expires);
  if (expiresMs === undefined) throw malformed(file.subject, "/signed/expires is no time");
  if (new Set(signatures.map((s) => s.keyid)).size !== signatures.length)
    throw malformed(file.subject, "/signatures name a key twice");
  if (signed._type === "targets") checkDelegations(file.subject, signed);
  checkKeys(file.subject, signed, tools);
  const opened = tools.openSignatures(kind, document as Json);
  if (typeof opened === "string") throw malformed(file.subject, opened);
  return { ...file, signed, expiresMs, signatures: opened };
}

function checkDelegations(subject: string, { delegations }: TargetsSigned): void {
  const names = delegations?.roles.map((role) => role.name) ?? [];
  const taken = names.find(
    (name, i) => TOP_LEVEL_ROLES.includes(name) || names.indexOf(name) !== i,
  );
  if (taken !== undefined)
    throw malformed(subject, `/signed/delegations/roles: the name ${taken} is taken`);
}

/**
 * A key id is the SHA-256 of the key, and a public key stands once: else one holder could be counted as two. Points of small
 * order, and spellings beyond the field, are keys for which anybody can sign.
 */
function checkKeys(subject: string, signed: SignedOf[MetadataKind], tools: TrustTools): void {
  const keys =
    signed._type === "root"
      ? signed.keys
      : signed._type === "targets"
        ? (signed.delegations?.keys ?? {})
        : {};
  const seen = new Map<string, string>();
  for (const [id, key] of Object.entries(keys)) {
    const twin = seen.get(key.keyval.public);
    if (twin !== undefined)
      throw new TrustError("key-duplicated", {
        subject,
        message: `keys ${twin} and ${id} are the same public key`,
        mend: "Sign a version in which every key stands once; whoever made this one wanted to be counted twice.",
      });
    seen.set(key.keyval.public, id);
    if (isWeakPoint(key.keyval.public))
      throw malformed(subject, `key ${id} is no sound Ed25519 key`);
    if (tools.keyIdOf(key) !== id)
      throw malformed(subject, `key ${id} is not named by its SHA-256`);
  }
}

/** Little-endian y of the points of order 1, 2, 4 and 8 (Bernstein and others, "Ed25519"), sign bit cleared. */
const SMALL_ORDER_Y: ReadonlySet<string> = new Set([
  `00${"00".repeat(31)}`,
  `01${"00".repeat(31)}`,
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  `ec${"ff".repeat(30)}7f`,
]);

function isWeakPoint(publicHex: string): boolean {
  const top = Number.parseInt(publicHex.slice(62), 16) & 0x7f;
  const y = publicHex.slice(0, 62) + top.toString(16).padStart(2, "0");
  const isBeyondField = /^(?:ed|ee|ef|f[0-9a-f])(?:ff){30}7f$/.test(y);
  return isBeyondField || SMALL_ORDER_Y.has(y);
}

function firstError(schema: TSchema, value: unknown): string {
  const error = Errors(schema, value)[0];
  return error === undefined ? "of another form" : `${error.instancePath || "/"} ${error.message}`;
}

function malformed(subject: string, message: string): TrustError {
  return new TrustError("metadata-malformed", {
    subject,
    message,
    mend: "Correct the named field and sign again, or get the file again from the publisher.",
  });
}
