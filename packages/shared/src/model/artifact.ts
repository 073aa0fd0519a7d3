import { type Static, Type } from "typebox";

/** What an artifact is to a component, to a node and in a report. An artifact is a named thing; a release is one version of it. */

/** Name of an artifact: a DNS subdomain of at most 63 characters, as it stands in paths of trust metadata. */
export const ARTIFACT_NAME_PATTERN = "^[a-z0-9](?:[-a-z0-9.]{0,61}[a-z0-9])?$";
/** Semantic version 2.0.0 in lower case and without build metadata, so that it can be part of an object's name. */
export const ARTIFACT_VERSION_PATTERN =
  "^(?:0|[1-9][0-9]{0,8})\\.(?:0|[1-9][0-9]{0,8})\\.(?:0|[1-9][0-9]{0,8})(?:-[0-9a-z-]+(?:\\.[0-9a-z-]+)*)?$";
/** Relative path: segments that begin with no dot, so that it leads nowhere but down. */
export const ARTIFACT_PATH_PATTERN =
  "^[A-Za-z0-9_][A-Za-z0-9._+-]*(?:/[A-Za-z0-9_][A-Za-z0-9._+-]*)*$";

/** Most artifacts of one component. */
export const COMPONENT_ARTIFACTS_MAX = 16;
/** Most files of one release. */
export const RELEASE_FILES_MAX = 256;
/** Most releases that a node is asked to hold ready for later. */
export const PRESTAGED_RELEASES_MAX = 64;
/** Most calendar windows of one site. */
export const DELIVERY_WINDOWS_MAX = 16;

const Name = Type.String({ pattern: ARTIFACT_NAME_PATTERN });
const Version = Type.String({ pattern: ARTIFACT_VERSION_PATTERN, maxLength: 64 });
const RelativePath = Type.String({ pattern: ARTIFACT_PATH_PATTERN, maxLength: 255 });
/** Lower-case hexadecimal SHA-256. */
export const Sha256Hex = Type.String({ pattern: "^[0-9a-f]{64}$" });
const Counter = Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 });

/** How a workload learns that its files are others now. */
export const ReloadKind = Type.Union([
  /** It is stopped, the files are switched, it is started. */
  Type.Literal("restart"),
  /** Files are switched under it, then it gets a signal. */
  Type.Literal("signal"),
  /** Files are switched under it, then it gets an HTTP POST, and must answer 2xx. */
  Type.Literal("http"),
  /** Files are switched under it; it looks for itself. */
  Type.Literal("none"),
]);
export type ReloadKind = Static<typeof ReloadKind>;

/** Signals that a reload may send. */
export const ReloadSignal = Type.Union([
  Type.Literal("SIGHUP"),
  Type.Literal("SIGUSR1"),
  Type.Literal("SIGUSR2"),
]);

const reloadFields = {
  /** With `signal`; default SIGHUP. */
  signal: Type.Optional(ReloadSignal),
  /** With `http`: where the POST goes, on the node's workload address. */
  http: Type.Optional(
    Type.Object({
      port: Type.Integer({ minimum: 1, maximum: 65_535 }),
      path: Type.String({ pattern: "^/", maxLength: 1_024 }),
    }),
  ),
} as const;

/** One file of a release. */
export const ReleaseFile = Type.Object({
  /** Where it lies within the release. */
  path: RelativePath,
  /** Its path in trust metadata, such as `models/detector/7/model.onnx`. */
  target: Type.String({ pattern: ARTIFACT_PATH_PATTERN, maxLength: 512 }),
  length: Type.Integer({ minimum: 0, maximum: 2 ** 36 }),
  sha256: Sha256Hex,
});
export type ReleaseFile = Static<typeof ReleaseFile>;

/** A release as a node gets it: everything that is needed to fetch and check it. */
const releaseFields = {
  name: Name,
  version: Version,
  counter: Counter,
  files: Type.Array(ReleaseFile, { minItems: 1, maxItems: RELEASE_FILES_MAX }),
} as const;

/** An artifact that an instance runs with. The files of all its artifacts are switched together. */
export const DesiredArtifact = Type.Object({
  ...releaseFields,
  /** Folder of the release under FLOTILLA_ARTIFACTS. */
  path: RelativePath,
  reload: ReloadKind,
  ...reloadFields,
  /** How long the instance has to be ready after the switch before the release counts as good. */
  healthWindowMs: Type.Integer({ minimum: 0, maximum: 86_400_000 }),
});
export type DesiredArtifact = Static<typeof DesiredArtifact>;

/** A release that is to lie ready on a node and that no instance of it runs with yet. */
export const PrestagedRelease = Type.Object(releaseFields);
export type PrestagedRelease = Static<typeof PrestagedRelease>;

