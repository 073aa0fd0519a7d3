import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodeDelta } from "../../delta/encode.ts";
import type { EncodeInput } from "../../delta/encode-types.ts";
import { type DeltaManifest, readManifest, writeManifest } from "../../delta/envelope.ts";
import { inMemory } from "../../delta/random-access.ts";
import { rawLayout } from "../../delta/weights/detect.ts";
import { messageOf } from "../../kernel/errors.ts";
import { SeededRandom } from "../../testing/seeded-random.ts";
import { applyDelta, type PayloadSource } from "./apply.ts";
import { nodeCompressor, nodeDigests } from "./node-compressor.ts";

const DEPS = { compressor: nodeCompressor, digests: nodeDigests };
let folder = "";
const path = (name: string): string => join(folder, name);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "delta-apply-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Several blocks of floats, a few of them changed. */
function weights(): { old: Uint8Array; fresh: Uint8Array } {
  const random = new SeededRandom(3);
  const old = Float32Array.from({ length: 2_300_000 }, (_, i) => (i % 977) / 977 - 0.5);
  const fresh = Float32Array.from(old, (w, i) =>
    i % 31 === 0 ? w + random.unit("step") * 1e-4 : w,
  );
  return { old: new Uint8Array(old.buffer), fresh: new Uint8Array(fresh.buffer) };
}

function made(
  old: Uint8Array | undefined,
  fresh: Uint8Array,
  layouts: EncodeInput["layouts"],
): { manifest: DeltaManifest; payload: Uint8Array } {
  const parts: Uint8Array[] = [];
  const input = {
    base: old && inMemory(old),
    target: inMemory(fresh),
    layouts,
    profile: "fast",
  } as const;
  const manifest = encodeDelta(input, DEPS, (bytes) => parts.push(bytes));
  return { manifest: readManifest(writeManifest(manifest)), payload: Buffer.concat(parts) };
}

const source = (payload: Uint8Array): PayloadSource => ({
  read: (offset, length) => Promise.resolve(payload.subarray(offset, offset + length)),
});
const layoutsOf = (pair: { old: Uint8Array; fresh: Uint8Array }): EncodeInput["layouts"] => ({
  old: rawLayout("f32", pair.old.length),
  new: rawLayout("f32", pair.fresh.length),
});
const NONE: EncodeInput["layouts"] = { old: [], new: [] };

test("after a cut at any block the next call goes on there and fetches nothing again", async () => {
  const pair = weights();
  const { manifest, payload } = made(pair.old, pair.fresh, layoutsOf(pair));
  writeFileSync(path("old"), pair.old);
  expect(manifest.blocks.length).toBeGreaterThan(2);
  let next = 0;
  const failures: unknown[] = [];
  const fetched: number[] = [];
  // The link breaks before every block once.
  for (let tries = 0; tries <= manifest.blocks.length && next < manifest.blocks.length; tries++) {
    let reads = 0;
    const broken: PayloadSource = {
      read: (offset, length) => {
        if (reads++ > 0) return Promise.reject(new Error("link down"));
        fetched.push(offset);
        return Promise.resolve(payload.subarray(offset, offset + length));
      },
    };
    const options = { manifest, basePath: path("old"), targetPath: path("new"), firstBlock: next };
    await applyDelta(options, broken, (n) => (next = n)).catch((error: unknown) =>
      failures.push(messageOf(error)),
    );
  }
  expect(new Set(failures)).toEqual(new Set(["link down"]));
  expect(new Set(fetched).size).toBe(fetched.length);
  expect(Buffer.compare(readFileSync(path("new")), pair.fresh)).toBe(0);
});

test("another base is refused before the first write", async () => {
  const old = Buffer.from("a: 1\n".repeat(500));
  const { manifest, payload } = made(old, Buffer.concat([old, Buffer.from("b: 2\n")]), NONE);
  writeFileSync(path("old"), Buffer.concat([old.subarray(1), Buffer.from("x")]));
  writeFileSync(path("new"), "untouched");
  const options = { manifest, basePath: path("old"), targetPath: path("new"), firstBlock: 0 };
  await expect(applyDelta(options, source(payload), () => {})).rejects.toMatchObject({
    code: "delta-wrong-base",
  });
  expect(readFileSync(path("new"), "utf8")).toBe("untouched");
});

