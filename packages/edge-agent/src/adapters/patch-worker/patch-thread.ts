import { once } from "node:events";
import type { MessagePort } from "node:worker_threads";
import { type DeltaManifest, readManifest } from "@flotilla/shared/delta/envelope";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { applyDelta, type PayloadSource } from "@flotilla/shared/platform/delta/apply";
import { fileError, systemCode } from "@flotilla/shared/platform/files";
import type { PatchEvent, PatchFailure, PatchTask, PayloadAnswer } from "./patch-messages.ts";

/** The thread's side: carries out one task and says how it went. Bytes of the payload are asked of the agent, which has the network. */
export async function runPatchThread(task: PatchTask, port: MessagePort): Promise<void> {
  const say = (event: PatchEvent): void => port.postMessage(event);
  try {
    const { basePath, targetPath, firstBlock } = task;
    const manifest = readManifest(task.manifest);
    await applyDelta(
      { manifest, basePath, targetPath, firstBlock },
      payloadOver(port, manifest),
      (next) => say({ kind: "block", next }),
    );
    say({ kind: "done" });
  } catch (error) {
    say({ kind: "failed", error: failureOf(fileError(error, task.targetPath)) });
  }
}

/** One stretch of shared memory for all blocks: what is sent anew each time is collected late. */
function payloadOver(port: MessagePort, manifest: DeltaManifest): PayloadSource {
  const bytesMax = manifest.blocks.reduce(
    (max, block) => Math.max(max, block.payloadLength),
    manifest.map?.length ?? 0,
  );
  const into = new SharedArrayBuffer(bytesMax);
  return {
    async read(offset, length) {
      if (length === 0) return new Uint8Array(0);
      const answer = once(port, "message");
      port.postMessage({ kind: "read", offset, length, into } satisfies PatchEvent);
      const [message]: PayloadAnswer[] = await answer;
      return new Uint8Array(into, 0, message?.length ?? 0);
    },
  };
}

function failureOf(error: unknown): PatchFailure {
  if (error instanceof CodedError) {
    const { message, code, mend } = error;
    return { message, code, ...(mend === undefined ? {} : { mend }) };
  }
  const code = systemCode(error);
  return { message: messageOf(error), ...(code === undefined ? {} : { code }) };
}
