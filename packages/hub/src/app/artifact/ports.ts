import type { ArtifactFormat } from "@flotilla/shared/model/resources/artifact";
import type { TrustKey } from "@flotilla/shared/trust/shapes";
import type { DeltaProfile } from "../../domain/artifact/choice.ts";
import type { Arrival } from "../../domain/artifact/incoming.ts";
import type { ServedPath } from "../../domain/artifact/served-path.ts";

/** Contents of artifacts on disk, each once, under its SHA-256. What is in it is complete and verified. */
export interface BlobStore {
  /** Bytes of a content; undefined when it is not there. */
  sizeOf(sha256: string): number | undefined;
  /** Where a worker finds it; `pin` it meanwhile. Asserts that it is there. */
  pathOf(sha256: string): string;
  /**
   * Keeps these contents from garbage collection until the returned function is called, those too that are not there (yet).
   * For who makes a delta of them.
   */
  pin(sha256s: readonly string[]): () => void;
  /** Every content with when it came, for garbage collection. */
  list(): readonly StoredBlob[];
  /** Gone for `sizeOf` at once, on disk when it resolves. False: pinned, or it came or was asked for after `unlessSinceWallMs`. No error when it is gone already. */
  remove(sha256: string, unlessSinceWallMs?: number): Promise<boolean>;
  /** Contents and what open uploads will need, bytes. */
  readonly usedBytes: number;
  readonly quotaBytes: number;
  /** Called after a content has become complete. Returns the unsubscriber. */
  onStored(listener: (sha256: string) => void): () => void;
}

export interface StoredBlob {
  readonly sha256: string;
  readonly bytes: number;
  /** When it came, or when somebody last wanted to upload it. */
  readonly storedWallMs: number;
}

/** Which contents are there: of BlobStore what the state of releases is told from. */
export type StoredContents = Pick<BlobStore, "sizeOf" | "onStored">;

/** What published trust metadata lists. The trust publisher knows. */
export interface SignedTargets {
  /** Whether it lists this file with this length and digest. */
  isSigned(target: string, length: number, sha256: string): boolean;
  /** Called after each publication. Returns the unsubscriber. */
  onPublished(listener: () => void): () => void;
}

/** Trust metadata files as nodes fetch them: `5.root.json`, `timestamp.json`, … */
export interface MetadataStore {
  /** Undefined when there is none. */
  read(file: string): Uint8Array | undefined;
  list(): readonly string[];
  /**
   * Writes all of them durably, `timestamp.json` last, so that a reader never meets a name without its file. One call at a time.
   * Rejects with a CodedError `disk-full` or `not-writable`; files before `timestamp.json` may then be there.
   */
  publish(files: ReadonlyMap<string, Uint8Array>): Promise<void>;
}

/** Manifests and payloads that nodes can fetch, under the SHA-256 of the manifest. A cache: what is not used for long goes when it is full. */
export interface PayloadStore {
  /** Undefined: not there, or not whole. */
  manifest(manifestSha256: string): Uint8Array | undefined;
  payloadBytes(manifestSha256: string): number | undefined;
  /** Folder in which a worker writes a payload before it is adopted; emptied at each start. */
  readonly workDir: string;
  /**
   * Takes a finished payload over, durably; resolves with the manifest's SHA-256. Makes room by removing those that were not
   * used for longest. Rejects with `artifact-cache-full` when it alone is too large, `disk-full` or `not-writable`; the payload
   * then is gone.
   */
  adopt(manifest: Uint8Array, payloadPath: string): Promise<string>;
  /** Gone for readers at once, on disk when it resolves. */
  remove(manifestSha256: string): Promise<void>;
  list(): readonly { readonly manifestSha256: string; readonly bytes: number }[];
  readonly usedBytes: number;
  readonly quotaBytes: number;
}

/** Codes of failures of the stores. */
export type ArtifactStoreErrorCode =
  /** The contents would take more than `artifactQuotaBytes`. */
  | "artifact-quota"
  /** A payload is larger than `artifactCacheBytes`. */
  | "artifact-cache-full";

/** Takes files of the hub's machine into the store of contents, away from the event loop. */
export interface FileTaker {
  /**
   * Stores what is in the file now, and says what that is. Rejects with a CodedError: `upload-too-long` above `bytesMax`,
   * `upload-altered` when it changes meanwhile, `artifact-quota`, `disk-full`, `artifact-server-died`.
   */
  take(
    path: string,
    bytesMax: number,
  ): Promise<{ readonly sha256: string; readonly length: number }>;
}

/** The folder that releases are put into: `NAME/VERSION/` with files and `release.json`. */
export interface IncomingFolder {
  /** Everything that lies there. Links are not followed; one is a fault. Rejects when the folder cannot be read. */
  look(): Promise<readonly ArrivedRelease[]>;
  /** Where a file of a release lies. */
  pathOf(arrived: ArrivedRelease, file: string): string;
  /** Moves the release to `done` or `failed`, beside the reason. */
  settle(
    arrived: ArrivedRelease,
    outcome: { readonly kind: "done" } | { readonly kind: "failed"; readonly reason: string },
  ): Promise<void>;
}