/** When downloads of updates may run: from each time of `start` for so long. */
export const DeliveryWindow = Type.Object({
  /** Five fields of cron. */
  start: Type.String({ minLength: 9, maxLength: 128 }),
  durationMs: Type.Integer({ minimum: 60_000, maximum: 7 * 86_400_000 }),
  /** IANA name; absent: the device's. */
  timeZone: Type.Optional(Type.String({ maxLength: 64 })),
});
export type DeliveryWindow = Static<typeof DeliveryWindow>;

/** How a node gets bytes. Only in desired states that name artifacts. */
export const Delivery = Type.Object({
  /** The hub's artifact server, `https://host:port`. */
  server: Type.String({ pattern: "^https://", maxLength: 512 }),
  /** Absent: as fast as the link is. */
  bytesPerSecond: Type.Optional(Type.Integer({ minimum: 1_024 })),
  /** Absent: at any time. What an instance cannot start without is fetched at any time. */
  windows: Type.Optional(
    Type.Array(DeliveryWindow, { minItems: 1, maxItems: DELIVERY_WINDOWS_MAX }),
  ),
  /** The link costs by the byte: the smaller, slower delta profile is worth its time. */
  isMetered: Type.Optional(Type.Boolean()),
});
export type Delivery = Static<typeof Delivery>;

/** What a component asks for: `artifacts` of an Application. */
export const ArtifactPin = Type.Object({
  name: Name,
  version: Version,
  /** Folder of the release under FLOTILLA_ARTIFACTS; default: the artifact's name. */
  path: Type.Optional(RelativePath),
  /** Default restart. */
  reload: Type.Optional(ReloadKind),
  ...reloadFields,
  /** A duration; default ARTIFACT_HEALTH_WINDOW_MS_DEFAULT. */
  healthWindow: Type.Optional(Type.String()),
});
export type ArtifactPin = Static<typeof ArtifactPin>;

/** What `healthWindow` is when nobody says. */
export const ARTIFACT_HEALTH_WINDOW_MS_DEFAULT = 30_000;

/** How far the newest wanted release of an artifact is on an instance. */
export const ArtifactPhase = Type.Union([
  /** May it be installed? Metadata is being fetched or was refused. */
  Type.Literal("Checking"),
  Type.Literal("Downloading"),
  /** It lies ready; a lock, a window or another artifact holds the switch. */
  Type.Literal("Prepared"),
  /** Switched to; the health window runs. */
  Type.Literal("Trial"),
  Type.Literal("Active"),
  /** It failed its health window and the last good one is active again. */
  Type.Literal("RolledBack"),
  /** It cannot be installed; the last good one, if any, stays. */
  Type.Literal("Failed"),
]);
export type ArtifactPhase = Static<typeof ArtifactPhase>;

/** One artifact of an instance as the node reports it. */
export const ReportedArtifact = Type.Object({
  name: Name,
  /** Release that is wanted. */
  version: Version,
  phase: ArtifactPhase,
  /** Release that the instance has now; absent: none. */
  activeVersion: Type.Optional(Version),
  /** Whole percent of the bytes, while Downloading. */
  percent: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
  /** One word of docs/errors.md, when something is in the way. */
  reason: Type.Optional(Type.String({ maxLength: 64 })),
  message: Type.Optional(Type.String({ maxLength: 512 })),
});
export type ReportedArtifact = Static<typeof ReportedArtifact>;

/** What the node has of artifacts, beside its instances. */
export const ReportedArtifacts = Type.Object({
  /** Releases that lie complete and verified on the node, at most HELD_RELEASES_MAX, the newest used first. */
  held: Type.Array(Type.Object({ name: Name, counter: Counter }), { maxItems: 256 }),
  /** Bytes of all of them on the disk. */
  bytes: Type.Integer({ minimum: 0 }),
  /** Of what was fetched ahead of its need: releases that were then used, and the bytes they did not have to wait for. */
  prestageHits: Type.Optional(Type.Integer({ minimum: 0 })),
  prestageHitBytes: Type.Optional(Type.Integer({ minimum: 0 })),
  /** Where other nodes of the site reach this node's blocks; absent: it serves none. */
  peer: Type.Optional(
    Type.Object({
      host: Type.String({ maxLength: 253 }),
      port: Type.Integer({ minimum: 1, maximum: 65_535 }),
    }),
  ),
  /** The trust that this node goes by, as of its last look. */
  trust: Type.Optional(
    Type.Object({
      rootVersion: Type.Integer({ minimum: 0 }),
      /** When the first of the accepted files expires, ISO 8601. */
      expiresAt: Type.Optional(Type.String({ maxLength: 40 })),
      isAttested: Type.Boolean(),
      /** Code and sentence of the last refusal, while it stands. */
      refusal: Type.Optional(
        Type.Object({
          code: Type.String({ maxLength: 64 }),
          subject: Type.String({ maxLength: 512 }),
          message: Type.String({ maxLength: 512 }),
        }),
      ),
    }),
  ),
});
export type ReportedArtifacts = Static<typeof ReportedArtifacts>;
export const HELD_RELEASES_MAX = 256;
