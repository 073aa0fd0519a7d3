import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { expect, test } from "vitest";
import { type Disk, nodeDisk } from "../src/adapters/artifact-store/disk.ts";
import { DiskBlobStore } from "../src/adapters/artifact-store/disk-blob-store.ts";
import { DiskMetadataStore } from "../src/adapters/artifact-store/disk-metadata-store.ts";
import { DiskPayloadStore } from "../src/adapters/artifact-store/disk-payload-store.ts";
import {
  type ArtifactLayout,
  artifactLayout,
  blobPath,
  makeFolders,
} from "../src/adapters/artifact-store/layout.ts";
import { servedBytes } from "../src/adapters/artifact-store/served-file.ts";
import {
  UPLOAD_EXPIRES_MS,
  UPLOADS_OPEN_MAX,
  UploadStore,
} from "../src/adapters/artifact-store/upload-store.ts";
import { CuttingDisk, Killed } from "./support/cutting-disk.ts";
import { temporaryDir } from "./support/store.ts";

const QUOTA_BYTES = 1_000_000;
const PLENTY = 10 ** 12;
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The stores as a process has them that was just started on this folder. */
function started(
  dataDir: string,
  options: {
    readonly disk?: Disk;
    readonly quotaBytes?: number;
    readonly freeBytes?: number;
    readonly clock?: ManualClock;
  } = {},
) {
  const { disk = nodeDisk, quotaBytes = QUOTA_BYTES, freeBytes = PLENTY } = options;
  const clock = options.clock ?? new ManualClock({ wallMs: Date.now() });
  const layout = artifactLayout(dataDir);
  makeFolders(layout);
  const blobs = new DiskBlobStore({ layout, quotaBytes }, { disk, clock });
  const keeper = {
    claim: (sha: string) => blobs.claim(sha),
    reserve: async (sha: string, bytes: number) => {
      const refusal = blobs.space.reserve(sha, bytes);
      if (refusal !== undefined) throw refusal;
    },
    release: async (sha: string) => blobs.space.release(sha),
    stored: async (sha: string, bytes: number) => blobs.stored(sha, bytes),
  };
  const uploads = new UploadStore(
    { layout },
    { disk, keeper, clock, freeBytes: () => Promise.resolve(freeBytes) },
  );
  return { blobs, uploads, layout, clock, disk };
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function upload(uploads: UploadStore, bytes: Uint8Array, size = 400): Promise<string> {
  const digest = sha256(bytes);
  const begun = await uploads.create(digest, bytes.length);
  if (begun.isStored) return digest;
  await uploads.append(begun, inPieces(bytes.subarray(begun.offset), size));
  await uploads.finish(begun);
  return digest;
}

/** Every content that is under a name of its own must be the one that the name says. */
function assertWhole(layout: ArtifactLayout): void {
  for (const folder of readdirSync(layout.blobs))
    for (const name of readdirSync(join(layout.blobs, folder)))
      expect(sha256(readFileSync(join(layout.blobs, folder, name)))).toBe(name);
}

test("an upload becomes a content that is there after a restart, once, and cannot be written", async () => {
  const dataDir = temporaryDir();
  const bytes = randomBytes(1_000);
  const first = started(dataDir);
  const told: string[] = [];
  first.blobs.onStored((sha) => told.push(sha));
  const digest = await upload(first.uploads, bytes);
  expect(told).toEqual([digest]);
  expect(first.blobs.usedBytes).toBe(1_000);
  expect(await upload(first.uploads, bytes)).toBe(digest);
  const second = started(dataDir);
  expect(second.blobs.list().map((b) => [b.sha256, b.bytes])).toEqual([[digest, 1_000]]);
  expect(readFileSync(second.blobs.pathOf(digest))).toEqual(bytes);
  expect(statSync(second.blobs.pathOf(digest)).mode & 0o222).toBe(0);
  expect(readdirSync(second.layout.uploads)).toEqual([]);
});

test("an empty file is a content too", async () => {
  const { uploads, blobs } = started(temporaryDir());
  const digest = await upload(uploads, new Uint8Array());
  expect(blobs.sizeOf(digest)).toBe(0);
});

test("an upload that was cut goes on where it was, after a restart too", async () => {
  const dataDir = temporaryDir();
  const bytes = randomBytes(5_000);
  const digest = sha256(bytes);
  const first = started(dataDir);
  const begun = await first.uploads.create(digest, bytes.length);
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 2_000);
    throw new Error("the link broke");
  }
  await expect(first.uploads.append(begun, broken())).rejects.toThrow("the link broke");
  const second = started(dataDir);
  await second.uploads.sweep({ isFirst: true });
  const found = await second.uploads.find(digest);
  expect(found).toMatchObject({ offset: 2_000, length: 5_000, isStored: false });
  await upload(second.uploads, bytes);
  expect(second.blobs.sizeOf(digest)).toBe(5_000);
  assertWhole(second.layout);
});

