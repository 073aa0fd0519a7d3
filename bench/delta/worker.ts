import { closeSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { encodeDelta } from "@flotilla/shared/delta/encode";
import type { EncodeInput } from "@flotilla/shared/delta/encode-types";
import { payloadLengthOf, readManifest, writeManifest } from "@flotilla/shared/delta/envelope";
import { MAX_BLOCK_BYTES } from "@flotilla/shared/delta/limits";
import { applyDelta } from "@flotilla/shared/platform/delta/apply";
import { FileAccess } from "@flotilla/shared/platform/delta/file-access";
import { nodeCompressor, nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";
import type { Task, TaskResult } from "./tasks.ts";

/** One diff or one patch in a process of its own, so that its CPU time and memory are its own. */
async function main(): Promise<void> {
  const task = JSON.parse(process.argv[2] ?? "{}") as Task;
  const before = process.cpuUsage();
  const rssBefore = process.memoryUsage.rss();
  const extra = task.kind === "diff" ? diff(task) : await patch(task);
  const { user, system } = process.cpuUsage(before);
  const result: TaskResult = {
    ...extra,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    runtimeBytes: rssBefore,
  };
  process.stdout.write(JSON.stringify(result));
}

type Extra = Pick<TaskResult, "payloadBytes" | "manifestBytes" | "codecs">;

function diff(task: Task & { kind: "diff" }): Extra {
  using base = new FileAccess(task.paths.old);
  using target = new FileAccess(task.paths.new);
  const payload = openSync(task.paths.payload, "w");
  const input: EncodeInput = {
    base: task.full ? undefined : base,
    target,
    layouts: JSON.parse(readFileSync(task.paths.layouts, "utf8")) as EncodeInput["layouts"],
    profile: task.profile,
  };
  const manifest = encodeDelta(
    input,
    { compressor: nodeCompressor, digests: nodeDigests },
    (bytes) => {
      for (let done = 0; done < bytes.length; ) done += writeSync(payload, bytes, done);
    },
  );
  closeSync(payload);
  const bytes = writeManifest(manifest);
  writeFileSync(task.paths.manifest, bytes);
  return {
    payloadBytes: payloadLengthOf(manifest),
    manifestBytes: bytes.length,
    codecs: [...new Set(manifest.blocks.map((b) => b.codec))],
  };
}

async function patch(task: Task & { kind: "patch" }): Promise<Extra> {
  const manifest = readManifest(readFileSync(task.paths.manifest));
  using payload = new FileAccess(task.paths.payload);
  const buffer = new Uint8Array(MAX_BLOCK_BYTES);
  const source = {
    read: (offset: number, length: number) => Promise.resolve(payload.read(offset, length, buffer)),
  };
  const basePath = manifest.base === undefined ? undefined : task.paths.old;
  rmSync(task.paths.made, { force: true });
  await applyDelta(
    { manifest, basePath, targetPath: task.paths.made, firstBlock: 0 },
    source,
    () => {},
  );
  return { payloadBytes: payload.size, manifestBytes: 0, codecs: [] };
}

await main();