test("a file that is whole on disk but not what was signed is refused", async () => {
  const pair = weights();
  const { manifest, payload } = made(pair.old, pair.fresh, layoutsOf(pair));
  writeFileSync(path("old"), pair.old);
  const options = { manifest, basePath: path("old"), targetPath: path("new"), firstBlock: 0 };
  await applyDelta(options, source(payload), () => {});
  const damaged = readFileSync(path("new"));
  damaged[5] = (damaged[5] ?? 0) ^ 1;
  writeFileSync(path("new"), damaged);
  const again = applyDelta(
    { ...options, firstBlock: manifest.blocks.length },
    source(payload),
    () => {},
  );
  await expect(again).rejects.toMatchObject({ code: "delta-corrupt" });
});

test.each([
  ["cut short", (p: Uint8Array) => p.subarray(0, p.length - 1)],
  ["altered", (p: Uint8Array) => p.map((b, i) => (i === p.length >> 1 ? b ^ 1 : b))],
])("a payload that is %s is refused", async (_, harm) => {
  const old = Buffer.from("a: 1\n".repeat(500));
  const { manifest, payload } = made(old, Buffer.concat([old, Buffer.from("b: 2\n")]), NONE);
  writeFileSync(path("old"), old);
  const options = { manifest, basePath: path("old"), targetPath: path("new"), firstBlock: 0 };
  await expect(applyDelta(options, source(harm(payload)), () => {})).rejects.toMatchObject({
    code: "delta-corrupt",
  });
});

test("a full file needs no base, an empty one no block", async () => {
  for (const fresh of [Buffer.from("x".repeat(9000)), Buffer.alloc(0)]) {
    const { manifest, payload } = made(undefined, fresh, NONE);
    const options = { manifest, basePath: undefined, targetPath: path("new"), firstBlock: 0 };
    await applyDelta(options, source(payload), () => {});
    expect(Buffer.compare(readFileSync(path("new")), fresh)).toBe(0);
  }
});

test("a target that is shorter than what lay there is cut to its length", async () => {
  const old = Buffer.from("line\n".repeat(2000));
  const { manifest, payload } = made(old, old.subarray(0, 777), NONE);
  writeFileSync(path("old"), old);
  writeFileSync(path("new"), old);
  await applyDelta(
    { manifest, basePath: path("old"), targetPath: path("new"), firstBlock: 0 },
    source(payload),
    () => {},
  );
  expect(readFileSync(path("new"), "utf8")).toBe(old.toString().slice(0, 777));
});

test("no delta is larger than the file that it makes", () => {
  const random = new SeededRandom(9);
  for (const [old, fresh] of [
    [random.bytes(70_000, "old"), random.bytes(70_000, "new")],
    [random.bytes(10, "old"), random.bytes(1, "new")],
    [new Uint8Array(0), random.bytes(300_000, "new")],
  ] as const)
    expect(made(old, fresh, NONE).payload.length).toBeLessThanOrEqual(fresh.length);
});

test("an archive that unpacks to more than was signed is never unpacked", () => {
  const bomb = nodeCompressor.zstd(new Uint8Array(50_000_000));
  expect(bomb.length).toBeLessThan(10_000);
  expect(() => nodeCompressor.unzstd(bomb, 1000)).toThrow("delta: compressed bytes");
  const brotli = nodeCompressor.brotli(new Uint8Array(5_000_000), "generic");
  expect(() => nodeCompressor.unbrotli(brotli, 1000)).toThrow("delta: compressed bytes");
});

test("a part that is gone, or shorter than the record says, is begun anew", async () => {
  const pair = weights();
  const { manifest, payload } = made(pair.old, pair.fresh, layoutsOf(pair));
  writeFileSync(path("old"), pair.old);
  const options = { manifest, basePath: path("old"), targetPath: path("new"), firstBlock: 2 };
  await applyDelta(options, source(payload), () => {});
  expect(Buffer.compare(readFileSync(path("new")), pair.fresh)).toBe(0);
  writeFileSync(path("new"), "short");
  await applyDelta(options, source(payload), () => {});
  expect(Buffer.compare(readFileSync(path("new")), pair.fresh)).toBe(0);
});
