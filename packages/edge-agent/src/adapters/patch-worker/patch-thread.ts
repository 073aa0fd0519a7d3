import { once } from "node:events";
import type { MessagePort } from "node:worker_threads";
import { readManifest } from "@flotilla/shared/delta/envelope";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { applyDelta, type PayloadSource } from "@flotilla/shared/platform/delta/apply";
import { fileError, systemCode } from "@flotilla/shared/platform/files";
import type { PatchEvent, PatchFailure, PatchTask, PayloadBytes } from "./patch-messages.ts";

/** The thread's side: carries out one task and says how it went. Bytes of the payload are asked of the agent, which has the network. */
export async function runPatchThread(task: PatchTask, port: MessagePort): Promise<void> {
  const say = (event: PatchEvent): void => port.postMessage(event);
  const payload: PayloadSource = {
    async read(offset, length) {
      if (length === 0) return new Uint8Array(0);
      const answer = once(port, "message");
      say({ kind: "read", offset, length });
      const [message]: PayloadBytes[] = await answer;
      return message?.bytes ?? new Uint8Array(0);
    },
  };
  try {
    const { manifest, basePath, targetPath, firstBlock } = task;
    await applyDelta(
      { manifest: readManifest(manifest), basePath, targetPath, firstBlock },
      payload,
      (next) => say({ kind: "block", next }),
    );
    say({ kind: "done" });
  } catch (error) {
    say({ kind: "failed", error: failureOf(fileError(error, task.targetPath)) });
  }
}

function failureOf(error: unknown): PatchFailure {
  if (error instanceof CodedError) {
    const { message, code, mend } = error;
    return { message, code, ...(mend === undefined ? {} : { mend }) };
  }
  const code = systemCode(error);
  return { message: messageOf(error), ...(code === undefined ? {} : { code }) };
}
