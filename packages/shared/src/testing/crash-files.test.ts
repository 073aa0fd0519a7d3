import { expect, test } from "vitest";
import { withFile, writeAll } from "../platform/file-system.ts";
import { CrashFiles, PowerCut, type Survival } from "./crash-files.ts";
import { SeededRandom } from "./seeded-random.ts";

function write(disk: CrashFiles, path: string, text: string, isSynced: boolean): void {
  withFile(disk, { path, use: "replace" }, (fd) => {
    writeAll(disk, fd, new TextEncoder().encode(text), 0);
    if (isSynced) disk.fsync(fd);
  });
}

function read(disk: CrashFiles, path: string): string | undefined {
  if (disk.lookUp(path) === undefined) return undefined;
  return withFile(disk, { path, use: "read" }, (fd) => {
    const bytes = new Uint8Array(4_096);
    return new TextDecoder().decode(bytes.subarray(0, disk.read(fd, bytes, 0)));
  });
}

/** Everything that a file may be after a cut, over many ways to cut. */
function outcomes(make: () => CrashFiles, path: string): ReadonlySet<string | undefined> {
  const ways: Survival[] = ["synced", "all"];
  for (let seed = 0; seed < 200; seed++) ways.push(new SeededRandom(seed));
  return new Set(
    ways.map((survival) => {
      const disk = make();
      disk.powerOn(survival);
      return read(disk, path);
    }),
  );
}

test("what is fsynced, with its folder, survives every cut", () => {
  const make = (): CrashFiles => {
    const disk = new CrashFiles();
    write(disk, "/f", "data", true);
    disk.syncFolder("/");
    return disk;
  };
  expect(outcomes(make, "/f")).toEqual(new Set(["data"]));
});

test("a name without an fsync of its folder may be gone, bytes without an fsync may be absent or zero", () => {
  const unnamed = (): CrashFiles => {
    const disk = new CrashFiles();
    write(disk, "/f", "data", true);
    return disk;
  };
  expect(outcomes(unnamed, "/f")).toEqual(new Set([undefined, "data"]));
  const unsynced = (): CrashFiles => {
    const disk = new CrashFiles();
    write(disk, "/f", "data", false);
    disk.syncFolder("/");
    return disk;
  };
  expect(outcomes(unsynced, "/f")).toEqual(new Set(["", "data", "\0\0\0\0"]));
});

test("a rename is the old name or the new one, never both and never none", () => {
  const make = (): CrashFiles => {
    const disk = new CrashFiles();
    write(disk, "/new", "2", true);
    write(disk, "/f", "1", true);
    disk.syncFolder("/");
    disk.rename("/new", "/f");
    return disk;
  };
  const states = new Set<string>();
  for (let seed = 0; seed < 50; seed++) {
    const disk = make();
    disk.powerOn(new SeededRandom(seed));
    states.add(`${read(disk, "/f")} ${read(disk, "/new")}`);
  }
  expect(states).toEqual(new Set(["1 2", "2 undefined"]));
});

test("a rename over a file whose bytes were never fsynced may leave an empty file", () => {
  const make = (): CrashFiles => {
    const disk = new CrashFiles();
    write(disk, "/f", "1", true);
    write(disk, "/new", "2", false);
    disk.rename("/new", "/f");
    disk.syncFolder("/");
    return disk;
  };
  expect(outcomes(make, "/f")).toContain("");
});

test("after an fsync that failed the next one succeeds, and the bytes are lost", () => {
  const disk = new CrashFiles();
  const fd = disk.open("/f", "create");
  disk.syncFolder("/");
  disk.write(fd, new TextEncoder().encode("data"), 0);
  disk.arm({ kind: "fail", at: 0, code: "EIO", lasts: "once" });
  expect(() => disk.fsync(fd)).toThrow("EIO");
  disk.fsync(fd);
  expect(read(disk, "/f")).toBe("data");
  disk.powerOn("all");
  expect(read(disk, "/f")).toBe("\0\0\0\0");
});

test("after the cut nothing is done any more, until the power is back", () => {
  const disk = new CrashFiles();
  disk.arm({ kind: "cut", at: 1, when: "before" });
  const fd = disk.open("/f", "create");
  expect(() => disk.write(fd, new Uint8Array(3), 0)).toThrow(PowerCut);
  expect(() => disk.mkdir("/d")).toThrow(PowerCut);
  expect(() => disk.around("commit", () => 1)).toThrow(PowerCut);
  disk.powerOn("all");
  expect(disk.lookUp("/f")?.sizeBytes).toBe(0);
  expect(disk.lookUp("/d")).toBeUndefined();
});

test("a full disk for ever reads and removes; a broken one does nothing", () => {
  const disk = new CrashFiles();
  write(disk, "/f", "data", true);
  disk.arm({ kind: "fail", at: 0, code: "ENOSPC", lasts: "for-ever" });
  expect(() => disk.mkdir("/d")).toThrow("ENOSPC");
  expect(read(disk, "/f")).toBe("data");
  disk.unlink("/f");
  disk.arm({ kind: "fail", at: 0, code: "EIO", lasts: "for-ever" });
  expect(() => disk.lookUp("/f")).toThrow("EIO");
});

test("links share their bytes and outlive each other; a stamp moves with each write and with no link", () => {
  const disk = new CrashFiles();
  write(disk, "/f", "data", true);
  const before = disk.lookUp("/f")?.stamp;
  disk.link("/f", "/g");
  expect(disk.lookUp("/g")?.stamp).toBe(before);
  const fd = disk.open("/g", "update");
  disk.write(fd, new TextEncoder().encode("DATA"), 0);
  expect(disk.lookUp("/f")?.stamp).not.toBe(before);
  disk.unlink("/f");
  expect(read(disk, "/g")).toBe("DATA");
  disk.mkdir("/d");
  disk.symlink("d", "/current");
  write(disk, "/current/x", "through", true);
  expect(read(disk, "/d/x")).toBe("through");
});
