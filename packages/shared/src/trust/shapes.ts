import { type Static, Type } from "typebox";
import {
  METADATA_VERSION_MAX,
  SNAPSHOT_FILES_MAX,
  TARGET_PATH_LENGTH_MAX,
  TARGETS_BYTES_MAX,
  TRUST_KEYS_MAX,
} from "./limits.ts";

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

export const Signatures = Type.Array(
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
