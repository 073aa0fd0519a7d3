import { setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { must } from "@flotilla/shared/kernel/assert";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { NativeBsdiff } from "@flotilla/shared/platform/delta/bsdiff";
import type { WorkerAnswer } from "../adapters/deltas/delta-workers.ts";
import { encodeJob } from "../adapters/deltas/encode-job.ts";
import type { EncodeRequest } from "../app/artifact/ports.ts";

/** Lowest priority: deltas are made with what is left of the processor. */
const NICE = 19;

/** A thread of the hub that makes one delta after the other; started by DeltaWorkers, never by hand. */
const port = must(parentPort, "delta-worker is a thread of the hub");
try {
  // On Linux a priority is a thread's own.
  setPriority(0, NICE);
} catch {
  // Where that is not allowed, deltas are made as fast as everything else.
}
const bsdiff = new NativeBsdiff(() => undefined);
port.on("message", (request: EncodeRequest) => {
  void encodeJob(request, bsdiff).then(
    (delta) => port.postMessage({ ok: true, delta } satisfies WorkerAnswer),
    (error: unknown) =>
      port.postMessage({ ok: false, message: messageOf(error) } satisfies WorkerAnswer),
  );
});
