import type { FileSystem } from "@flotilla/shared/platform/file-system";
import type { CrashFiles, Fault, Operation, Survival } from "@flotilla/shared/testing/crash-files";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { CrashNode, isCut, memoryStore } from "../../../test/support/crash-node.ts";

/** Ways in which a cut may leave the disk, each tried at each operation: strictest, mildest, and one in between. */
const SURVIVALS: readonly ((at: number) => Survival)[] = [
  () => "synced",
  () => "all",
  (at) => new SeededRandom(at),
];
/** A failure that is over is over after so many further tries. */
const TRIES_MAX = 4;

const STORE = memoryStore();
const freshNode = (): CrashNode => new CrashNode(STORE);
let operations: readonly Operation[] = [];

// A sweep takes some seconds, and many times that on a machine that does other things too.
vi.setConfig({ testTimeout: 300_000 });

beforeAll(async () => {
  const node = freshNode();
  await node.live();
  operations = node.disk.operations;
});

/** Runs until the fault; what was thrown. */
async function until(node: CrashNode, fault: Fault): Promise<unknown> {
  node.disk.arm(fault);
  try {
    await node.live();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** All that is wrong after a cut, and after the start that follows it. */
async function afterCut(node: CrashNode, survival: Survival): Promise<readonly string[]> {
  node.halt();
  node.disk.powerOn(survival);
  const wrong = [node.damage()];
  node.disk.arm();
  try {
    await node.live();
  } catch (error) {
    return [...wrong, `the next start fails: ${String(error)}`].flatMap((w) => w ?? []);
  }
  wrong.push(node.damage());
  if (!node.isFinished) wrong.push("the update does not complete");
  return wrong.flatMap((w) => w ?? []);
}

const changing = (): readonly number[] =>
  operations.flatMap((operation, i) => (operation.changes ? [i] : []));

describe("download, apply, complete, prepare, switch, commit and roll back", () => {
  test("consist of so many operations that the sweeps below mean something", () => {
    expect(changing().length).toBeGreaterThan(150);
    expect(new Set(operations.map((o) => o.name))).toEqual(
      new Set([
        ..."open create read write truncate chmod setTime stat fsync syncFolder rename".split(" "),
        ..."link symlink unlink mkdir rmdir list lookUp readLink commit".split(" "),
      ]),
    );
  });

  test.each(["before", "after", "torn"] as const)(
    "cut %s every operation: a whole version is active, and the update completes",
    async (when) => {
      const wrong: string[] = [];
      // Before an operation is after the one before it, but for those that fail; only a write can be torn.
      const points = changing().filter((at) => when !== "torn" || operations[at]?.name === "write");
      for (const at of points)
        for (const survivalAt of when === "before" ? SURVIVALS.slice(-1) : SURVIVALS) {
          const node = freshNode();
          expect(isCut(await until(node, { kind: "cut", at, when }))).toBe(true);
          for (const what of await afterCut(node, survivalAt(at)))
            wrong.push(`${at} ${operations[at]?.name} ${operations[at]?.path}: ${what}`);
        }
      expect(wrong).toEqual([]);
    },
  );

  test("cut again while starting from a cut: no different", async () => {
    const wrong: string[] = [];
    const random = new SeededRandom(77);
    const points = changing();
    for (let run = 0; run < 250; run++) {
      const node = freshNode();
      for (let cuts = 0; cuts < 4; cuts++) {
        const at = points[Math.floor(random.unit("at") * points.length)] ?? 0;
        const isSoon = cuts > 0 && random.unit("soon") < 0.7;
        await until(node, { kind: "cut", at: isSoon ? at % 25 : at, when: "after" });
        node.halt();
        node.disk.powerOn(new SeededRandom(run * 10 + cuts));
        wrong.push(...[node.damage()].flatMap((w) => w ?? []));
      }
      wrong.push(...(await afterCut(node, new SeededRandom(run))));
    }
    expect(wrong).toEqual([]);
  });

  test.each(["ENOSPC", "EIO"] as const)(
    "%s once at every operation: the agent lives, and the update completes",
    async (code) => {
      const wrong: string[] = [];
      for (const at of operations.keys()) {
        const node = freshNode();
        const first = await until(node, { kind: "fail", at, code, lasts: "once" });
        for (let tries = 0; tries < TRIES_MAX && !node.isFinished; tries++)
          await node.live().catch(() => undefined);
        node.disk.arm();
        const where = `${at} ${operations[at]?.name} ${operations[at]?.path} (${String(first)})`;
        if (!node.isFinished) wrong.push(`${where}: the update does not complete`);
        wrong.push(...[node.damage()].flatMap((w) => (w === undefined ? [] : [`${where}: ${w}`])));
        // Nothing is believed that the disk has lost in the failure.
        for (const what of await afterCut(node, "synced"))
          wrong.push(`${where}, then cut: ${what}`);
      }
      expect(wrong).toEqual([]);
    },
  );

  test.each(["ENOSPC", "EIO"] as const)(
    "%s from any operation on: what was active stays, and when the disk is well again the update completes",
    async (code) => {
      const wrong: string[] = [];
      for (const at of operations.keys()) {
        const node = freshNode();
        await until(node, { kind: "fail", at, code, lasts: "for-ever" });
        for (let tries = 0; tries < TRIES_MAX; tries++) await node.live().catch(() => undefined);
        node.disk.arm();
        const where = `${at} ${operations[at]?.name} ${operations[at]?.path}`;
        wrong.push(...[node.damage()].flatMap((w) => (w === undefined ? [] : [`${where}: ${w}`])));
        if (at % 2 === 0) {
          for (const what of await afterCut(node, "synced"))
            wrong.push(`${where}, then cut: ${what}`);
          continue;
        }
        for (let tries = 0; tries < TRIES_MAX && !node.isFinished; tries++)
          await node.live().catch(() => undefined);
        if (!node.isFinished) wrong.push(`${where}: the update does not complete`);
        for (const what of await afterCut(node, "synced")) wrong.push(`${where}, later: ${what}`);
      }
      expect(wrong).toEqual([]);
    },
  );
});

/** Mistakes that are easily made. A sweep that passes with one of them would prove nothing. */
const MISTAKES: Readonly<Record<string, (disk: CrashFiles) => FileSystem>> = {
  "no fsync of files": (disk) => altered(disk, { fsync: () => undefined }),
  "no fsync of folders": (disk) => altered(disk, { syncFolder: () => undefined }),
  "folders within a slot are not synced": (disk) => forgetting(disk, "/model"),
  "the folder of a slot is not synced": (disk) => forgetting(disk, "detector-0"),
  "the switch removes before it names": (disk) =>
    altered(disk, {
      rename(from, to) {
        if (to.endsWith("/current") && disk.lookUp(to) !== undefined) disk.unlink(to);
        disk.rename(from, to);
      },
    }),
};

function altered(disk: CrashFiles, change: Partial<FileSystem>): FileSystem {
  return new Proxy<FileSystem>(disk, {
    get(_, name) {
      const own: unknown = Reflect.get(change, name) ?? Reflect.get(disk, name, disk);
      return typeof own === "function" ? own.bind(disk) : own;
    },
  });
}

function forgetting(disk: CrashFiles, folder: string): FileSystem {
  return altered(disk, {
    syncFolder(path) {
      if (!path.endsWith(folder)) disk.syncFolder(path);
    },
  });
}

describe("the sweep sees what it is made for", () => {
  test.each(Object.entries(MISTAKES))("%s", async (_, files) => {
    const whole = new CrashNode(STORE, files);
    await whole.live();
    const points = whole.disk.operations.flatMap((o, i) => (o.changes ? [i] : []));
    const found: string[] = [];
    for (const at of points.toReversed()) {
      if (found.length > 0) break;
      for (const survival of ["all", new SeededRandom(at)] as const) {
        const node = new CrashNode(STORE, files);
        await until(node, { kind: "cut", at, when: "after" });
        found.push(...(await afterCut(node, survival)));
      }
    }
    expect(found).not.toEqual([]);
  });

  test("an fsync that fails and is taken for done", async () => {
    const files = (disk: CrashFiles): FileSystem =>
      altered(disk, {
        fsync(fd) {
          try {
            disk.fsync(fd);
          } catch (error) {
            if (isCut(error)) throw error;
          }
        },
      });
    const found: string[] = [];
    const whole = new CrashNode(STORE, files);
    await whole.live();
    for (const [at, { name }] of whole.disk.operations.entries()) {
      if (name !== "fsync") continue;
      const node = new CrashNode(STORE, files);
      await until(node, { kind: "fail", at, code: "EIO", lasts: "once" });
      found.push(...(await afterCut(node, "synced")));
    }
    expect(found).not.toEqual([]);
  });
});
