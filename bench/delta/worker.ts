import { closeSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import type { EncodeInput } from "@flotilla/shared/delta/encode-types";
import { payloadLengthOf, readManifest, writeManifest } from "@flotilla/shared/delta/envelope";
import { MAX_BLOCK_BYTES } from "@flotilla/shared/delta/limits";
import { decoderMemoryBytes } from "@flotilla/shared/delta/memory";
import { applyDelta } from "@flotilla/shared/platform/delta/apply";
import { NativeBsdiff } from "@flotilla/shared/platform/delta/bsdiff";
import { encodeDeltaFully } from "@flotilla/shared/platform/delta/encode";
import { FileAccess } from "@flotilla/shared/platform/delta/file-access";
import type { Task, TaskResult } from "./tasks.ts";

/** One diff or one patch in a process of its own, so that its CPU time and memory are its own. */
async function main(): Promise<void> {
  const task = JSON.parse(process.argv[2] ?? "{}") as Task;
  const before = process.cpuUsage();
  const rssBefore = process.memoryUsage.rss();
  const extra = task.kind === "diff" ? await diff(task) : await patch(task);
  const { user, system } = process.cpuUsage(before);
  const result: TaskResult = {
    ...extra,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    runtimeBytes: rssBefore,
  };
  process.stdout.write(JSON.stringify(result));
}

type Extra = Pick<TaskResult, "payloadBytes" | "manifestBytes" | "codecs" | "foretoldBytes">;

async function diff(task: Task & { kind: "diff" }): Promise<Extra> {
  using base = new FileAccess(task.paths.old);
  using target = new FileAccess(task.paths.new);
  const payload = openSync(task.paths.payload, "w");
  const input: EncodeInput = {
    base: task.full ? undefined : base,
    target,
    layouts: JSON.parse(readFileSync(task.paths.layouts, "utf8")) as EncodeInput["layouts"],
    profile: task.profile,
    codecs: task.codecs,
  };
  const bsdiff = new NativeBsdiff((why) => console.error(why));
  const manifest = await encodeDeltaFully(input, bsdiff, (bytes) => {
    for (let done = 0; done < bytes.length; ) done += writeSync(payload, bytes, done);
  });
  closeSync(payload);
  const bytes = writeManifest(manifest);
  writeFileSync(task.paths.manifest, bytes);
  return {
    payloadBytes: payloadLengthOf(manifest),
    manifestBytes: bytes.length,
    codecs: [...new Set(manifest.blocks.map((b) => b.codec))],
    foretoldBytes: decoderMemoryBytes(manifest),
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
  const foretoldBytes = decoderMemoryBytes(manifest);
  return { payloadBytes: payload.size, manifestBytes: 0, codecs: [], foretoldBytes };
}

await main();
