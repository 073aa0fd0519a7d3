import type { ReportedArtifacts } from "@flotilla/shared/model/artifact";
import type { DesiredState } from "@flotilla/shared/model/desired-state";
import type { ArtifactOffer } from "@flotilla/shared/protocol/down/artifact-offer";
import type { ArtifactGet } from "@flotilla/shared/protocol/up/artifact-get";
import type { TrustedTarget, TrustState } from "@flotilla/shared/trust/state";
import type { SlotName, SlotRecord } from "../../domain/artifact/slot-record.ts";
import type { LockFile } from "../../domain/artifact/update-lock.ts";

/** A place that bytes of the artifact server can be had from: the server itself, a peer, the MQTT link. */
export interface ByteSource {
  /** For logs, metrics and reports: `hub`, `link`, `peer NODE`. */
  readonly name: string;
  /**
   * Exactly these bytes. Rejects with a CodedError of ByteSourceErrorCode. Nothing that it answers is trusted: whoever asks
   * checks digests.
   */
  read(request: ByteRequest): Promise<Uint8Array>;
  /** A small thing whole, at most `bytesMax`; "absent" when the source has none of that name. */
  readWhole(request: {
    readonly path: string;
    readonly bytesMax: number;
    readonly signal: AbortSignal;
  }): Promise<Uint8Array | "absent">;
}