test("what is not what it was announced as never becomes a content", async () => {
  const { uploads, blobs, layout } = started(temporaryDir());
  const digest = sha256(Buffer.from("wanted"));
  const begun = await uploads.create(digest, 6);
  await uploads.append(begun, inPieces(Buffer.from("forged"), 2));
  await expect(uploads.finish(begun)).rejects.toMatchObject({ code: "upload-altered" });
  expect(blobs.sizeOf(digest)).toBeUndefined();
  expect(blobs.usedBytes).toBe(0);
  expect(readdirSync(layout.uploads)).toEqual([]);
});

test("more bytes than were announced are refused, and what was announced can still come", async () => {
  const { uploads, blobs } = started(temporaryDir());
  const bytes = randomBytes(100);
  const begun = await uploads.create(sha256(bytes), 100);
  const more = inPieces(Buffer.concat([bytes, Buffer.from("x")]), 60);
  await expect(uploads.append(begun, more)).rejects.toMatchObject({ code: "upload-too-long" });
  await upload(uploads, bytes);
  expect(blobs.sizeOf(sha256(bytes))).toBe(100);
});

test("an upload over the quota is refused before a byte of it is taken; open uploads count whole", async () => {
  const { uploads, blobs, layout } = started(temporaryDir(), { quotaBytes: 1_000 });
  await uploads.create(sha256(Buffer.from("a")), 600);
  await expect(uploads.create(sha256(Buffer.from("b")), 401)).rejects.toMatchObject({
    code: "artifact-quota",
    message: "401 bytes do not fit: 600 of 1000 bytes are used by contents and open uploads",
  });
  expect(readdirSync(layout.uploads)).toHaveLength(2);
  await uploads.create(sha256(Buffer.from("b")), 400);
  expect(blobs.usedBytes).toBe(1_000);
  await uploads.remove(sha256(Buffer.from("a")));
  expect(blobs.usedBytes).toBe(400);
});

test("the database keeps its reserve of the disk", async () => {
  const { uploads, blobs } = started(temporaryDir(), { freeBytes: 256 * 1024 * 1024 + 500 });
  await uploads.create(sha256(Buffer.from("a")), 300);
  await expect(uploads.create(sha256(Buffer.from("b")), 201)).rejects.toMatchObject({
    code: "disk-full",
  });
  expect(blobs.usedBytes).toBe(300);
});

test("another length for an open upload is a conflict; too many uploads and too long ones are refused", async () => {
  const { uploads } = started(temporaryDir());
  await uploads.create(sha256(Buffer.from("a")), 10);
  await expect(uploads.create(sha256(Buffer.from("a")), 11)).rejects.toMatchObject({
    code: "upload-conflict",
  });
  await expect(uploads.create(sha256(Buffer.from("c")), 2 ** 36 + 1)).rejects.toMatchObject({
    code: "upload-too-long",
  });
  for (let i = 1; i < UPLOADS_OPEN_MAX; i++) await uploads.create(sha256(Buffer.from(`${i}`)), 1);
  await expect(uploads.create(sha256(Buffer.from("one more")), 1)).rejects.toMatchObject({
    code: "upload-too-many",
  });
});

