import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readManifest } from "@flotilla/shared/delta/envelope";
import { applyDelta } from "@flotilla/shared/platform/delta/apply";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DeltaWorkers } from "../src/adapters/deltas/delta-workers.ts";
import type { EncodeRequest } from "../src/app/artifact/ports.ts";
import { SMALL_MEMORY_BYTES } from "../src/domain/artifact/choice.ts";

const PROGRAM = join(import.meta.dirname, "../src/main/delta-worker.ts");
const LIMITS = { width: 2, memoryBytesMax: 2 ** 31 };

let folder = "";
let workers: DeltaWorkers;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "deltas-"));
  workers = new DeltaWorkers({ ...LIMITS, program: PROGRAM });
});
beforeEach(() => {
  const noise = Buffer.from(new SeededRandom(3).bytes(40_000, "values")).toString("hex");
  const lines = Array.from({ length: 5_000 }, (_, i) => `${noise.slice(i * 16, i * 16 + 16)}\n`);
  writeFileSync(path("old"), lines.join(""));
  writeFileSync(path("new"), [...lines.slice(0, 4_000), "new\n", ...lines.slice(4_000)].join(""));
});
afterEach(async () => {
  await workers.close();
  rmSync(folder, { recursive: true, force: true });
});

const path = (name: string): string => join(folder, name);
const never = new AbortController().signal;

/** Two versions of a text, and what is asked of a worker. */
function request(over: Partial<EncodeRequest> = {}): EncodeRequest {
  return {
    basePath: path("old"),
    targetPath: path("new"),
    format: "config",
    fileName: "values.yaml",
    profile: "fast",
    payloadPath: path("payload"),
    ...over,
  };
}

test("makes a delta that gives the target, and a whole file", async () => {
  const delta = await workers.encode(request(), never);
  expect(delta.payloadBytes).toBeLessThan(1_000);
  expect(Object.values(delta.codecBytes)).toEqual([delta.payloadBytes]);
  expect(delta.targetSha256).toBe(
    createHash("sha256")
      .update(readFileSync(path("new")))
      .digest("hex"),
  );
  expect(readFileSync(path("payload")).length).toBe(delta.payloadBytes);
  const manifest = readManifest(delta.manifest);
  await applyDelta(
    { manifest, basePath: path("old"), targetPath: path("made"), firstBlock: 0 },
    {
      read: (offset, length) =>
        Promise.resolve(readFileSync(path("payload")).subarray(offset, offset + length)),
    },
    () => {},
  );
  expect(readFileSync(path("made"))).toEqual(readFileSync(path("new")));
  const { basePath: _, ...whole } = request({ payloadPath: path("whole") });
  const full = await workers.encode(whole, never);
  expect(full.baseSha256).toBeUndefined();
  expect(full.payloadBytes).toBeGreaterThan(delta.payloadBytes);
  expect(full.payloadBytes).toBeLessThanOrEqual(readFileSync(path("new")).length);
});

test("keeps the decoder to little memory when that is asked for", async () => {
  const bytes = new SeededRandom(4).bytes(5_000_000, "model");
  writeFileSync(path("big"), bytes);
  const { basePath: _, ...whole } = request({ targetPath: path("big"), format: "raw" });
  const [usual, small] = await Promise.all([
    workers.encode(whole, never),
    workers.encode({ ...whole, profile: "small", payloadPath: path("small") }, never),
  ]);
  expect(small.decoderMemoryBytes).toBeLessThanOrEqual(SMALL_MEMORY_BYTES);
  expect(small.decoderMemoryBytes).toBeLessThanOrEqual(usual.decoderMemoryBytes);
});

test("puts a file down as it is, in blocks, when that is asked for", async () => {
  const { basePath: _, ...whole } = request({ profile: "plain" });
  const plain = await workers.encode(whole, never);
  expect(plain.codecBytes).toEqual({ stored: plain.payloadBytes });
  expect(readFileSync(path("payload"))).toEqual(readFileSync(path("new")));
});

test("a job that fails takes nothing with it: files that are gone, a worker that hangs, a program that is none", async () => {
  const gone = workers.encode(request({ basePath: path("gone") }), never);
  await expect(gone).rejects.toMatchObject({ code: "delta-not-made" });
  expect(existsSync(path("payload"))).toBe(false);
  await expect(workers.encode(request(), never)).resolves.toBeDefined();

  const noProgram = new DeltaWorkers({ ...LIMITS, program: path("none.ts") });
  const died = noProgram.encode(request({ payloadPath: path("p2") }), never);
  await expect(died).rejects.toMatchObject({ code: "delta-worker-died" });
  await noProgram.close();

  const hasty = new DeltaWorkers({ ...LIMITS, program: PROGRAM, timeoutMs: 1 });
  const slow = hasty.encode(request({ payloadPath: path("p3") }), never);
  await expect(slow).rejects.toMatchObject({ code: "delta-timeout" });
  await hasty.close();
  expect(readdirSync(folder).filter((name) => name.startsWith("p"))).toEqual(["payload"]);
});

test("a worker that dies in the middle fails its job only; the next one gets a new worker", async () => {
  writeFileSync(
    path("dying.mjs"),
    `import { parentPort } from "node:worker_threads";
     parentPort.on("message", (r) => {
       if (r.fileName === "deadly") process.exit(9);
       parentPort.postMessage({ ok: true, delta: { payloadBytes: 1 } });
     });`,
  );
  const frail = new DeltaWorkers({ ...LIMITS, width: 1, program: path("dying.mjs") });
  const outcomes = await Promise.allSettled(
    ["fine", "deadly", "fine"].map((fileName) => frail.encode(request({ fileName }), never)),
  );
  expect(outcomes.map((o) => o.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  await frail.close();
});

test("what is cancelled ends at once, waiting or under way, and after the end nothing is begun", async () => {
  const stop = new AbortController();
  const narrow = new DeltaWorkers({ ...LIMITS, width: 1, program: PROGRAM });
  const jobs = ["q1", "q2"].map((name) =>
    narrow.encode(request({ payloadPath: path(name) }), stop.signal),
  );
  stop.abort();
  for (const outcome of await Promise.allSettled(jobs))
    expect(outcome).toMatchObject({ status: "rejected", reason: { code: "delta-cancelled" } });
  await narrow.close();
  const late = narrow.encode(request({ payloadPath: path("q3") }), never);
  await expect(late).rejects.toMatchObject({ code: "delta-cancelled" });
  expect(readdirSync(folder).filter((name) => name.startsWith("q"))).toEqual([]);
});

test("jobs that need more memory together than there is are made one after the other", async () => {
  const frugal = new DeltaWorkers({ width: 2, memoryBytesMax: 1, program: PROGRAM });
  const made = await Promise.all(
    ["r1", "r2"].map((name) => frugal.encode(request({ payloadPath: path(name) }), never)),
  );
  expect(made).toHaveLength(2);
  await frugal.close();
});