export interface ByteRequest {
  /** `payloads/<manifestSha256>`, `manifests/<sha256>`, `metadata/<file>`. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  readonly signal: AbortSignal;
}

export type ByteSourceErrorCode =
  /** No connection, or it broke. */
  | "source-unreachable"
  /** It does not have it. */
  | "source-absent"
  /** It will have it: a peer that is still fetching. */
  | "source-not-yet"
  /** It is asked too much by others: later again. */
  | "source-busy"
  /** It answers what it must not: 200 to a range, more or fewer bytes than were asked for, another file than before. */
  | "source-misbehaves"
  /** Below the least speed. */
  | "source-too-slow";

/** Asks the hub over the link. Rejects with `link-down` or `link-timeout` when there is no answer. */
export interface ArtifactLink {
  offer(request: ArtifactGet, signal: AbortSignal): Promise<ArtifactOffer>;
}

/** Whether a bundle may be installed: all artifacts of one instance, or one prestaged release. All of it or nothing. */
export type TrustVerdict =
  | {
      readonly kind: "accepted";
      /** By target path: every file of the bundle. */
      readonly install: ReadonlyMap<string, TrustedTarget>;
    }
  | {
      readonly kind: "refused";
      /** A TrustErrorCode. */
      readonly code: string;
      readonly subject: string;
      readonly message: string;
      readonly mend: string;
      /** Asking again sooner gives the same answer, unless the bundle is another. */
      readonly retryAfterMs: number;
    }
  /** Metadata could not be fetched: later again. Says nothing against the bundle. */
  | { readonly kind: "unknown"; readonly reason: string; readonly retryAfterMs: number };

/** What the trust gate is asked. */
export interface TrustQuestion {
  readonly state: DesiredState;
  /** Target paths of the files that an instance has now: what of its bundle does not change is not asked about again. */
  readonly active: (instanceId: string) => ReadonlySet<string>;
}

export interface TrustJudgement {
  /** By id: every instance that has artifacts. */
  readonly instances: ReadonlyMap<string, TrustVerdict>;
  /** By `releaseKey` (domain/artifact/trust-order.ts): every prestaged release. */
  readonly prestaged: ReadonlyMap<string, TrustVerdict>;
}

/** Judges what the hub wants by signed metadata. The only way by which a file becomes installable. */
export interface TrustGate {
  /**
   * Answers without network and time where everything is installed already, and from memory where it may. Rejects with the
   * signal's reason only.
   */
  judge(question: TrustQuestion, signal: AbortSignal): Promise<TrustJudgement>;
  /**
   * Writes receipts: from then on `mayRun` knows these files. To be called within the store's transaction that makes them
   * prepared, before anything is started with them.
   */
  prepared(targets: readonly TrustedTarget[]): void;
  /**
   * Raises the counters below which this node does not go back, and writes receipts that are missing. To be called within the
   * store's transaction that commits the release as good.
   */
  installed(targets: readonly TrustedTarget[]): void;
  /** Whether bytes on disk are those of a receipt: asked before something is started or gone back to. No time, no network. */
  mayRun(target: string, found: { readonly length: number; readonly sha256: string }): boolean;
  /** Drops the receipts of all other contents (SHA-256). Nothing has to be dropped; to be called when contents were removed. */
  keepReceipts(contents: ReadonlySet<string>): void;
  /** For the report to the hub; undefined before there is a root. */
  report(): ReportedTrust | undefined;
}

/** `trust` of what the node reports. */
export type ReportedTrust = NonNullable<ReportedArtifacts["trust"]>;

/** What the trust gate keeps over power cuts. Synchronous: each call is one durable transaction, or part of the caller's. */
export interface TrustStore {
  /** Undefined before there is a root, and when nothing of it can be read any more. */
  load(): StoredTrust | undefined;
  /** Begins with a root, and forgets files and counters of an earlier one. Receipts stay: what runs goes on running. */
  begin(state: TrustState): void;
  /** The root that was begun with; outlives the database, so that a hub is believed about the first root once only. */
  firstRoot(): Uint8Array | undefined;
  /** Writes what differs from what is stored, counters excepted. */
  save(state: TrustState): void;
  /** Newest release of each artifact that was ever installed here. */
  installed(): TrustState["installed"];
  /** Counters of releases; lower ones than the present change nothing. */
  raiseInstalled(targets: readonly TrustedTarget[]): void;
  /** What was written down of files under this path; more than one only when a path was released with other bytes. */
  receiptsOf(path: string): readonly StoredReceipt[];
  /** Paths of all receipts of one release. */
  pathsOf(artifact: string, releaseCounter: number): readonly string[];
  putReceipts(targets: readonly TrustedTarget[], installedAtMs: number): void;
  keepReceipts(contents: ReadonlySet<string>): void;
  /** Trusted time of the last alarm about what expires; 0 before the first. */
  alarmedMs(): number;
  setAlarmedMs(timeMs: number): void;
}

export interface StoredTrust {
  readonly state: TrustState;
  /** SHA-256 of every root that was ever accepted on the way to the present one. */
  readonly roots: ReadonlySet<string>;
}

export interface StoredReceipt {
  readonly target: TrustedTarget;
  readonly installedAtMs: number;
}

/** Makes files complete on this node. */
export interface BlobFetcher {
  /**
   * Resolves when the store has the content, verified. Goes on where an earlier call, or an earlier life of the agent, left off.
   * Rejects with a CodedError; what was fetched stays for the next try.
   */
  fetch(
    target: Pick<TrustedTarget, "sha256" | "length" | "path">,
    options: {
      /** An instance waits for it: windows do not apply. */
      readonly isUrgent: boolean;
      /** Contents here that a delta may begin from, likeliest first. */
      readonly bases: readonly string[];
      readonly onProgress: (doneBytes: number, totalBytes: number) => void;
      readonly signal: AbortSignal;
    },
  ): Promise<{ readonly transferredBytes: number }>;
}

/** Complete, verified contents on this node's disk, each once, under its SHA-256. */
export interface LocalBlobs {
  /** It is there and nobody has written to it since its digest was checked. Reads no content. */
  has(sha256: string): boolean;
  pathOf(sha256: string): string;
  /** Where a content is written until it is complete: same file system, survives a restart. */
  partPathOf(sha256: string): string;
  /**
   * Makes a part the content: checks length and digest, fsync, rename, fsync of the folder. Rejects with `blob-altered` and
   * removes the part when it is another content.
   */
  complete(sha256: string, length: number): Promise<void>;
  /** Reads the content and checks its digest again. What is not what its name says is removed, and the answer is false. */
  verify(sha256: string): Promise<boolean>;
  /** No error when it is not there. Slots that hold it keep their file. */
  remove(sha256: string): void;
  removePart(sha256: string): void;
  /** Counts as a use for the cache: what was used least recently goes first. */
  touch(sha256: string): void;
  /** Everything that is complete, the newest used first. */
  list(): readonly HeldBlob[];
  /** Bytes that may still be written before the reserve, or the quota of artifacts, is touched. */
  freeBytes(): number;
  /**
   * Removes what nothing needs, the least recently used first, until so many bytes may be written. False when there is not
   * enough to remove: then nothing was.
   */
  makeRoom(bytes: number): boolean;
}

export interface HeldBlob {
  readonly sha256: string;
  readonly lengthBytes: number;
  /** Wall clock of its last use. */
  readonly usedWallMs: number;
}

export type LocalBlobErrorCode =
  /** A content that is not what its name says: too long, too short, other bytes. */
  | "blob-altered"
  /** It was asked for and is not there. */
  | "blob-absent";

export type { SlotName, SlotRecord };

/**
 * What is durable about artifacts, in the agent's database: each method is one transaction unless it runs inside the store's
 * `transaction`. Reads are served from memory.
 */
export interface SlotStore {
  slots(): readonly SlotRecord[];
  putSlot(record: SlotRecord): void;
  /** No error when there is none. */
  deleteSlot(id: string): void;
  /** A small thing of the node itself, as JSON; undefined when it was never written, or cannot be read. */
  memo(key: MemoKey): unknown;
  putMemo(key: MemoKey, value: unknown): void;
}

/** `prestage`: what was fetched ahead and how it was used. `update-locks`: what an operator holds back. */
export type MemoKey = "prestage" | "update-locks";

/** One file of a slot. */
export interface SlotFile {
  /** Within the slot, `<pin.path>/<file.path>`: segments that begin with no dot. */
  readonly path: string;
  readonly sha256: string;
  readonly lengthBytes: number;
}

/** What lies in one half. `complete`: every file was there, durably, when it got its name. */
export type SlotContent =
  | { readonly kind: "absent" }
  | { readonly kind: "complete"; readonly files: readonly SlotFile[] };

export interface SlotInspection {
  /** Undefined before the first switch. */
  readonly current: SlotName | undefined;
  readonly a: SlotContent;
  readonly b: SlotContent;
}

export type SlotCheck =
  | { readonly kind: "intact" }
  /** `path` is missing, or has other bytes than it was made with; its content was taken out of the store too. */
  | { readonly kind: "altered"; readonly path: string }
  /** The slot is not there, or holds another set of files. */
  | { readonly kind: "absent" };

export type SlotErrorCode =
  /** A path that leads elsewhere, stands twice, or is a file and a folder at once. */
  | "slot-path-refused"
  /** The half that is asked to be made anew is the current one. */
  | "slot-in-use"
  /** The half that is to be switched to was never made whole. */
  | "slot-incomplete";

/**
 * Files of instances on disk. `slotKey` is the instance's id; what it is called on disk is the adapter's affair. At every instant,
 * also after a power cut, `current` leads to a half that was complete.
 */
export interface SlotDisk {
  /**
   * Makes a half: hard links to contents that LocalBlobs has, every folder durable, then its name. What was there before goes.
   * Nothing is done when it holds exactly these files already and they are intact. Rejects with `blob-absent`, `slot-path-refused`, `slot-in-use`, `disk-full`;
   * the current half is never touched.
   */
  prepare(slotKey: string, slot: SlotName, files: readonly SlotFile[]): Promise<void>;
  /** Points `current` to a complete half, durably when it returns. Quick, so that it can be called right before a start. */
  switchTo(slotKey: string, slot: SlotName): void;
  current(slotKey: string): SlotName | undefined;
  /** Folder that the workload gets as FLOTILLA_ARTIFACTS: leads to whatever half is current. */
  pathOf(slotKey: string): string;
  inspect(slotKey: string): SlotInspection;
  /**
   * Whether a half is exactly these files, with these bytes. Quick when nobody has written to them: only what changed since it
   * was checked is read.
   */
  intact(slotKey: string, slot: SlotName, files: readonly SlotFile[]): Promise<SlotCheck>;
  /**
   * Whether nobody has written to a half since its files were checked: for right before it is used, however long ago that was. Reads
   * no content; false also for one that `intact` would find right.
   */
  isUntouched(slotKey: string, slot: SlotName, files: readonly SlotFile[]): boolean;
  /** Removes the slots of every other instance, and what a crash has left half made. For the start. */
  sweep(keep: ReadonlySet<string>): void;
  /** Both halves and `current`. No error when there is nothing. */
  remove(slotKey: string): void;
}

/** Removes halves of slots on the disk. */
export interface HalfDisk {
  /** Nothing is done when it is the current one, or there is none. */
  discard(slotKey: string, slot: SlotName): void;
}

export type { LockFile };

/** Looks for the lock file of a workload. Never throws. */
export interface LockFileReader {
  /** `path` as the workload has it in FLOTILLA_UPDATE_LOCK; undefined: no such file. */
  read(path: string): LockFile | undefined;
}

/** Tells a workload over HTTP that its files are others now. Never throws. */
export interface ReloadPoster {
  /** A POST without a body, on the node's workload address. `ok`: it answered 2xx within RELOAD_TIMEOUT_MS. */
  post(
    to: { readonly port: number; readonly path: string },
    signal: AbortSignal,
  ): Promise<{ readonly ok: boolean; readonly message: string }>;
}

/** Longest wait for the answer to a reload. */
export const RELOAD_TIMEOUT_MS = 30_000;

/** Carries out one step of an offer in a worker: base and payload → part of the target. Resumes at a block. */
export interface PatchWorker {
  apply(
    request: {
      readonly manifest: Uint8Array;
      readonly basePath: string | undefined;
      readonly targetPath: string;
      readonly firstBlock: number;
      readonly readPayload: (offset: number, length: number) => Promise<Uint8Array>;
      /** The blocks before `next` are on disk. */
      readonly onBlock: (next: number) => void;
    },
    signal: AbortSignal,
  ): Promise<void>;
}