test("an upload that nobody goes on with is removed, and its room is free again", async () => {
  const dataDir = temporaryDir();
  const clock = new ManualClock({ wallMs: Date.now() });
  const { uploads, blobs, layout } = started(dataDir, { clock });
  await uploads.create(sha256(Buffer.from("a")), 10);
  expect(await uploads.sweep({ isFirst: false })).toBe(0);
  await clock.advance(UPLOAD_EXPIRES_MS + 1_000);
  expect(await uploads.sweep({ isFirst: false })).toBe(1);
  expect(readdirSync(layout.uploads)).toEqual([]);
  expect(blobs.usedBytes).toBe(0);
});

test("killed at any operation of an upload, the hub has nothing or the whole content, and the upload can go on", async () => {
  const bytes = randomBytes(1_000);
  const digest = sha256(bytes);
  const counting = new CuttingDisk();
  await upload(started(temporaryDir(), { disk: counting }).uploads, bytes);
  const { operations } = counting;
  expect(operations.indexOf("sync")).toBeLessThan(operations.indexOf("rename"));
  expect(operations.lastIndexOf("syncFolder")).toBeGreaterThan(operations.lastIndexOf("rename"));
  for (const when of ["before", "half", "after"] as const) {
    for (let at = 1; at <= operations.length; at++) {
      const where = `${when} ${at} ${operations[at - 1]}`;
      const dataDir = temporaryDir();
      const cut = started(dataDir, { disk: new CuttingDisk(at, when) });
      await expect(upload(cut.uploads, bytes), where).rejects.toThrow(Killed);
      const { uploads, blobs, layout } = started(dataDir);
      assertWhole(layout);
      await uploads.sweep({ isFirst: true });
      blobs.space.restore(
        (await uploads.list()).map((u) => ({ sha256: u.sha256, bytes: u.length })),
      );
      expect(await upload(uploads, bytes), where).toBe(digest);
      expect(blobs.usedBytes, where).toBe(1_000);
      assertWhole(layout);
      await uploads.sweep({ isFirst: true });
      expect(readdirSync(layout.uploads), where).toEqual([]);
    }
  }
});

test("a file of this machine is taken in once, and not through a link", async () => {
  const dataDir = temporaryDir();
  const { uploads, blobs } = started(dataDir);
  const path = join(dataDir, "model.onnx");
  writeFileSync(path, "weights");
  const digest = sha256(Buffer.from("weights"));
  const found = { sha256: digest, length: 7 };
  expect(await uploads.takeIn(path, 100)).toEqual({ ...found, isNew: true });
  expect(await uploads.takeIn(path, 100)).toEqual({ ...found, isNew: false });
  expect(blobs.usedBytes).toBe(7);
  // An upload of it that is under way, and damaged, does not get in the way.
  const other = Buffer.from("begun by somebody else");
  writeFileSync(join(dataDir, "other"), other);
  const begun = await uploads.create(sha256(other), other.length);
  await uploads.append(begun, inPieces(Buffer.from("begun by nobody at all"), 4));
  expect(await uploads.takeIn(join(dataDir, "other"), 100)).toMatchObject({ isNew: true });
  expect(blobs.sizeOf(sha256(other))).toBe(other.length);
  await expect(uploads.takeIn(path, 6)).rejects.toMatchObject({ code: "upload-too-long" });
  symlinkSync(path, join(dataDir, "link.onnx"));
  await expect(uploads.takeIn(join(dataDir, "link.onnx"), 100)).rejects.toThrow("ELOOP");
});

test("names that no store gives are no contents: strangers, links and folders in its place", async () => {
  const dataDir = temporaryDir();
  const { layout, uploads } = started(dataDir);
  const digest = await upload(uploads, Buffer.from("real"));
  const folder = join(layout.blobs, "ab");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "notes.txt"), "x");
  writeFileSync(join(folder, sha256(Buffer.from("other folder")).replace(/^../, "cd")), "x");
  symlinkSync("/etc/passwd", join(folder, `ab${"0".repeat(62)}`));
  mkdirSync(join(folder, `ab${"1".repeat(62)}`));
  const { blobs } = started(dataDir);
  expect(blobs.list().map((b) => b.sha256)).toEqual([digest]);
});

