import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ThreadPatchWorker } from "@flotilla/edge-agent/adapters/patch-worker/thread-patch-worker";
import { MAX_BLOCK_BYTES } from "@flotilla/shared/delta/limits";
import { FileAccess } from "@flotilla/shared/platform/delta/file-access";
import { makeBigPair } from "./delta/big.ts";
import { run, runTask, type TaskPaths } from "./delta/tasks.ts";
import { tableText } from "./support/table.ts";

/**
 * Memory and time of a delta in the agent's patch thread, for a made model of any size, an eighth of it changed:
 * `npm run bench:patch -- [--megabytes N] [--dist FOLDER] [--json]`; Linux only (VmHWM). The thread is the bundled one: to take types off
 * costs more memory than to patch.
 */
const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "500" },
    dist: { type: "string", default: join(import.meta.dirname, "../dist") },
    json: { type: "boolean", default: false },
    /** The process that is measured; started by the other. */
    measure: { type: "string" },
  },
});

interface Figures {
  readonly processMb: number;
  readonly idleThreadMb: number;
  readonly peakMb: number;
  readonly seconds: number;
}

const ENTRY = join(values.dist, "patch-worker.mjs");
const NEVER = new AbortController().signal;

if (values.measure === undefined) await main();
else console.log(JSON.stringify(await measure(pathsIn(values.measure))));

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-bench-patch-"));
  try {
    const pair = makeBigPair(Number(values.megabytes), folder);
    const paths = pathsIn(folder);
    writeFileSync(paths.layouts, JSON.stringify(pair.layouts));
    await runTask({ kind: "diff", paths, profile: "fast", full: false });
    const self = join(import.meta.dirname, "patch-thread.ts");
    const { code, out, err } = await run(process.execPath, [
      self,
      "--measure",
      folder,
      "--dist",
      values.dist,
    ]);
    if (code !== 0) throw new Error(err);
    const figures: Figures = JSON.parse(out);
    if (values.json) console.log(out.trim());
    else print(figures);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function print({ processMb, idleThreadMb, peakMb, seconds }: Figures): void {
  const above = (mb: number): string => `+${(peakMb - mb).toFixed(1)}`;
  console.log(
    tableText([
      ["model MB", "process MB", "with idle thread MB", "peak MB", "above both", "MB/s"],
      [
        values.megabytes,
        processMb.toFixed(1),
        idleThreadMb.toFixed(1),
        peakMb.toFixed(1),
        `${above(processMb)} ${above(idleThreadMb)}`,
        (Number(values.megabytes) / seconds).toFixed(0),
      ],
    ]),
  );
}

async function measure(paths: TaskPaths): Promise<Figures> {
  const manifest = readFileSync(paths.manifest);
  using payload = new FileAccess(paths.payload);
  const buffer = new Uint8Array(MAX_BLOCK_BYTES);
  const worker = new ThreadPatchWorker({ entry: ENTRY });
  const processMb = statusMb("VmRSS");
  // A thread that has begun and waits for its first bytes.
  const idle = new AbortController();
  const started = Promise.withResolvers<void>();
  const request = { manifest, basePath: undefined, firstBlock: 0, onBlock: () => undefined };
  const waiting = worker.apply(
    {
      ...request,
      basePath: paths.old,
      targetPath: `${paths.made}.idle`,
      readPayload: () => {
        started.resolve();
        return new Promise(() => undefined);
      },
    },
    idle.signal,
  );
  await started.promise;
  const idleThreadMb = statusMb("VmRSS");
  idle.abort(new Error("measured"));
  await waiting.catch(() => undefined);
  writeFileSync("/proc/self/clear_refs", "5");
  const begin = performance.now();
  await worker.apply(
    {
      ...request,
      basePath: paths.old,
      targetPath: paths.made,
      readPayload: (offset, length) => Promise.resolve(payload.read(offset, length, buffer)),
    },
    NEVER,
  );
  const seconds = (performance.now() - begin) / 1_000;
  const peakMb = statusMb("VmHWM");
  if (!readFileSync(paths.made).equals(readFileSync(paths.new)))
    throw new Error("the round trip gave another file");
  return { processMb, idleThreadMb, peakMb, seconds };
}

function statusMb(name: string): number {
  const line = readFileSync("/proc/self/status", "utf8")
    .split("\n")
    .find((l) => l.startsWith(`${name}:`));
  return (Number(/\d+/.exec(line ?? "")?.[0]) * 1024) / 1e6;
}

function pathsIn(folder: string): TaskPaths {
  const names = ["old", "new", "layouts", "payload", "manifest", "made"] as const;
  const [old = "", fresh = "", layouts = "", payload = "", manifest = "", made = ""] = names.map(
    (name) => join(folder, name),
  );
  return { old, new: fresh, layouts, payload, manifest, made };
}
