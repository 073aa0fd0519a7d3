import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import {
  bytesOf,
  type DeltaWork,
  isUseful,
  type MadeDelta,
  victimsOf,
  worthOf,
} from "../../domain/artifact/choice.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { Holders } from "./delta-service-holders.ts";
import { type DeltaIndex, type IndexedDelta, keyOf } from "./delta-service-index.ts";
import type { FileOfRelease, ReleaseFiles } from "./offers-files.ts";
import type {
  BlobStore,
  DeltaEncoder,
  EncodedDelta,
  EncodeRequest,
  PayloadStore,
} from "./ports.ts";

/** What could not be made is not tried again for so long: 5 min. */
export const DELTA_RETRY_MS = 300_000;
/** Most deltas that wait to be made; no more are taken in. */
export const DELTA_WAITING_MAX = 1_000;
/** A payload that was offered is not dropped for this long, for it is being fetched: an hour. */
const OFFERED_KEPT_MS = 3_600_000;
/** Longest manifest that a node takes. */
const MANIFEST_BYTES_MAX: number = 4 * 1024 * 1024;
/** Speed of encoding before anything is known of it, bytes of base and target per second. */
const ENCODE_BYTES_PER_SECOND_ASSUMED: number = 1024 * 1024;

/** Who wants it: a node that waits, or nobody yet. */
export type Urgency = "asked" | "ahead";

interface Job {
  readonly work: DeltaWork;
  readonly of: FileOfRelease;
  urgency: Urgency;
  startedBootMs: number | undefined;
  readonly done: Promise<void>;
  readonly finish: () => void;
}

