import { parentPort, workerData } from "node:worker_threads";
import { must } from "@flotilla/shared/kernel/assert";
import type { PatchTask } from "../adapters/patch-worker/patch-messages.ts";
import { runPatchThread } from "../adapters/patch-worker/patch-thread.ts";

/** The thread in which a delta becomes a file; started by ThreadPatchWorker, never by hand. */
const task: PatchTask = workerData;
await runPatchThread(task, must(parentPort, "patch-worker is a thread of the agent"));
