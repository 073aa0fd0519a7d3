import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeDelta } from "@flotilla/shared/delta/encode";
import { writeManifest } from "@flotilla/shared/delta/envelope";
import { inMemory } from "@flotilla/shared/delta/random-access";
import { nodeCompressor, nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { PatchWorker } from "../../app/artifact/ports.ts";
import { ThreadPatchWorker } from "./thread-patch-worker.ts";

const ENTRY = join(import.meta.dirname, "../../main/patch-worker.ts");
const NEVER = new AbortController().signal;
let folder = "";
const path = (name: string): string => join(folder, name);
const worker = new ThreadPatchWorker({ entry: ENTRY });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "patch-worker-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Made {
  readonly manifest: Uint8Array;
  readonly payload: Uint8Array;
  readonly fresh: Uint8Array;
}

function made(old: Uint8Array | undefined, fresh: Uint8Array): Made {
  const parts: Uint8Array[] = [];
  const input = {
    base: old && inMemory(old),
    target: inMemory(fresh),
    layouts: { old: [], new: [] },
    profile: "fast",
  } as const;
  const deps = { compressor: nodeCompressor, digests: nodeDigests };
  const manifest = encodeDelta(input, deps, (bytes) => parts.push(bytes));
  return { manifest: writeManifest(manifest), payload: Buffer.concat(parts), fresh };
}

/** A full file of three blocks. */
const full = (): Made => made(undefined, Buffer.from("0123456789abcdef".repeat(600_000)));

function request(
  of: Made,
  more: Partial<Parameters<PatchWorker["apply"]>[0]> = {},
): Parameters<PatchWorker["apply"]>[0] {
  return {
    manifest: of.manifest,
    basePath: undefined,
    targetPath: path("new"),
    firstBlock: 0,
    readPayload: (offset, length) => Promise.resolve(of.payload.subarray(offset, offset + length)),
    onBlock: () => {},
    ...more,
  };
}

test("a delta is applied in the thread, resumed where it broke off, and ended by an abort", async () => {
  const whole = full();
  const aborter = new AbortController();
  const blocks: number[] = [];
  const broken = worker.apply(
    request(whole, {
      onBlock: (next) => {
        blocks.push(next);
        aborter.abort(new Error("enough"));
      },
    }),
    aborter.signal,
  );
  await expect(broken).rejects.toThrow("enough");
  const before = statSync(path("new")).mtimeMs;
  const changed: number[] = [];
  const offsets: number[] = [];
  const resumed = worker.apply(
    request(whole, {
      firstBlock: blocks.at(-1) ?? 0,
      readPayload: (offset, length) => {
        changed.push(statSync(path("new")).mtimeMs);
        offsets.push(offset);
        return Promise.resolve(whole.payload.subarray(offset, offset + length));
      },
    }),
    NEVER,
  );
  await resumed;
  // Nobody wrote after the abort.
  expect(changed[0]).toBe(before);
  expect(offsets[0]).toBeGreaterThan(0);
  expect(Buffer.compare(readFileSync(path("new")), whole.fresh)).toBe(0);
});

test("what goes wrong on either side comes out with its own code", async () => {
  const whole = full();
  const altered = { ...whole, payload: whole.payload.map((byte) => byte ^ 1) };
  await expect(worker.apply(request(altered), NEVER)).rejects.toMatchObject({
    code: "delta-corrupt",
  });
  const shortReads = request(whole, { readPayload: () => Promise.resolve(new Uint8Array(3)) });
  await expect(worker.apply(shortReads, NEVER)).rejects.toMatchObject({ code: "delta-corrupt" });
  writeFileSync(path("other"), "another base");
  const old = Buffer.from("a: 1\n".repeat(500));
  const delta = made(old, Buffer.concat([old, Buffer.from("b: 2\n")]));
  await expect(
    worker.apply(request(delta, { basePath: path("other") }), NEVER),
  ).rejects.toMatchObject({ code: "delta-wrong-base" });
  const noLink = request(whole, { readPayload: () => Promise.reject(new Error("link down")) });
  await expect(worker.apply(noLink, NEVER)).rejects.toThrow("link down");
  const noRecord = request(whole, {
    onBlock: () => {
      throw new Error("database full");
    },
  });
  await expect(worker.apply(noRecord, NEVER)).rejects.toThrow("database full");
  await expect(
    worker.apply(request(whole, { targetPath: path("none/new") }), NEVER),
  ).rejects.toMatchObject({ code: "ENOENT" });
});

test.each([
  ["ends", "process.exit(1);", "its thread ended"],
  [
    "takes more memory than it may",
    "const kept = []; for (;;) kept.push(new Array(100_000).fill(kept.length));",
    "memory limit",
  ],
  ["throws", 'throw new Error("no such decoder");', "no such decoder"],
])("a thread that %s fails the one delta, and the agent goes on", async (_, program, why) => {
  writeFileSync(path("thread.mjs"), program);
  const failing = new ThreadPatchWorker({ entry: path("thread.mjs") });
  await expect(failing.apply(request(full()), NEVER)).rejects.toMatchObject({
    code: "patch-failed",
    message: expect.stringContaining(why),
  });
});