interface Deps {
  readonly blobs: Pick<BlobStore, "sizeOf" | "pathOf" | "pin">;
  readonly payloads: PayloadStore;
  readonly encoder: DeltaEncoder;
  readonly index: DeltaIndex;
  readonly files: ReleaseFiles;
  readonly holders: Holders;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Makes deltas and whole files in the background and keeps them: each once, however many ask for it, those that a node waits for
 * first. When the cache is full it gives up what saves least, times how often it will be fetched.
 */
export class DeltaService implements Service {
  readonly name = "deltas";
  readonly #deps: Deps;
  readonly #jobs = new Map<string, Job>();
  readonly #failedBootMs = new Map<string, number>();
  readonly #offeredBootMs = new Map<string, number>();
  readonly #listeners = new Set<() => void>();
  #running = 0;
  /** By kind of work. */
  readonly #bytesPerSecond = new Map<string, number>();
  #fileCount = 0;
  #stop: AbortController | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Makes what was asked for, until the end; what is under way then is given up, and made when somebody asks again. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#deps.index.open();
    const stop = new AbortController();
    this.#stop = stop;
    this.#tell();
    this.#next();
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    stop.abort();
    await Promise.all([...this.#jobs.values()].filter(isStarted).map((job) => job.done));
    this.#stop = undefined;
  }

  /** Everything that can be offered. */
  made(): readonly IndexedDelta[] {
    return this.#deps.index.made();
  }

  /** What was made for this, also when it is not offered any more. */
  find(work: DeltaWork): ReturnType<DeltaIndex["find"]> {
    return this.#deps.index.find(work);
  }

  /** Sees to it that this is made. False when it is not: a content is missing, it failed a while ago, or too much waits. */
  want(work: DeltaWork, urgency: Urgency): boolean {
    const key = keyOf(work);
    const job = this.#jobs.get(key);
    if (job !== undefined) {
      if (urgency === "asked") job.urgency = urgency;
      return true;
    }
    const [of] = this.#deps.files.of(work.target);
    if (of === undefined || this.#isHopeless(work)) return false;
    if (this.#jobs.size >= DELTA_WAITING_MAX) return false;
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    this.#jobs.set(key, { work, of, urgency, startedBootMs: undefined, done, finish });
    this.#next();
    return true;
  }

  /** True when making this failed not long ago. */
  hasFailed(work: DeltaWork): boolean {
    const failedBootMs = this.#failedBootMs.get(keyOf(work));
    if (failedBootMs === undefined) return false;
    if (this.#deps.clock.bootMs() - failedBootMs < DELTA_RETRY_MS) return true;
    this.#failedBootMs.delete(keyOf(work));
    return false;
  }

  /** Milliseconds until this is made, as far as can be said; undefined when nobody makes it. */
  expectedMs(work: DeltaWork): number | undefined {
    const job = this.#jobs.get(keyOf(work));
    if (job === undefined) return undefined;
    const ahead = [...this.#jobs.values()].filter((j) => j !== job && isBefore(j, job));
    const aheadMs = ahead.reduce((sum, j) => sum + this.#leftMs(j), 0);
    const waitMs = job.startedBootMs === undefined ? aheadMs / this.#deps.encoder.width : 0;
    return waitMs + this.#leftMs(job);
  }

  /** Resolves when this is made or has failed, or at once when nobody makes it. */
  async settled(work: DeltaWork): Promise<void> {
    await this.#jobs.get(keyOf(work))?.done;
  }

  /** The manifest of something made, and that it is being fetched from now on; undefined when it is gone. */
  take(delta: MadeDelta): Uint8Array | undefined {
    const manifest = this.#deps.payloads.manifest(delta.manifestSha256);
    if (manifest === undefined) this.#deps.index.forget(delta);
    else this.#offeredBootMs.set(delta.manifestSha256, this.#deps.clock.bootMs());
    return manifest;
  }

  /** A node reports that a manifest failed there. What failed on FAILED_NODES_MAX nodes is not offered any more. */
  async noteFailure(manifestSha256: string, nodeId: string): Promise<void> {
    const { index, events, files, log } = this.#deps;
    for (const delta of index.noteFailure(manifestSha256, nodeId)) {
      // There has to be a whole file: it is made anew.
      await index.drop(delta, delta.base === undefined ? undefined : "failed");
      const what = delta.base === undefined ? "whole file" : `delta from ${short(delta.base)}`;
      log.warn({ manifest: manifestSha256, target: delta.target }, "a delta failed on many nodes");
      for (const { release, file } of files.of(delta.target).slice(0, 1))
        events.record({
          about: release,
          type: "Warning",
          reason: "DeltaWithdrawn",
          message: `${file.path}: the ${what} failed on several nodes, the last one ${nodeId}; it is not offered any more`,
        });
      this.#tell();
    }
  }

  /** Called after something was made or dropped. Returns the unsubscriber. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #isHopeless(work: DeltaWork): boolean {
    const { blobs, index } = this.#deps;
    const isMissing =
      blobs.sizeOf(work.target) === undefined ||
      (work.base !== undefined && blobs.sizeOf(work.base) === undefined);
    return isMissing || index.find(work) !== undefined || this.hasFailed(work);
  }

  #next(): void {
    const { encoder, metrics } = this.#deps;
    while (this.#stop?.signal.aborted === false && this.#running < encoder.width) {
      const waiting = [...this.#jobs.values()].filter((job) => !isStarted(job));
      const job = waiting.toSorted((a, b) => rankOf(a) - rankOf(b))[0];
      metrics.set("flotilla_hub_delta_jobs_waiting", Math.max(0, waiting.length - 1));
      if (job === undefined) return;
      void this.#make(job, this.#stop.signal);
    }
  }

  /** Never rejects. */
  async #make(job: Job, signal: AbortSignal): Promise<void> {
    const { clock, log, metrics } = this.#deps;
    const startedBootMs = clock.bootMs();
    job.startedBootMs = startedBootMs;
    this.#running++;
    let outcome = "made";
    try {
      await this.#encode(job, signal);
      const tookMs = Math.max(1, clock.bootMs() - startedBootMs);
      this.#learn(job, (this.#sizeOf(job.work) / tookMs) * 1_000);
      metrics.observe("flotilla_hub_delta_seconds", tookMs / 1_000);
    } catch (error) {
      outcome = signal.aborted ? "cancelled" : "failed";
      if (!signal.aborted) {
        this.#failedBootMs.set(keyOf(job.work), clock.bootMs());
        const { base, target, profile } = job.work;
        log.warn({ base, target, profile, error: messageOf(error) }, "a delta was not made");
      }
    }
    metrics.count("flotilla_hub_deltas_made_total", { outcome });
    this.#running--;
    this.#jobs.delete(keyOf(job.work));
    job.finish();
    this.#tell();
    this.#next();
  }

  async #encode({ work, of }: Job, signal: AbortSignal): Promise<void> {
    const { blobs, encoder, payloads } = this.#deps;
    const request = this.#requestOf(work, of);
    const unpin = blobs.pin([work.target, ...(work.base === undefined ? [] : [work.base])]);
    try {
      const made = await encoder.encode(request, signal);
      requireSame(work, made);
      const bytes = made.payloadBytes + made.manifest.byteLength;
      await this.#makeRoom(bytes);
      const manifestSha256 = await payloads.adopt(made.manifest, request.payloadPath);
      this.#failedBootMs.delete(keyOf(work));
      const delta: IndexedDelta = {
        ...work,
        manifestSha256,
        manifestBytes: made.manifest.byteLength,
        payloadBytes: made.payloadBytes,
        memoryBytes: made.decoderMemoryBytes,
        codecBytes: made.codecBytes,
      };
      this.#deps.index.add(delta);
      await this.#dropUseless(work.target);
    } finally {
      unpin();
    }
  }

  #requestOf(work: DeltaWork, of: FileOfRelease): EncodeRequest {
    const { blobs, files, payloads } = this.#deps;
    const pathOf = (sha256: string | undefined): string | undefined =>
      sha256 === undefined || blobs.sizeOf(sha256) === undefined ? undefined : blobs.pathOf(sha256);
    const baseOf = work.base === undefined ? undefined : files.of(work.base)[0];
    const layoutPath = pathOf(files.layoutOf(of));
    const baseLayoutPath = baseOf && pathOf(files.layoutOf(baseOf));
    const basePath = pathOf(work.base);
    return {
      ...(basePath === undefined ? {} : { basePath }),
      targetPath: blobs.pathOf(work.target),
      format: files.formatOf(of),
      ...(layoutPath === undefined ? {} : { layoutPath }),
      ...(baseLayoutPath === undefined ? {} : { baseLayoutPath }),
      fileName: of.file.path.slice(of.file.path.lastIndexOf("/") + 1),
      profile: work.profile,
      payloadPath: `${payloads.workDir}/delta-${this.#fileCount++}`,
    };
  }

  /** Deltas to this target that save too little, or that no node would take: remembered, so that they are not made again. */
  async #dropUseless(target: string): Promise<void> {
    const made = this.made().filter((d) => d.target === target);
    const fullBytes = Math.min(...made.filter((d) => d.base === undefined).map(bytesOf));
    for (const delta of made) {
      if (delta.base === undefined) continue;
      const isUseless =
        delta.manifestBytes > MANIFEST_BYTES_MAX || !isUseful(bytesOf(delta), fullBytes);
      if (isUseless) await this.#deps.index.drop(delta, "useless");
    }
  }

  async #makeRoom(bytes: number): Promise<void> {
    const { payloads, index, holders, blobs, clock, metrics } = this.#deps;
    const missing = payloads.usedBytes + bytes - payloads.quotaBytes;
    if (missing <= 0) return;
    const nowMs = clock.bootMs();
    for (const [sha256, offeredMs] of this.#offeredBootMs)
      if (nowMs - offeredMs >= OFFERED_KEPT_MS) this.#offeredBootMs.delete(sha256);
    const cached = this.made().map((delta) => ({
      delta,
      worth: worthOf(delta, {
        fullBytes: blobs.sizeOf(delta.target) ?? bytesOf(delta),
        expectedDownloads: holders.expectedDownloads(delta),
      }),
    }));
    for (const victim of victimsOf(cached, missing, new Set(this.#offeredBootMs.keys()))) {
      await index.drop(victim);
      metrics.count("flotilla_hub_deltas_evicted_total");
    }
  }

  #leftMs(job: Job): number {
    const wholeMs = (this.#sizeOf(job.work) / this.#speedOf(job)) * 1_000;
    const startedMs = job.startedBootMs;
    return startedMs === undefined
      ? wholeMs
      : Math.max(wholeMs / 10, wholeMs - (this.#deps.clock.bootMs() - startedMs));
  }

  #sizeOf({ base, target }: DeltaWork): number {
    const { blobs } = this.#deps;
    return (blobs.sizeOf(target) ?? 0) + (base === undefined ? 0 : (blobs.sizeOf(base) ?? 0));
  }

  #speedOf(job: Job): number {
    return this.#bytesPerSecond.get(this.#kindOf(job)) ?? ENCODE_BYTES_PER_SECOND_ASSUMED;
  }

  #learn(job: Job, bytesPerSecond: number): void {
    const known = this.#speedOf(job);
    const next = known + (Math.max(1_024, bytesPerSecond) - known) / 4;
    this.#bytesPerSecond.set(this.#kindOf(job), next);
  }

  /** Programs take a hundred times as long as weights, and what is not coded no time at all. */
  #kindOf({ work, of }: Job): string {
    const { base, profile } = work;
    return `${base === undefined ? "whole" : "delta"} ${profile} ${this.#deps.files.formatOf(of)}`;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function isStarted(job: Job): boolean {
  return job.startedBootMs !== undefined;
}

/** Whether a job is done before another that waits. */
function isBefore(a: Job, b: Job): boolean {
  return isStarted(a) || rankOf(a) < rankOf(b);
}

/** What nodes wait for comes first, and of that whole files, the quickest of them before the others: without one nothing is offered. */
function rankOf({ urgency, work }: Job): number {
  const part = work.profile === "plain" ? 0 : work.base === undefined ? 1 : 2;
  return (urgency === "asked" ? 0 : 3) + part;
}

/** What was read is what the store said it is: else a disk has altered it. */
function requireSame(work: DeltaWork, made: EncodedDelta): void {
  if (made.baseSha256 === work.base && made.targetSha256 === work.target) return;
  throw new CodedError("delta-not-made", "a content in the store is not what its name says", {
    fields: { target: work.target, found: made.targetSha256 },
    mend: "Upload the file again; look after the disk.",
  });
}

function short(sha256: string): string {
  return sha256.slice(0, 12);
}
