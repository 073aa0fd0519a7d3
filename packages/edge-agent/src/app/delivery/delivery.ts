import { CodedError } from "@flotilla/shared/kernel/errors";
import type { Delivery } from "@flotilla/shared/model/artifact";
import { forgiven } from "../../domain/delivery/transfer.ts";
import type { BlobFetcher } from "../artifact/ports.ts";
import { Bandwidth, smallerLimit } from "./bandwidth.ts";
import { Download, type DownloadDeps, type DownloadOptions } from "./download.ts";
import { Lane, type Place } from "./lane.ts";
import type { Calendar } from "./ports.ts";
import { Windows } from "./windows.ts";

export interface ArtifactDeliveryOptions extends DownloadOptions {
  /** This node's own limit; the smaller one of this and the site's holds. Absent: none. */
  readonly bytesPerSecond?: number | undefined;
}

export interface ArtifactDeliveryDeps extends Omit<DownloadDeps, "bandwidth"> {
  readonly calendar: Calendar;
  /** Of the desired state that was accepted last. */
  readonly delivery: () => Delivery | undefined;
}

type FetchTarget = Parameters<BlobFetcher["fetch"]>[0];
type FetchOptions = Parameters<BlobFetcher["fetch"]>[1];
type Fetched = Awaited<ReturnType<BlobFetcher["fetch"]>>;

/** A file that is fetched, for whoever waits for it. */
interface Job {
  readonly callers: Set<FetchOptions>;
  readonly result: Promise<Fetched>;
  /** Nobody waits any more. */
  readonly stop: AbortController;
  /** It has become urgent. */
  readonly hurry: AbortController;
}

/**
 * Brings files to this node: one at a time, urgent ones first; within the site's windows, the others; below the limits of bandwidth;
 * from the site's nodes where they have it. What came stays over restarts.
 */
export class ArtifactDelivery implements BlobFetcher {
  readonly #options: ArtifactDeliveryOptions;
  readonly #deps: ArtifactDeliveryDeps;
  readonly #jobs = new Map<string, Job>();
  readonly #lane = new Lane();
  readonly #bandwidth: Bandwidth;
  readonly #windows: Windows;

  constructor(options: ArtifactDeliveryOptions, deps: ArtifactDeliveryDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#bandwidth = new Bandwidth({ bytesPerSecond: options.bytesPerSecond }, deps);
    this.#windows = new Windows(deps);
  }

  async fetch(target: FetchTarget, options: FetchOptions): Promise<Fetched> {
    options.signal.throwIfAborted();
    if (this.#deps.blobs.has(target.sha256)) return { transferredBytes: 0 };
    const job = await this.#jobOf(target, options);
    job.callers.add(options);
    if (options.isUrgent) job.hurry.abort();
    const left = Promise.withResolvers<never>();
    const onAbort = (): void => left.reject(options.signal.reason);
    options.signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([job.result, left.promise]);
    } finally {
      options.signal.removeEventListener("abort", onAbort);
      job.callers.delete(options);
      if (job.callers.size === 0) job.stop.abort(new Error("nobody waits for it any more"));
    }
  }

  /**
   * Contents that transfers go on with, and what they begin from: parts and bases that must stay. Holds what an earlier life of the
   * agent began too.
   */
  needed(): ReadonlySet<string> {
    const steps = this.#deps.transfers.all().flatMap((transfer) => transfer.steps);
    return new Set(
      steps.flatMap(({ makes, base }) => (base === undefined ? [makes] : [makes, base])),
    );
  }

  /** Lets go of what came of files that nobody wants any more. What is under way stays. */
  forget(isWanted: (sha256: string) => boolean): void {
    const { blobs, transfers } = this.#deps;
    for (const { target, steps } of transfers.all()) {
      if (isWanted(target) || this.#jobs.has(target)) continue;
      transfers.remove(target);
      for (const { makes } of steps) blobs.removePart(makes);
    }
  }

  /** What failed here is tried again, as a node does whose memory or disk was bad. What is under way is left alone. */
  forgive(): void {
    const { transfers } = this.#deps;
    for (const transfer of transfers.all()) {
      const after = forgiven(transfer);
      if (after !== transfer && !this.#jobs.has(transfer.target)) transfers.put(after);
    }
  }

  /** One that is being stopped, for nobody waited any more, comes to its end first: two would write to one part. */
  async #jobOf(target: FetchTarget, options: FetchOptions): Promise<Job> {
    for (;;) {
      const job = this.#jobs.get(target.sha256);
      if (job === undefined) return this.#begin(target, options);
      if (!job.stop.signal.aborted) return job;
      await job.result.catch(() => undefined);
      options.signal.throwIfAborted();
    }
  }

  #begin(target: FetchTarget, options: FetchOptions): Job {
    const { sha256 } = target;
    const callers = new Set([options]);
    const stop = new AbortController();
    const hurry = new AbortController();
    const job: Job = { callers, stop, hurry, result: this.#run(target, { callers, stop, hurry }) };
    const forget = (): void => void this.#jobs.delete(sha256);
    job.result.then(forget, forget);
    this.#jobs.set(sha256, job);
    return job;
  }

  async #run(target: FetchTarget, job: Omit<Job, "result">): Promise<Fetched> {
    const { sha256, length } = target;
    const { metrics, log } = this.#deps;
    const { signal } = job.stop;
    const isUrgent = (): boolean => [...job.callers].some((caller) => caller.isUrgent);
    const place = this.#lane.place(isUrgent);
    try {
      const download = new Download(
        this.#options,
        { ...this.#deps, bandwidth: this.#bandwidth },
        {
          sha256,
          lengthBytes: length,
          bases: [...new Set([...job.callers].flatMap((caller) => caller.bases))],
          isUrgent,
          onProgress: (doneBytes, totalBytes) => {
            for (const caller of job.callers) caller.onProgress(doneBytes, totalBytes);
          },
          gate: (until) => this.#gate(place, job, until),
          pause: () => place.leave(),
          signal,
        },
      );
      const fetched = await download.run();
      metrics.count("flotilla_agent_artifact_transfers_total", { outcome: "done" });
      log.info(
        { sha256, path: target.path, lengthBytes: length, ...fetched },
        "a file is complete",
      );
      return fetched;
    } catch (error) {
      const outcome = signal.aborted ? "stopped" : "failed";
      metrics.count("flotilla_agent_artifact_transfers_total", { outcome });
      if (error instanceof CodedError)
        log.warn({ sha256, code: error.code, error: error.message }, "a file could not be had yet");
      throw error;
    } finally {
      place.leave();
    }
  }

  /** Before each piece: the window is open, it is this one's turn, and the limits are those of the present desired state. */
  async #gate(place: Place, job: Omit<Job, "result">, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const delivery = this.#deps.delivery();
    this.#windows.use(delivery?.windows);
    if (!place.isUrgent() && !this.#windows.isOpen()) {
      // Others that are urgent need not wait for the window.
      place.leave();
      await this.#windows
        .opened(AbortSignal.any([signal, job.hurry.signal]))
        .catch(() => undefined);
    }
    await this.#lane.giveWay(place, signal);
    this.#bandwidth.limitTo(smallerLimit(this.#options.bytesPerSecond, delivery?.bytesPerSecond));
  }
}
