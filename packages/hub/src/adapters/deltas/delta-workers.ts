import { statSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type {
  DeltaEncoder,
  DeltaEncoderErrorCode,
  EncodedDelta,
  EncodeRequest,
} from "../../app/artifact/ports.ts";
import { WEIGHTS_FORMATS } from "../../domain/artifact/choice.ts";
import { removeLeftovers } from "./leftovers.ts";

/** Heap of one worker, MiB; typed arrays are beside it, and bounded by `memoryBytesMax`. */
const HEAP_MB_MAX = 1_024;
/** A delta may take this long, and MS_PER_KIB for each KiB of base and target: 10 min. */
export const DELTA_MS_BASE = 600_000;
/** 250 KiB a second, an eighth of what the slowest codec does. */
const MS_PER_KIB = 4;
/** What a worker holds for each byte of a base whose copies it looks for, and most bytes that it looks at at once. */
const MATCHING_FACTOR = 24;
/** Where weights lie they are read piece by piece, and copies are looked for in the rest alone. */
const WEIGHTS_FACTOR = 4;
const MATCHING_BYTES_MAX: number = 48 * 1024 * 1024;
/** What a worker holds for blocks and models. */
const WORKING_BYTES: number = 96 * 1024 * 1024;

/** What a worker answers. */
export type WorkerAnswer =
  | { readonly ok: true; readonly delta: EncodedDelta }
  | { readonly ok: false; readonly message: string };

interface Job {
  readonly request: EncodeRequest;
  readonly memoryBytes: number;
  readonly timeoutMs: number;
  readonly settle: (outcome: EncodedDelta | CodedError<DeltaEncoderErrorCode>) => void;
}

interface Running {
  readonly job: Job;
  readonly worker: Worker;
  readonly timer: NodeJS.Timeout;
}

/**
 * Worker threads that make deltas, of the lowest priority. One that dies, hangs or is cancelled takes its own delta with it and
 * nothing else. Deltas that would need more memory together than there is wait for each other.
 */
export class DeltaWorkers implements DeltaEncoder {
  readonly width: number;
  readonly #program: string;
  readonly #memoryBytesMax: number;
  readonly #timeoutMs: number | undefined;
  readonly #idle: Worker[] = [];
  readonly #running = new Set<Running>();
  readonly #waiting: Job[] = [];
  #isClosed = false;

  constructor(options: {
    /** Path of the workers' program. */
    readonly program: string;
    readonly width: number;
    /** For all workers together; one delta that needs more is made alone. */
    readonly memoryBytesMax: number;
    /** Instead of what the sizes say, for tests. */
    readonly timeoutMs?: number;
  }) {
    this.width = options.width;
    this.#program = options.program;
    this.#memoryBytesMax = options.memoryBytesMax;
    this.#timeoutMs = options.timeoutMs;
  }

  encode(request: EncodeRequest, signal: AbortSignal): Promise<EncodedDelta> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => this.#cancel(job);
      const job: Job = {
        request,
        memoryBytes: memoryOf(request),
        timeoutMs: this.#timeoutMs ?? timeoutOf(request),
        settle: (outcome) => {
          signal.removeEventListener("abort", onAbort);
          if (outcome instanceof CodedError) reject(outcome);
          else resolve(outcome);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(job);
      if (signal.aborted || this.#isClosed) this.#cancel(job);
      else this.#next();
    });
  }

  /** Ends all workers; what was under way is cancelled. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const job of this.#waiting.slice()) this.#cancel(job);
    const workers = [...this.#idle.splice(0), ...[...this.#running].map((r) => r.worker)];
    for (const { job } of this.#running) this.#cancel(job);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }

  #next(): void {
    const [job] = this.#waiting;
    if (job === undefined || this.#running.size >= this.width) return;
    const heldBytes = [...this.#running].reduce((sum, r) => sum + r.job.memoryBytes, 0);
    if (this.#running.size > 0 && heldBytes + job.memoryBytes > this.#memoryBytesMax) return;
    this.#waiting.shift();
    this.#start(job);
    this.#next();
  }

  #start(job: Job): void {
    const worker = this.#idle.pop() ?? this.#makeWorker();
    const timer = setTimeout(() => {
      const message = `not made within ${job.timeoutMs} ms`;
      this.#end(running, failure("delta-timeout", job, message), "broken");
    }, job.timeoutMs);
    const running: Running = { job, worker, timer };
    this.#running.add(running);
    worker.removeAllListeners();
    worker.once("message", (answer: WorkerAnswer) => {
      const outcome = answer.ok ? answer.delta : failure("delta-not-made", job, answer.message);
      this.#end(running, outcome, "sound");
    });
    const died = (why: string): void =>
      this.#end(running, failure("delta-worker-died", job, why), "broken");
    worker.once("error", (error: unknown) => died(messageOf(error)));
    worker.once("exit", (code) => died(`exit status ${code}`));
    worker.postMessage(job.request);
  }

  #end(
    running: Running,
    outcome: EncodedDelta | CodedError<DeltaEncoderErrorCode>,
    worker: "sound" | "broken",
  ): void {
    if (!this.#running.delete(running)) return;
    clearTimeout(running.timer);
    running.worker.removeAllListeners();
    const isKept = worker === "sound" && !this.#isClosed;
    if (isKept) {
      // One that dies while it waits for work is not taken again.
      running.worker.once("exit", () => this.#forget(running.worker));
      running.worker.once("error", () => this.#forget(running.worker));
      this.#idle.push(running.worker);
      running.job.settle(outcome);
      this.#next();
      return;
    }
    // Before it has ended it may still write.
    void running.worker.terminate().finally(() => {
      if (outcome instanceof CodedError) removeLeftovers(running.job.request.payloadPath);
      running.job.settle(outcome);
      this.#next();
    });
  }

  #cancel(job: Job): void {
    const outcome = failure("delta-cancelled", job, "cancelled");
    const at = this.#waiting.indexOf(job);
    if (at >= 0) {
      this.#waiting.splice(at, 1);
      job.settle(outcome);
      return;
    }
    const running = [...this.#running].find((r) => r.job === job);
    if (running !== undefined) this.#end(running, outcome, "broken");
  }

  #forget(worker: Worker): void {
    const at = this.#idle.indexOf(worker);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  #makeWorker(): Worker {
    const worker = new Worker(this.#program, {
      name: "delta",
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
    });
    // The hub ends when it wants to, not when a delta is made.
    worker.unref();
    return worker;
  }
}

function failure(
  code: DeltaEncoderErrorCode,
  { request }: Job,
  message: string,
): CodedError<DeltaEncoderErrorCode> {
  return new CodedError(code, `delta of ${request.fileName}: ${message}`, {
    fields: { profile: request.profile, format: request.format },
    mend: "Nothing: nodes get the whole file meanwhile, and it is tried again.",
  });
}

/** About what a worker holds at most. */
function memoryOf({ basePath, format }: EncodeRequest): number {
  const baseBytes = basePath === undefined ? 0 : sizeOf(basePath);
  const factor = WEIGHTS_FORMATS.includes(format) ? WEIGHTS_FACTOR : MATCHING_FACTOR;
  return WORKING_BYTES + factor * Math.min(baseBytes, MATCHING_BYTES_MAX);
}

function timeoutOf(request: EncodeRequest): number {
  const bytes =
    sizeOf(request.targetPath) + (request.basePath === undefined ? 0 : sizeOf(request.basePath));
  return DELTA_MS_BASE + (bytes / 1024) * MS_PER_KIB;
}

/** 0 for what is not there: the worker will say so. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
