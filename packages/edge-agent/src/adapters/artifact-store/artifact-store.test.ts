import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FileSystem, nodeFiles } from "@flotilla/shared/platform/file-system";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { SlotFile } from "../../app/artifact/ports.ts";
import { BlobTable } from "../store/blob-table.ts";
import { SqliteAgentStore } from "../store/sqlite-agent-store.ts";
import { FileBlobs, type FileBlobsOptions } from "./file-blobs.ts";
import { FileSlots } from "./file-slots.ts";

let root = "";
let rows = makeRows();
let needed: ReadonlySet<string> = new Set();
let nowMs = 0;
/** Bytes read, to tell whether a content was hashed. */
let readBytes = 0;

const counting: FileSystem = {
  ...nodeFiles,
  read(fd, into, position) {
    const count = nodeFiles.read(fd, into, position);
    readBytes += count;
    return count;
  },
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "artifacts-"));
  rows = makeRows();
  needed = new Set();
  readBytes = 0;
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function makeRows(): BlobTable {
  const deps = { clock: new ManualClock(), random: new SeededRandom(1), log: silentLog() };
  return new BlobTable({ store: new SqliteAgentStore({ directory: ":memory:" }, deps) });
}

let makeWay: () => void = () => undefined;

function openStore(options: Partial<FileBlobsOptions> = {}): {
  blobs: FileBlobs;
  slots: FileSlots;
} {
  const deps = { files: counting, log: silentLog() };
  const clock = { wallMs: () => nowMs };
  const blobs = new FileBlobs(
    { root, ...options },
    { ...deps, rows, clock, needed: () => needed, makeWay: () => makeWay() },
  );
  return { blobs, slots: new FileSlots({ root }, { ...deps, blobs }) };
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

async function put(blobs: FileBlobs, text: string): Promise<string> {
  const sha256 = digest(text);
  writeFileSync(blobs.partPathOf(sha256), text);
  await blobs.complete(sha256, text.length);
  return sha256;
}

async function setOf(blobs: FileBlobs, of: Record<string, string>): Promise<readonly SlotFile[]> {
  const files: SlotFile[] = [];
  for (const [path, text] of Object.entries(of))
    files.push({ path, sha256: await put(blobs, text), lengthBytes: text.length });
  return files;
}

describe("contents", () => {
  test("a part becomes the content, read only, and its part is gone", async () => {
    const { blobs } = openStore();
    const sha256 = await put(blobs, "weights");
    expect(blobs.has(sha256)).toBe(true);
    expect(readFileSync(blobs.pathOf(sha256), "utf8")).toBe("weights");
    expect(statSync(blobs.pathOf(sha256)).mode & 0o777).toBe(0o444);
    expect(existsSync(blobs.partPathOf(sha256))).toBe(false);
    // Again: it is there already.
    await blobs.complete(sha256, 7);
  });

  test.each([
    ["other bytes", "WEIGHTS", 7],
    ["too long", "weights and more", 7],
    ["too short", "wei", 7],
  ])("a part that is another content is refused and removed: %s", async (_, text, length) => {
    const { blobs } = openStore();
    const sha256 = digest("weights");
    writeFileSync(blobs.partPathOf(sha256), text);
    await expect(blobs.complete(sha256, length)).rejects.toMatchObject({ code: "blob-altered" });
    expect(existsSync(blobs.partPathOf(sha256))).toBe(false);
    expect(blobs.has(sha256)).toBe(false);
    await expect(blobs.complete(sha256, length)).rejects.toMatchObject({ code: "blob-absent" });
  });

  test("a part that is a link to a file elsewhere is no content", async () => {
    const { blobs } = openStore();
    writeFileSync(join(root, "elsewhere"), "weights");
    symlinkSync(join(root, "elsewhere"), blobs.partPathOf(digest("weights")));
    await expect(blobs.complete(digest("weights"), 7)).rejects.toMatchObject({
      code: "blob-altered",
    });
    expect(readFileSync(join(root, "elsewhere"), "utf8")).toBe("weights");
  });

  test("nothing but a digest becomes a path", () => {
    const { blobs } = openStore();
    expect(() => blobs.pathOf("../../etc/passwd")).toThrow("that is no SHA-256");
    expect(() => blobs.partPathOf("A".repeat(64))).toThrow("that is no SHA-256");
  });

  test("what somebody wrote to right after the check is no content any more, though its size is the same", async () => {
    const { blobs } = openStore();
    const sha256 = await put(blobs, "weights");
    const path = blobs.pathOf(sha256);
    chmodSync(path, 0o644);
    writeFileSync(path, "WEIGHTS");
    expect(blobs.has(sha256)).toBe(false);
    expect(await blobs.verify(sha256)).toBe(false);
    expect(existsSync(path)).toBe(false);
  });

  test("one that was only touched is read again and kept", async () => {
    const { blobs } = openStore();
    const sha256 = await put(blobs, "weights");
    utimesSync(blobs.pathOf(sha256), 9, 9);
    expect(blobs.has(sha256)).toBe(false);
    expect(await blobs.verify(sha256)).toBe(true);
    expect(blobs.has(sha256)).toBe(true);
  });

  test("the start reads only what the rows do not know, and removes what has no right to be there", async () => {
    const { blobs } = openStore();
    const [known, unknown, lost, altered] = [
      await put(blobs, "known"),
      await put(blobs, "unknown"),
      await put(blobs, "lost"),
      await put(blobs, "altered"),
    ];
    rows.remove(unknown);
    rmSync(blobs.pathOf(lost));
    rmSync(blobs.pathOf(altered));
    writeFileSync(blobs.pathOf(altered), "another");
    writeFileSync(join(root, "blobs", "strange"), "?");
    writeFileSync(blobs.partPathOf(digest("wanted")), "wan");
    writeFileSync(blobs.partPathOf(digest("unwanted")), "unw");
    readBytes = 0;
    const again = openStore().blobs;
    await again.recover((sha256) => sha256 === digest("wanted"));
    expect(readBytes).toBe("unknown".length + "another".length);
    expect(again.list().map((blob) => blob.sha256)).toEqual(
      expect.arrayContaining([known, unknown]),
    );
    expect(again.list()).toHaveLength(2);
    expect(readdirSync(join(root, "blobs")).toSorted()).toEqual([known, unknown].toSorted());
    expect(readdirSync(join(root, "parts"))).toEqual([digest("wanted")]);
  });

  test("room is made by what was used least recently and nothing needs", async () => {
    const { blobs } = openStore({ bytesMax: 100, reserveBytes: 0 });
    nowMs = 1_000;
    const current = await put(blobs, "c".repeat(40));
    nowMs = 2_000;
    const older = await put(blobs, "o".repeat(20));
    nowMs = 3_000;
    const newer = await put(blobs, "n".repeat(20));
    needed = new Set([current]);
    nowMs = 4_000_000_000;
    blobs.touch(older);
    expect(blobs.freeBytes()).toBe(20);
    expect(blobs.makeRoom(61)).toBe(false);
    expect(blobs.list()).toHaveLength(3);
    expect(blobs.makeRoom(30)).toBe(true);
    expect(blobs.has(newer)).toBe(false);
    expect(blobs.has(older)).toBe(true);
    expect(blobs.has(current)).toBe(true);
  });

  test("parts count against the quota, and the reserve is not for downloads", () => {
    const { blobs } = openStore({ bytesMax: 100, reserveBytes: 0 });
    writeFileSync(blobs.partPathOf(digest("x")), "x".repeat(70));
    expect(blobs.freeBytes()).toBe(30);
    const full = openStore({ reserveBytes: 2 ** 60 }).blobs;
    expect(full.freeBytes()).toBe(0);
    expect(full.makeRoom(1)).toBe(false);
  });
});

describe("slots", () => {
  test("a set is made in one half, switched to, and seen by the workload under one path", async () => {
    const { blobs, slots } = openStore();
    const first = await setOf(blobs, { "detector/model.onnx": "m1", "detector/a/labels": "l" });
    await slots.prepare("ns.app.c-0", "a", first);
    expect(slots.current("ns.app.c-0")).toBeUndefined();
    slots.switchTo("ns.app.c-0", "a");
    const path = slots.pathOf("ns.app.c-0");
    expect(readFileSync(join(path, "detector/model.onnx"), "utf8")).toBe("m1");
    const second = await setOf(blobs, { "detector/model.onnx": "m2" });
    await slots.prepare("ns.app.c-0", "b", second);
    expect(readFileSync(join(path, "detector/model.onnx"), "utf8")).toBe("m1");
    slots.switchTo("ns.app.c-0", "b");
    expect(readFileSync(join(path, "detector/model.onnx"), "utf8")).toBe("m2");
    expect(slots.inspect("ns.app.c-0")).toEqual({
      current: "b",
      a: { kind: "complete", files: first },
      b: { kind: "complete", files: second },
    });
    expect(readlinkSync(path)).toBe("b");
    slots.switchTo("ns.app.c-0", "a");
    expect(readFileSync(join(path, "detector/a/labels"), "utf8")).toBe("l");
  });

  test("the bytes are on the disk once", async () => {
    const { blobs, slots } = openStore();
    const files = await setOf(blobs, { "m/x": "same", "m/y": "same" });
    await slots.prepare("i", "a", files);
    expect(lstatSync(join(root, "slots/i/a/m/x")).ino).toBe(
      lstatSync(blobs.pathOf(digest("same"))).ino,
    );
  });

  test.each([
    "../outside",
    "a/../../outside",
    "/etc/passwd",
    "a//b",
    ".hidden",
    "a/.files.json",
    "a/",
    "",
    "a\0b",
    "a\nb",
    "x/".repeat(300),
  ])("a path that leads elsewhere is refused: %j", async (path) => {
    const { blobs, slots } = openStore();
    const files = [{ path, sha256: await put(blobs, "x"), lengthBytes: 1 }];
    await expect(slots.prepare("i", "a", files)).rejects.toMatchObject({
      code: "slot-path-refused",
    });
    expect(existsSync(join(root, "slots"))).toBe(false);
  });

  test("a path that stands twice, or is a file and a folder at once, is refused", async () => {
    const { blobs, slots } = openStore();
    const file = { sha256: await put(blobs, "x"), lengthBytes: 1 };
    for (const paths of [
      ["m/x", "m/x"],
      ["m/x", "m/x/y"],
    ])
      await expect(
        slots.prepare(
          "i",
          "a",
          paths.map((path) => ({ path, ...file })),
        ),
      ).rejects.toMatchObject({ code: "slot-path-refused" });
  });

  test("an instance's id is no path", async () => {
    const { blobs, slots } = openStore();
    for (const id of ["../../x", "a/b", ".", "x".repeat(320), "ä"]) {
      await slots.prepare(id, "a", await setOf(blobs, { "m/x": "x" }));
      slots.switchTo(id, "a");
      expect(slots.current(id)).toBe("a");
    }
    expect(readdirSync(join(root, "slots"))).toHaveLength(5);
    expect(readdirSync(root).toSorted()).toEqual(["blobs", "parts", "slots"]);
  });

  test("the current half is never made anew, and none is switched to that is not whole", async () => {
    const { blobs, slots } = openStore();
    const one = await setOf(blobs, { "m/x": "one" });
    expect(() => slots.switchTo("i", "a")).toThrow("was never made whole");
    await slots.prepare("i", "a", one);
    slots.switchTo("i", "a");
    // The same files: there is nothing to do.
    await slots.prepare("i", "a", one);
    const two = await setOf(blobs, { "m/x": "two" });
    await expect(slots.prepare("i", "a", two)).rejects.toMatchObject({ code: "slot-in-use" });
    const missing = [{ path: "m/x", sha256: digest("missing"), lengthBytes: 7 }];
    await expect(slots.prepare("i", "b", missing)).rejects.toMatchObject({ code: "blob-absent" });
    expect(() => slots.switchTo("i", "b")).toThrow("was never made whole");
    expect(slots.current("i")).toBe("a");
  });

  test("an untouched half is found intact without reading it", async () => {
    const { blobs, slots } = openStore();
    const files = await setOf(blobs, { "m/x": "x".repeat(100_000), "m/y": "y" });
    await slots.prepare("i", "a", files);
    readBytes = 0;
    expect(await slots.intact("i", "a", files)).toEqual({ kind: "intact" });
    expect(readBytes).toBeLessThan(1_000);
    expect(await slots.intact("i", "b", files)).toEqual({ kind: "absent" });
    expect(await slots.intact("i", "a", files.slice(1))).toEqual({ kind: "absent" });
    expect(slots.isUntouched("i", "a", files)).toBe(true);
    expect(slots.isUntouched("i", "b", files)).toBe(false);
    utimesSync(join(root, "slots/i/a/m/y"), 9, 9);
    expect(slots.isUntouched("i", "a", files)).toBe(false);
    // Nothing but its time has changed.
    expect(await slots.intact("i", "a", files)).toEqual({ kind: "intact" });
    expect(slots.isUntouched("i", "a", files)).toBe(true);
  });

  test("after the loss of the database a half is read once, and its contents are known again", async () => {
    const { blobs, slots } = openStore();
    const files = await setOf(blobs, { "m/x": "x" });
    await slots.prepare("i", "a", files);
    for (const { sha256 } of rows.all()) rows.remove(sha256);
    rmSync(blobs.pathOf(digest("x")));
    expect(await slots.intact("i", "a", files)).toEqual({ kind: "intact" });
    expect(blobs.has(digest("x"))).toBe(true);
  });

  test("a workload that writes into its files is found out, and takes no other slot's content with it unseen", async () => {
    const { blobs, slots } = openStore();
    const files = await setOf(blobs, { "m/x": "x", "m/y": "y" });
    await slots.prepare("i", "a", files);
    await slots.prepare("other", "a", files);
    const path = join(root, "slots/i/a/m/x");
    chmodSync(path, 0o644);
    appendFileSync(path, "!");
    expect(blobs.has(digest("x"))).toBe(false);
    expect(await slots.intact("other", "a", files)).toEqual({ kind: "altered", path: "m/x" });
    expect(await slots.intact("i", "a", files)).toEqual({ kind: "altered", path: "m/x" });
    await expect(slots.prepare("i", "b", files)).rejects.toMatchObject({ code: "blob-absent" });
    // Fetched again, it is prepared anew.
    await put(blobs, "x");
    await slots.prepare("i", "b", files);
    expect(await slots.intact("i", "b", files)).toEqual({ kind: "intact" });
  });

  test.each([
    ["removes a file", (half: string) => rmSync(join(half, "m/x")), "m/x"],
    [
      "puts a link in a file's place",
      (half: string) => {
        rmSync(join(half, "m/x"));
        symlinkSync("/etc/hostname", join(half, "m/x"));
      },
      "m/x",
    ],
    [
      "puts a link in a folder's place",
      (half: string) => {
        rmSync(join(half, "m"), { recursive: true });
        symlinkSync("../b/m", join(half, "m"));
      },
      "m",
    ],
  ])("a workload that %s is found out", async (_, harm, path) => {
    const { blobs, slots } = openStore();
    const files = await setOf(blobs, { "m/x": "x" });
    await slots.prepare("i", "a", files);
    await slots.prepare("i", "b", files);
    harm(join(root, "slots/i/a"));
    expect(await slots.intact("i", "a", files)).toEqual({ kind: "altered", path });
    expect(blobs.has(digest("x"))).toBe(true);
  });

  test("a half that is not current is discarded when there is no room for its content else", async () => {
    const { blobs, slots } = openStore({ bytesMax: 100 });
    const one = await setOf(blobs, { "m/x": "1".repeat(40) });
    const two = await setOf(blobs, { "m/x": "2".repeat(40) });
    await slots.prepare("i", "a", one);
    slots.switchTo("i", "a");
    await slots.prepare("i", "b", two);
    needed = new Set(one.map((file) => file.sha256));
    makeWay = () => {
      for (const half of ["a", "b"] as const) slots.discard("i", half);
    };
    expect(blobs.makeRoom(20)).toBe(true);
    expect(readdirSync(join(root, "slots/i")).toSorted()).toEqual(["a", "b", "current"]);
    expect(blobs.makeRoom(60)).toBe(true);
    expect(readdirSync(join(root, "slots/i")).toSorted()).toEqual(["a", "current"]);
    expect(blobs.list().map((blob) => blob.sha256)).toEqual([...needed]);
    makeWay = () => undefined;
  });

  test("what is removed follows no link", async () => {
    const { blobs, slots } = openStore();
    const files = await setOf(blobs, { "m/x": "x" });
    await slots.prepare("i", "a", files);
    slots.switchTo("i", "a");
    mkdirSync(join(root, "precious"));
    writeFileSync(join(root, "precious/file"), "keep");
    symlinkSync(join(root, "precious"), join(root, "slots/i/a/m/out"));
    slots.remove("i");
    slots.remove("i");
    expect(readdirSync(join(root, "slots"))).toEqual([]);
    expect(readFileSync(join(root, "precious/file"), "utf8")).toBe("keep");
    expect(blobs.has(digest("x"))).toBe(true);
  });

  test("the start removes slots of instances that are gone and what was half made, nothing else", async () => {
    const { blobs, slots } = openStore();
    const files = await setOf(blobs, { "m/x": "x" });
    for (const id of ["stays", "goes"]) {
      await slots.prepare(id, "a", files);
      slots.switchTo(id, "a");
    }
    mkdirSync(join(root, "slots/stays/b.new/m"), { recursive: true });
    mkdirSync(join(root, "slots/stays/b.old"));
    symlinkSync("b", join(root, "slots/stays/current.new"));
    mkdirSync(join(root, "slots/.gone-elsewhere"));
    slots.sweep(new Set(["stays"]));
    expect(readdirSync(join(root, "slots"))).toEqual(["stays"]);
    expect(readdirSync(join(root, "slots/stays")).toSorted()).toEqual(["a", "current"]);
    expect(await slots.intact("stays", "a", files)).toEqual({ kind: "intact" });
  });
});
