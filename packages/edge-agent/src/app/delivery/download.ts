/** One file on its way to this node: takes an offer, carries its steps out, and keeps in the table how far it is. */

import { startsOfBlocks } from "@flotilla/shared/delta/decode";
import type { Digests } from "@flotilla/shared/delta/digest";
import { type DeltaManifest, payloadLengthOf, readManifest } from "@flotilla/shared/delta/envelope";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, hasCode, messageOf } from "@flotilla/shared/kernel/errors";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { ArtifactOffer } from "@flotilla/shared/protocol/down/artifact-offer";
import {
  currentStep,
  failedManifests,
  isFailed,
  newTransfer,
  stepTransfer,
  type Transfer,
  type TransferEvent,
  type TransferStep,
} from "../../domain/delivery/transfer.ts";
import type { ArtifactLink, LocalBlobs, PatchWorker } from "../artifact/ports.ts";
import type { Bandwidth } from "./bandwidth.ts";
import { Crowd, type CrowdDeps } from "./crowd.ts";
import type { HubRoute } from "./hub-route.ts";
import { checkedOffer, hasDigest, hexOf, offerRefused } from "./offer-check.ts";
import { OfferQuestion } from "./offer-question.ts";
import { PayloadReader, piecesOf, rightBytes } from "./payload-reader.ts";
import type {
  ByteSourceErrorCode,
  DeliveryErrorCode,
  KeptPayload,
  ManifestVerifier,
  PayloadShelf,
  TransferTable,
} from "./ports.ts";

/** Offers that one try takes: each that fails for good is followed by another. */
export const OFFERS_MAX = 8;
/**
 * After so long in a step the hub is asked again who else has or wants the file: when a release is new, the first to ask learn of few
 * others.
 */
export const PEERS_ASKED_AFTER_MS: readonly number[] = [5_000, 15_000, 40_000];

export interface DownloadOptions {
  readonly ownNode: string;
  /** Memory that a patch may take. */
  readonly memoryBytes: number;
  /** Payloads are kept for other nodes. */
  readonly keepsPayloads: boolean;
}

export interface DownloadDeps extends Omit<CrowdDeps, "clock"> {
  readonly link: ArtifactLink;
  readonly route: HubRoute;
  readonly shelf: PayloadShelf;
  readonly blobs: LocalBlobs;
  readonly patches: PatchWorker;
  readonly transfers: TransferTable;
  readonly verifier: ManifestVerifier;
  readonly digests: Digests;
  readonly bandwidth: Bandwidth;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface DownloadRequest {
  readonly sha256: string;
  readonly lengthBytes: number;
  readonly bases: readonly string[];
  /** Asked before each question: an instance may come to wait for it meanwhile. */
  readonly isUrgent: () => boolean;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  /** Resolves when this download may go on: called before each question and each piece. */
  readonly gate: (signal: AbortSignal) => Promise<void>;
  /** It has nothing to do for a while: others may go on until its next `gate`. */
  readonly pause: () => void;
  readonly signal: AbortSignal;
}

/** Runs once. */
export class Download {
  readonly #options: DownloadOptions;
  readonly #deps: DownloadDeps;
  readonly #request: DownloadRequest;
  readonly #question: OfferQuestion;
  #transfer: Transfer;
  /** Manifests that came within offers, by their digest. */
  readonly #inline = new Map<string, Uint8Array>();
  #receivedBytes = 0;

  constructor(options: DownloadOptions, deps: DownloadDeps, request: DownloadRequest) {
    this.#options = options;
    this.#deps = deps;
    this.#request = request;
    this.#transfer = deps.transfers.get(request.sha256) ?? newTransfer(request.sha256);
    this.#question = new OfferQuestion(options, deps, {
      ...request,
      failed: () => failedManifests(this.#transfer),
    });
  }

