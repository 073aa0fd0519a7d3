import { Worker } from "node:worker_threads";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { PatchWorker } from "../../app/artifact/ports.ts";
import type { PatchEvent, PatchFailure, PatchTask, PayloadAnswer } from "./patch-messages.ts";

/** JavaScript heap of the thread: models and tables. Blocks lie outside of it and are bounded by the format. */
const HEAP_MB_MAX = 64;
const YOUNG_HEAP_MB_MAX = 4;

/** Failures that are the thread's own. Others are those of `applyDelta`: `delta-…`, `disk-full`, `not-writable`. */
export type PatchErrorCode = "patch-failed";

type Request = Parameters<PatchWorker["apply"]>[0];

/**
 * Applies deltas in a thread with an event loop and a heap of its own: the agent's heartbeats do not wait for it, and what it can
 * do wrong ends there. When the call has ended, however, the thread is gone and writes nothing more.
 */
export class ThreadPatchWorker implements PatchWorker {
  readonly #entry: string;

  /** `entry`: the program of the thread, `main/patch-worker`. */
  constructor(options: { readonly entry: string }) {
    this.#entry = options.entry;
  }

  async apply(request: Request, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { manifest, basePath, targetPath, firstBlock } = request;
    const workerData: PatchTask = { manifest, basePath, targetPath, firstBlock };
    const thread = new Worker(this.#entry, {
      workerData,
      name: "patch",
      resourceLimits: {
        maxOldGenerationSizeMb: HEAP_MB_MAX,
        maxYoungGenerationSizeMb: YOUNG_HEAP_MB_MAX,
      },
    });
    try {
      await outcome(thread, request, signal);
    } finally {
      await thread.terminate();
    }
  }
}

function outcome(thread: Worker, request: Request, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const answer = async (asked: Extract<PatchEvent, { kind: "read" }>): Promise<void> => {
    const bytes = await request.readPayload(asked.offset, asked.length);
    // Whoever answers with more has misbehaved: the thread finds out by the length.
    const length = Math.min(bytes.length, asked.into.byteLength);
    new Uint8Array(asked.into).set(bytes.subarray(0, length));
    thread.postMessage({ length: bytes.length === length ? length : 0 } satisfies PayloadAnswer);
  };
  const handle = (event: PatchEvent): void => {
    switch (event.kind) {
      case "read":
        answer(event).catch(reject);
        return;
      case "block":
        request.onBlock(event.next);
        return;
      case "done":
        resolve();
        return;
      case "failed":
        reject(errorOf(event.error));
        return;
    }
  };
  thread.on("message", (event: PatchEvent) => {
    try {
      handle(event);
    } catch (error) {
      reject(error);
    }
  });
  thread.on("error", (error) => reject(died(error)));
  thread.on("exit", () => reject(died(undefined)));
  return promise.finally(() => signal.removeEventListener("abort", onAbort));
}

function errorOf({ message, code, mend }: PatchFailure): Error {
  if (code === undefined) return died(new Error(message));
  return new CodedError(code, message, mend === undefined ? {} : { mend });
}

function died(cause: unknown): CodedError<PatchErrorCode> {
  const why = cause instanceof Error ? cause.message : "its thread ended";
  return new CodedError("patch-failed", `a delta could not be applied: ${why}`, {
    cause,
    mend: "The full file is fetched instead.",
  });
}