test("a pinned content stays, one that is wanted again counts as new, and what is removed can come back at once", async () => {
  const { blobs, uploads, clock, layout } = started(temporaryDir());
  const bytes = Buffer.from("base");
  const digest = await upload(uploads, bytes);
  const unpin = blobs.pin([digest]);
  expect(await blobs.remove(digest)).toBe(false);
  unpin();
  unpin();
  const beforeMs = clock.wallMs();
  await clock.advance(60_000);
  expect(await blobs.claim(digest)).toBe(4);
  expect(await blobs.remove(digest, beforeMs)).toBe(false);
  const removed = blobs.remove(digest, clock.wallMs());
  expect(blobs.sizeOf(digest)).toBeUndefined();
  const again = upload(uploads, bytes);
  expect(await removed).toBe(true);
  await again;
  expect(readFileSync(blobPath(layout, digest))).toEqual(bytes);
  expect(blobs.usedBytes).toBe(4);
  expect(await blobs.remove(sha256(Buffer.from("never there")))).toBe(true);
});

test("when a content came is kept over a restart", async () => {
  const dataDir = temporaryDir();
  const { blobs, uploads, clock } = started(dataDir);
  const digest = await upload(uploads, Buffer.from("x"));
  utimesSync(blobs.pathOf(digest), 1_000, 1_000);
  const later = started(dataDir, { clock });
  expect(later.blobs.list()[0]?.storedWallMs).toBe(1_000_000);
  await later.blobs.claim(digest);
  const wallMs = started(dataDir).blobs.list()[0]?.storedWallMs ?? 0;
  expect(Math.abs(wallMs - clock.wallMs())).toBeLessThan(2);
});

test("a rescan finds what was stored by whoever died before telling", async () => {
  const dataDir = temporaryDir();
  const { blobs } = started(dataDir);
  const digest = await upload(started(dataDir).uploads, Buffer.from("x"));
  const told: string[] = [];
  blobs.onStored((sha) => told.push(sha));
  blobs.rescan();
  blobs.rescan();
  expect(told).toEqual([digest]);
  expect(blobs.usedBytes).toBe(1);
});

function payloads(dataDir: string, disk: Disk = nodeDisk, quotaBytes = QUOTA_BYTES) {
  const layout = artifactLayout(dataDir);
  makeFolders(layout);
  return { store: new DiskPayloadStore({ layout, quotaBytes }, { disk }), layout };
}

function work(store: DiskPayloadStore, name: string, bytes: Uint8Array): string {
  const path = join(store.workDir, name);
  writeFileSync(path, bytes);
  return path;
}

test("a payload and its manifest are there after a restart, and what was being made is gone", async () => {
  const dataDir = temporaryDir();
  const { store } = payloads(dataDir);
  const manifest = Buffer.from("manifest");
  const digest = await store.adopt(manifest, work(store, "p", Buffer.from("payload")));
  expect(digest).toBe(sha256(manifest));
  work(store, "half", Buffer.from("half"));
  const { store: again, layout } = payloads(dataDir);
  expect(again.manifest(digest)).toEqual(manifest);
  expect(again.payloadBytes(digest)).toBe(7);
  expect(again.list()).toEqual([{ manifestSha256: digest, bytes: 15 }]);
  expect(again.usedBytes).toBe(15);
  expect(readdirSync(layout.work)).toEqual([]);
  await again.remove(digest);
  expect(again.manifest(digest)).toBeUndefined();
  expect(readdirSync(layout.payloads)).toEqual([]);
  expect(again.usedBytes).toBe(0);
});

test("a cache that is full lets go what was used longest ago, and refuses what is larger than itself", async () => {
  const { store } = payloads(temporaryDir(), nodeDisk, 100);
  const put = (name: string, bytes: number): Promise<string> =>
    store.adopt(Buffer.from(name), work(store, name, Buffer.alloc(bytes)));
  const first = await put("1", 40);
  const second = await put("2", 40);
  expect(store.payloadBytes(first)).toBe(40);
  const third = await put("3", 40);
  expect(store.list().map((p) => p.manifestSha256)).toEqual([first, third]);
  expect(store.payloadBytes(second)).toBeUndefined();
  await expect(put("4", 100)).rejects.toMatchObject({ code: "artifact-cache-full" });
  expect(store.list()).toHaveLength(2);
  expect(existsSync(join(store.workDir, "4"))).toBe(false);
});