  /** Resolves, with the bytes that came in this try, when the store has the file. Rejects with a CodedError. */
  async run(): Promise<{ readonly transferredBytes: number }> {
    let lastError: CodedError | undefined;
    if (this.#transfer.phase === "applying") await this.#refreshOffer();
    for (let offers = 0; offers < OFFERS_MAX; ) {
      if (this.#transfer.phase === "complete") {
        if (this.#deps.blobs.has(this.#request.sha256)) return this.#done();
        this.#apply({ kind: "withdrawn" });
      }
      if (this.#transfer.phase === "asking") {
        offers += 1;
        await this.#takeOffer(lastError);
        continue;
      }
      lastError = (await this.#carryOut()) ?? lastError;
    }
    throw lastError ?? offerRefused(this.#request.sha256, "no offer of the hub led to it");
  }

  #done(): { readonly transferredBytes: number } {
    const { metrics, transfers } = this.#deps;
    const savedBytes = this.#request.lengthBytes - this.#transfer.transferredBytes;
    if (savedBytes > 0) metrics.count("flotilla_agent_artifact_saved_bytes_total", {}, savedBytes);
    transfers.remove(this.#request.sha256);
    return { transferredBytes: this.#receivedBytes };
  }

  /** News of peers for a transfer that goes on. Without the hub it goes on with what it knows. */
  async #refreshOffer(): Promise<void> {
    const { gate, signal } = this.#request;
    await gate(signal);
    try {
      const offer = await this.#question.ask(signal);
      if (offer.status === "ready") this.#apply(this.#offered(offer));
    } catch (error) {
      signal.throwIfAborted();
      const { sha256 } = this.#request;
      this.#deps.log.info({ sha256, reason: messageOf(error) }, "a download goes on as it was");
    }
  }

  /** `cause`: what failed before, for the case that the hub has nothing else. */
  async #takeOffer(cause: CodedError | undefined): Promise<void> {
    const offer = await this.#question.answer();
    const event = this.#offered(offer);
    const again = event.steps.find((step) => isFailed(this.#transfer, step.manifestSha256));
    if (again !== undefined)
      throw new CodedError<DeliveryErrorCode>(
        "artifact-apply-failed",
        `${this.#request.sha256}: every way that the hub offers has failed here${cause === undefined ? "" : `: ${cause.message}`}`,
        {
          fields: { sha256: this.#request.sha256, manifest: again.manifestSha256 },
          mend: "Look at the agent's log; `flotilla-agent retry` tries again. If other nodes have it too, publish the release anew.",
          cause,
        },
      );
    this.#apply(event);
  }

  #offered(offer: ArtifactOffer): Extract<TransferEvent, { readonly kind: "offered" }> {
    const { event, manifests } = checkedOffer(offer, this.#request.sha256, this.#deps);
    for (const [sha256, bytes] of manifests) this.#inline.set(sha256, bytes);
    return event;
  }

  /** Carries out the present step. Returns what failed, when something else can be tried; rejects when not. */
  async #carryOut(): Promise<CodedError | undefined> {
    const step = currentStep(this.#transfer);
    if (step === undefined) return undefined;
    try {
      const { manifest, bytes } = await this.#manifestOf(step);
      await this.#applyStep(step, manifest, bytes);
      await this.#deps.blobs.complete(step.makes, manifest.target.size);
      this.#deps.blobs.touch(step.makes);
      this.#apply({ kind: "step-done" });
      return undefined;
    } catch (error) {
      return this.#afterFailure(step, error);
    }
  }

  async #manifestOf(step: TransferStep): Promise<{ manifest: DeltaManifest; bytes: Uint8Array }> {
    const { shelf } = this.#deps;
    const { manifestSha256 } = step;
    const kept = await shelf.manifest(manifestSha256);
    const bytes = kept ?? this.#inline.get(manifestSha256) ?? (await this.#fetchManifest(step));
    const manifest = readManifest(bytes);
    const isStep =
      hexOf(manifest.target.sha256) === step.makes &&
      (manifest.base && hexOf(manifest.base.sha256)) === step.base &&
      payloadLengthOf(manifest) === step.payloadLength &&
      (step.makes !== this.#request.sha256 || manifest.target.size === this.#request.lengthBytes);
    if (!isStep)
      throw offerRefused(this.#request.sha256, `manifest ${manifestSha256} is of another file`);
    if (kept === undefined) await shelf.keepManifest(manifestSha256, bytes);
    return { manifest, bytes };
  }

  async #fetchManifest({ manifestSha256, manifestLength }: TransferStep): Promise<Uint8Array> {
    const { gate, signal } = this.#request;
    await gate(signal);
    const path = `manifests/${manifestSha256}`;
    const bytes = await this.#deps.route.readWhole({ path, bytesMax: manifestLength, signal });
    // Neither is the manifest's fault: it is right when it comes right.
    if (bytes === "absent") throw sourceFailed("source-absent", path, "the hub has it no more");
    if (!hasDigest(bytes, manifestSha256, this.#deps.digests))
      throw sourceFailed("source-misbehaves", path, "what came is not what was signed");
    return bytes;
  }

  async #applyStep(step: TransferStep, manifest: DeltaManifest, bytes: Uint8Array): Promise<void> {
    const { blobs, patches } = this.#deps;
    const { signal } = this.#request;
    const targetPath = blobs.partPathOf(step.makes);
    const path = `payloads/${step.manifestSha256}`;
    const kept = await this.#makeRoom(step, manifest);
    const { ownNode } = this.#options;
    const crowd = new Crowd({ path, ownNode, peers: this.#transfer.peers }, this.#deps);
    const reader = this.#reader({ path, manifest }, crowd, kept);
    const over = new AbortController();
    const learning = this.#learnOfPeers(crowd, AbortSignal.any([signal, over.signal]));
    try {
      await patches.apply(
        {
          manifest: bytes,
          basePath: step.base === undefined ? undefined : blobs.pathOf(step.base),
          targetPath,
          firstBlock: this.#transfer.nextBlock,
          readPayload: (offset, length) => reader.read(offset, length),
          onBlock: (next) => this.#apply({ kind: "block", next }),
        },
        signal,
      );
    } catch (error) {
      // A source that fails is the cause, however it came back through the worker.
      throw reader.failure ?? error;
    } finally {
      over.abort();
      await reader.close();
      await learning;
    }
  }

  /** Never rejects: without news the crowd stays as it is. */
  async #learnOfPeers(crowd: Crowd, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    // Who serves nobody is no part of a crowd that grows.
    if (!this.#options.keepsPayloads) return;
    const startMs = clock.bootMs();
    for (const afterMs of PEERS_ASKED_AFTER_MS) {
      try {
        await clock.sleep(startMs + afterMs - clock.bootMs(), signal);
        const { peers = [], status } = await this.#question.ask(signal);
        if (status === "ready") crowd.learn(peers);
      } catch (error) {
        if (signal.aborted) return;
        log.debug({ reason: messageOf(error) }, "the hub could not be asked for peers");
      }
    }
  }

  #reader(
    of: { readonly path: string; readonly manifest: DeltaManifest },
    crowd: Crowd,
    kept: KeptPayload | undefined,
  ): PayloadReader {
    const { path, manifest } = of;
    const progress = this.#progress(manifest);
    const onReceived = (bytes: number): void => {
      this.#receivedBytes += bytes;
      this.#transfer = stepTransfer(this.#transfer, { kind: "received", bytes });
      progress(bytes);
    };
    return new PayloadReader(
      { path, manifest },
      { ...this.#deps, crowd, kept, gate: this.#request.gate, onReceived },
      this.#request.signal,
    );
  }

  /** Tells how far the bytes of all steps are. */
  #progress(manifest: DeltaManifest): (bytes: number) => void {
    const { steps, stepIndex, nextBlock } = this.#transfer;
    const sum = (of: readonly TransferStep[]): number =>
      of.reduce((total, step) => total + step.payloadLength, 0);
    const before = { ...manifest, blocks: manifest.blocks.slice(0, nextBlock) };
    let doneBytes = sum(steps.slice(0, stepIndex)) + (nextBlock > 0 ? payloadLengthOf(before) : 0);
    const totalBytes = sum(steps);
    return (bytes) => {
      doneBytes = Math.min(totalBytes, doneBytes + bytes);
      this.#request.onProgress(doneBytes, totalBytes);
    };
  }

  /** Room for the target, and for its payload when that can be had: then it is kept. Throws `disk-reserve`. */
  async #makeRoom(step: TransferStep, manifest: DeltaManifest): Promise<KeptPayload | undefined> {
    const { blobs, shelf, digests } = this.#deps;
    const done = startsOfBlocks(manifest)[this.#transfer.nextBlock] ?? 0;
    const neededBytes = manifest.target.size - done;
    const withPayload = neededBytes + step.payloadLength;
    if (this.#options.keepsPayloads && (await this.#isFree(withPayload))) {
      const pieces = piecesOf(`payloads/${step.manifestSha256}`, manifest);
      const payload = { manifestSha256: step.manifestSha256, lengthBytes: step.payloadLength };
      try {
        return await shelf.open(payload, (availableBytes, read) =>
          rightBytes(pieces, { availableBytes, read }, digests),
        );
      } catch (error) {
        this.#deps.log.warn({ reason: messageOf(error) }, "a payload is not kept for others");
      }
    }
    if (await this.#isFree(neededBytes)) return undefined;
    throw new CodedError<DeliveryErrorCode>(
      "disk-reserve",
      `${neededBytes} bytes are needed for ${this.#request.sha256}, ${Math.max(0, blobs.freeBytes())} are free beyond the reserve`,
      {
        fields: { sha256: this.#request.sha256, neededBytes },
        mend: "Free space on the node's disk, or lower diskReserveBytes.",
      },
    );
  }

  async #isFree(bytes: number): Promise<boolean> {
    const { blobs, shelf } = this.#deps;
    const missing = bytes - blobs.freeBytes();
    if (missing > 0) await shelf.release(missing);
    return blobs.freeBytes() >= bytes || blobs.makeRoom(bytes);
  }

  /** Returns the error when the transfer can go on some other way; throws it when not. */
  async #afterFailure(step: TransferStep, error: unknown): Promise<CodedError> {
    const { blobs, log, metrics, shelf } = this.#deps;
    this.#request.signal.throwIfAborted();
    if (!(error instanceof CodedError)) throw error;
    const { sha256 } = this.#request;
    if (hasCode(error, "disk-full")) {
      // What others can do without goes at once: the agent and the workloads come first.
      blobs.removePart(step.makes);
      this.#apply({ kind: "part-removed" });
      await shelf.release(Number.POSITIVE_INFINITY);
      throw error;
    }
    if (hasCode(error, "source-absent")) {
      log.info({ sha256, manifest: step.manifestSha256 }, "an offer is withdrawn; asking again");
      this.#apply({ kind: "withdrawn" });
      return error;
    }
    if (!isApplyFailure(error)) throw error;
    metrics.count("flotilla_agent_artifact_applies_failed_total", { code: error.code });
    log.warn({ sha256, manifest: step.manifestSha256, error: error.message }, "a step failed");
    if (hasCode(error, "delta-wrong-base") && step.base !== undefined)
      await blobs.verify(step.base);
    blobs.removePart(step.makes);
    this.#apply({ kind: "apply-failed", isFinal: FINAL.includes(error.code) });
    return error;
  }

  #apply(event: TransferEvent): void {
    this.#transfer = stepTransfer(this.#transfer, event);
    this.#deps.transfers.put(this.#transfer);
  }
}

/** The step's own failures; others are the disk's, the network's, or the hub's. */
const APPLY_FAILURES: readonly string[] = [
  "delta-corrupt",
  "delta-unsupported",
  "delta-wrong-base",
  "blob-altered",
  "patch-failed",
  "artifact-offer-refused",
];
/** Another try would give the same. */
const FINAL: readonly string[] = [
  "delta-unsupported",
  "delta-wrong-base",
  "artifact-offer-refused",
];

function isApplyFailure(error: CodedError): boolean {
  return APPLY_FAILURES.includes(error.code);
}

function sourceFailed(
  code: ByteSourceErrorCode,
  path: string,
  what: string,
): CodedError<ByteSourceErrorCode> {
  return new CodedError(code, `${path}: ${what}`, {
    fields: { path },
    mend: "It is asked for again by itself.",
  });
}
