import type { WeightsProfile } from "@flotilla/shared/delta/weights/element-coder";
import type { ArtifactFormat } from "@flotilla/shared/model/resources/artifact";

/** Contents of artifacts on disk, each once, under its SHA-256. What is in it is complete and verified. */
export interface BlobStore {
  /** Bytes of a content; undefined when it is not there. */
  sizeOf(sha256: string): number | undefined;
  /** Where a worker finds it. Asserts that it is there. */
  pathOf(sha256: string): string;
  /** Every content with when it came, for garbage collection. */
  list(): readonly StoredBlob[];
  /** No error when it is gone already. */
  remove(sha256: string): void;
  readonly usedBytes: number;
  readonly quotaBytes: number;
  /** Called after a content has become complete. */
  onStored(listener: (sha256: string) => void): void;
}

export interface StoredBlob {
  readonly sha256: string;
  readonly bytes: number;
  readonly storedWallMs: number;
}

/** Trust metadata files as nodes fetch them: `5.root.json`, `timestamp.json`, … */
export interface MetadataStore {
  /** Undefined when there is none. */
  read(file: string): Uint8Array | undefined;
  list(): readonly string[];
  /** Writes all of them durably, `timestamp.json` last, so that a reader never meets a name without its file. */
  publish(files: ReadonlyMap<string, Uint8Array>): void;
}

/** Manifests and payloads that nodes can fetch, under the SHA-256 of the manifest. */
export interface PayloadStore {
  /** Undefined: not there, or not whole. */
  manifest(manifestSha256: string): Uint8Array | undefined;
  payloadBytes(manifestSha256: string): number | undefined;
  /** Folder in which a worker writes a payload before it is adopted. */
  readonly workDir: string;
  /** Takes a finished payload over, durably; returns the manifest's SHA-256. */
  adopt(manifest: Uint8Array, payloadPath: string): string;
  remove(manifestSha256: string): void;
  list(): readonly { readonly manifestSha256: string; readonly bytes: number }[];
}

/** Makes one delta, or one full file where there is no base, away from the event loop. */
export interface DeltaEncoder {
  /** Rejects with a CodedError when the worker fails or `signal` is aborted; leaves nothing behind then. */
  encode(request: EncodeRequest, signal: AbortSignal): Promise<EncodedDelta>;
}

export interface EncodeRequest {
  readonly basePath?: string;
  readonly targetPath: string;
  readonly format: ArtifactFormat;
  /** For layouts that are described by another file of the release (tfjs' model.json): its path, and the base's. */
  readonly layoutPath?: string;
  readonly baseLayoutPath?: string;
  readonly fileName: string;
  readonly profile: WeightsProfile;
  /** Where the payload is written. */
  readonly payloadPath: string;
}

export interface EncodedDelta {
  readonly manifest: Uint8Array;
  readonly payloadBytes: number;
  /** Most memory that the decoder needs above the runtime. */
  readonly decoderMemoryBytes: number;
  readonly codecs: readonly string[];
}