test("killed at any operation of taking a payload over, the hub has none or a whole one", async () => {
  const manifest = Buffer.from("manifest");
  const counting = new CuttingDisk();
  const counted = payloads(temporaryDir(), counting).store;
  await counted.adopt(manifest, work(counted, "p", Buffer.from("payload")));
  for (const when of ["before", "half", "after"] as const) {
    for (let at = 1; at <= counting.operations.length; at++) {
      const dataDir = temporaryDir();
      const { store } = payloads(dataDir, new CuttingDisk(at, when));
      const path = work(store, "p", Buffer.from("payload"));
      await expect(store.adopt(manifest, path), `${when} ${at}`).rejects.toThrow(Killed);
      const { store: again, layout } = payloads(dataDir);
      const isThere = again.payloadBytes(sha256(manifest)) !== undefined;
      expect(again.manifest(sha256(manifest))?.toString()).toBe(isThere ? "manifest" : undefined);
      expect(readdirSync(layout.payloads)).toHaveLength(isThere ? 2 : 0);
      const digest = await again.adopt(manifest, work(again, "p", Buffer.from("payload")));
      expect(again.payloadBytes(digest)).toBe(7);
    }
  }
});

test("killed at any operation of publishing, timestamp.json names only what is there", async () => {
  const files = new Map([
    ["timestamp.json", Buffer.from("2")],
    ["2.snapshot.json", Buffer.from("snapshot 2")],
  ]);
  const open = (dataDir: string, disk: Disk = nodeDisk) => {
    const layout = artifactLayout(dataDir);
    makeFolders(layout);
    return { store: new DiskMetadataStore({ layout }, { disk }), layout };
  };
  const before = new Map([["timestamp.json", Buffer.from("1")]]);
  const counting = new CuttingDisk();
  await open(temporaryDir(), counting).store.publish(files);
  for (const when of ["before", "half", "after"] as const) {
    for (let at = 1; at <= counting.operations.length; at++) {
      const dataDir = temporaryDir();
      await open(dataDir).store.publish(before);
      await expect(
        open(dataDir, new CuttingDisk(at, when)).store.publish(files),
        `${when} ${at}`,
      ).rejects.toThrow(Killed);
      const { store, layout } = open(dataDir);
      const timestamp = Buffer.from(store.read("timestamp.json") ?? []).toString();
      expect(["1", "2"]).toContain(timestamp);
      expect(timestamp === "1" || store.read("2.snapshot.json") !== undefined).toBe(true);
      expect(readdirSync(layout.metadata).filter((n) => n.endsWith(".tmp"))).toEqual([]);
      await store.publish(files);
      expect(store.list()).toEqual(["2.snapshot.json", "timestamp.json"]);
    }
  }
});

test("bytes for the link: as many as there are, base64, and the length of the whole", async () => {
  const dataDir = temporaryDir();
  const { store, layout } = payloads(dataDir);
  const digest = await store.adopt(Buffer.from("m"), work(store, "p", Buffer.from("payload")));
  const served = servedBytes(layout);
  const path = { kind: "payloads", sha256: digest } as const;
  expect(await served.read(path, 3, 100)).toEqual({
    data: Buffer.from("load").toString("base64"),
    totalBytes: 7,
  });
  expect(await served.read(path, 100, 5)).toEqual({ data: "", totalBytes: 7 });
  expect(await served.read({ kind: "manifests", sha256: digest }, 0, 5)).toMatchObject({
    totalBytes: 1,
  });
  expect(await served.read({ kind: "metadata", file: "no.json" }, 0, 5)).toBeUndefined();
  symlinkSync("/etc/hostname", join(layout.metadata, "link.json"));
  expect(await served.read({ kind: "metadata", file: "link.json" }, 0, 5)).toBeUndefined();
});

test("a folder that cannot be written is told as such", async () => {
  const dataDir = temporaryDir();
  const failing: Disk = {
    ...nodeDisk,
    rename: () => Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" })),
  };
  const { store } = payloads(dataDir, failing);
  const path = work(store, "p", Buffer.from("payload"));
  await expect(store.adopt(Buffer.from("m"), path)).rejects.toMatchObject({ code: "disk-full" });
  expect(readdirSync(store.workDir)).toEqual([]);
});