export interface ArrivedRelease extends Arrival {
  /** Another one after every change of anything in the folder. */
  readonly stamp: string;
}

/** Bytes of what nodes may fetch, read off the event loop. */
export interface ServedBytes {
  /** At most `length` bytes at `offset`, base64, and the length of the whole; undefined when there is nothing of that path. Rejects when it cannot be read. */
  read(
    path: ServedPath,
    offset: number,
    length: number,
  ): Promise<{ readonly data: string; readonly totalBytes: number } | undefined>;
}

/** Makes one delta, or one full file where there is no base, away from the event loop. */
export interface DeltaEncoder {
  /** How many it makes at a time; more wait. */
  readonly width: number;
  /**
   * Resolves when the payload lies at `payloadPath` and gives the target when it is decoded. Rejects with a CodedError of
   * DeltaEncoderErrorCode; leaves nothing behind then.
   */
  encode(request: EncodeRequest, signal: AbortSignal): Promise<EncodedDelta>;
}

export type DeltaEncoderErrorCode =
  /** The worker says why: a file that cannot be read, a full disk. */
  | "delta-not-made"
  /** The worker has ended: it ran out of memory, or was killed. */
  | "delta-worker-died"
  /** It took longer than the size of the files allows. */
  | "delta-timeout"
  /** The hub is stopping, or nobody wants it any more. */
  | "delta-cancelled";

export interface EncodeRequest {
  readonly basePath?: string;
  readonly targetPath: string;
  readonly format: ArtifactFormat;
  /** For layouts that are described by another file of the release (tfjs' model.json): its path, and the base's. */
  readonly layoutPath?: string;
  readonly baseLayoutPath?: string;
  readonly fileName: string;
  readonly profile: DeltaProfile;
  /** Where the payload is written; no file is there yet. */
  readonly payloadPath: string;
}

export interface EncodedDelta {
  readonly manifest: Uint8Array;
  /** What the files were, as they were read. */
  readonly baseSha256: string | undefined;
  readonly targetSha256: string;
  readonly payloadBytes: number;
  /** Most memory that the decoder needs above the runtime. */
  readonly decoderMemoryBytes: number;
  /** Bytes of the payload by the codec of its blocks; a copy map counts as `program`. */
  readonly codecBytes: Readonly<Record<string, number>>;
}

/** Where the index of deltas lies: one text, replaced whole and durably. Throws as files do. */
export interface DeltaIndexFile {
  read(): string | undefined;
  write(text: string): void;
}

/** Signs manifests of deltas, with the key that nodes keep since enrolment. */
export interface ManifestSigner {
  /** First 16 hexadecimal digits of the SHA-256 of the SPKI DER. */
  readonly keyId: string;
  /** Base64 of the Ed25519 signature over MANIFEST_SIGNATURE_CONTEXT + the manifest's SHA-256 in hexadecimal. */
  signManifest(manifestSha256: string): string;
}

/** What administrators ask about artifacts beyond the objects of the resource API. */
export interface ArtifactApi {
  status(): ArtifactStatusReport;
  /** Files of trust metadata by name. Rejects with TrustError where a node would refuse them; nothing is published then. */
  publish(files: ReadonlyMap<string, Uint8Array>): Promise<PublishReport>;
  /** What an update from one content to another costs. Has it made when it is not. */
  delta(from: string, to: string): DeltaReport;
}

export interface RoleReport {
  readonly role: string;
  readonly version: number;
  /** ISO 8601. */
  readonly expiresAt: string;
}

export interface ArtifactStatusReport {
  /** Where nodes fetch, `https://host:port`; absent while nothing listens. */
  readonly server?: string;
  /** Where administrators upload, `https://host:port`; absent while nothing listens. */
  readonly uploads?: string;
  /** Public half of the key that signs snapshots, timestamps and the time, as `hub.pub` has it. */
  readonly onlineKey: { readonly keyId: string; readonly key: TrustKey };
  readonly quotaBytes: number;
  readonly usedBytes: number;
  readonly cacheQuotaBytes: number;
  readonly cacheUsedBytes: number;
  /** What is published; empty before the first publication. */
  readonly trust: readonly RoleReport[];
}

export interface PublishReport {
  /** Files that were published, those among them that the hub signed. Empty: nothing was new. */
  readonly published: readonly string[];
  readonly skipped: readonly string[];
  readonly trust: readonly RoleReport[];
}

export interface DeltaReport {
  /** `unknown`: the hub does not have both contents. */
  readonly status: "ready" | "pending" | "unknown";
  readonly retryAfterMs?: number;
  /** Length of the file that is made. */
  readonly fileBytes?: number;
  /** What there is, the whole file first. */
  readonly ways: readonly {
    readonly kind: "full" | "delta";
    readonly profile: DeltaProfile;
    /** Manifest and payload. */
    readonly bytes: number;
    readonly memoryBytes: number;
    readonly codecs: readonly string[];
    /** Bytes of the payload by codec. */
    readonly codecBytes: Readonly<Record<string, number>>;
    /** False: it saves too little, or it failed on nodes. */
    readonly isOffered: boolean;
  }[];
}
