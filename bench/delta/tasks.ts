import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { BlockCodec } from "@flotilla/shared/delta/envelope";

export interface TaskPaths {
  readonly old: string;
  readonly new: string;
  readonly layouts: string;
  readonly payload: string;
  readonly manifest: string;
  readonly made: string;
}

export type Task =
  | {
      readonly kind: "diff";
      readonly paths: TaskPaths;
      readonly profile: "fast" | "slow";
      readonly full: boolean;
      /** Only these codecs; undefined: the encoder's choice. */
      readonly codecs?: readonly BlockCodec[] | undefined;
    }
  | { readonly kind: "patch"; readonly paths: TaskPaths };

export interface TaskResult {
  readonly payloadBytes: number;
  readonly manifestBytes: number;
  readonly codecs: readonly string[];
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  /** What a decoder is said to need above the runtime. */
  readonly foretoldBytes: number;
  /** Resident when the work began: the runtime and the loaded code. */
  readonly runtimeBytes: number;
}

/** Runs a task in a node process of its own. */
export async function runTask(task: Task): Promise<TaskResult> {
  const worker = fileURLToPath(new URL("worker.ts", import.meta.url));
  const { code, out, err } = await run(process.execPath, [worker, JSON.stringify(task)]);
  if (code !== 0) throw new Error(`${task.kind} failed: ${err.trim()}`);
  return JSON.parse(out) as TaskResult;
}

/** Runs a program with arguments; answers its exit status and what it wrote. */
export function run(
  program: string,
  args: readonly string[],
): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let err = "";
    child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
    child.once("error", (error) => resolve({ code: null, out, err: error.message }));
    child.once("close", (code) => resolve({ code, out, err }));
  });
}
