import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasCode } from "@flotilla/shared/kernel/errors";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import fc from "fast-check";
import { expect, test } from "vitest";
import { BACKUP_INTERVAL_MS, StoreMaintenance } from "../src/adapters/store/maintenance.ts";
import type { AnyObject, Change, LogEntry } from "../src/app/resources/ports.ts";
import { configMap, secret } from "./support/objects.ts";
import { temporaryDir, testStore } from "./support/store.ts";

const key = (name: string, namespace = "default") =>
  ({ kind: "ConfigMap", namespace, name }) as const;
const put = (name: string, value: string, expected: Change["expect"] = "any"): Change => ({
  key: key(name),
  expect: expected,
  object: configMap(name, { value }),
});
const drop = (name: string, expected: Change["expect"] = "any"): Change => ({
  key: key(name),
  expect: expected,
  object: undefined,
});
const one = (change: Change) => ({ changes: [change] });

test("a committed object is there at once, frozen, with the log's number as its resourceVersion", async () => {
  const store = testStore();
  const result = await store.commit(one(put("a", "1", "absent")));
  expect(result).toMatchObject({
    ok: true,
    revision: 1,
    entries: [{ type: "ADDED", revision: 1 }],
  });
  const object = store.get("ConfigMap", "default", "a");
  expect(object?.metadata.resourceVersion).toBe("1");
  expect(Object.isFrozen(object?.data)).toBe(true);
});

test("a commit whose precondition fails writes nothing and answers what stands there", async () => {
  const store = testStore();
  await store.commit(one(put("a", "1")));
  const result = await store.commit({ changes: [put("b", "x"), put("a", "2", 99)] });
  expect(result).toMatchObject({ ok: false, key: key("a"), current: { data: { value: "1" } } });
  expect(store.get("ConfigMap", "default", "b")).toBeUndefined();
  expect(store.revision).toBe(1);
  expect(await store.commit(one(put("a", "2", "absent")))).toMatchObject({ ok: false });
  expect(await store.commit(one(drop("none", 3)))).toMatchObject({ ok: false, current: undefined });
});

test("commits of one turn share a transaction and keep their own preconditions", async () => {
  const store = testStore();
  const lines: LogEntry[] = [];
  let calls = 0;
  store.subscribe((entries) => {
    calls++;
    lines.push(...entries);
  });
  const [first, second, third] = await Promise.all([
    store.commit(one(put("a", "1", "absent"))),
    store.commit(one(put("a", "2", "absent"))),
    store.commit(one(put("a", "3", 1))),
  ]);
  expect([first.ok, second.ok, third.ok]).toEqual([true, false, true]);
  expect(calls).toBe(1);
  expect(lines.map((l) => [l.revision, l.type])).toEqual([
    [1, "ADDED"],
    [2, "MODIFIED"],
  ]);
});

test("a change that alters nothing writes no line, whatever the order of its keys", async () => {
  const store = testStore();
  await store.commit(one({ ...put("a", ""), object: configMap("a", { x: "1", y: "2" }) }));
  const again = { ...put("a", ""), object: configMap("a", { y: "2", x: "1" }) };
  expect(await store.commit(one(again))).toEqual({ ok: true, revision: 1, entries: [] });
  expect(await store.commit(one(drop("none")))).toMatchObject({ ok: true, entries: [] });
});

test("what the caller does to its object afterwards changes nothing", async () => {
  const store = testStore();
  const data: Record<string, string> = { value: "1" };
  await store.commit(one({ ...put("a", ""), object: configMap("a", data) }));
  data["value"] = "2";
  expect(store.get("ConfigMap", "default", "a")?.data).toEqual({ value: "1" });
});

test("lists are sorted by namespace, then name, in code unit order", async () => {
  const store = testStore();
  const changes = [
    ["b", "z"],
    ["a", "z"],
    ["a-b", "y"],
    ["a.b", "y"],
  ] as const;
  await store.commit({
    changes: changes.map(([name, namespace]) => ({
      key: key(name, namespace),
      expect: "absent" as const,
      object: configMap(name, {}, namespace),
    })),
  });
  const names = (objects: readonly AnyObject[]) =>
    objects.map((o) => `${o.metadata.namespace}/${o.metadata.name}`);
  expect(names(store.list("ConfigMap"))).toEqual(["y/a-b", "y/a.b", "z/a", "z/b"]);
  expect(names(store.list("ConfigMap", "z"))).toEqual(["z/a", "z/b"]);
  expect(store.list("ConfigMap", "none")).toEqual([]);
});

test("everything is there again after a new start, and the term has grown", async () => {
  const dataDir = temporaryDir();
  const first = testStore({ dataDir });
  const desired = {
    nodeId: "n1",
    revision: 7,
    contentDigest: "d",
    payload: "{}",
    signature: "s",
    keyId: "k",
  };
  await first.commit({
    changes: [put("a", "1"), put("b", "1")],
    cursors: [{ nodeId: "n1", epoch: 3, seq: 9 }],
    desired: [desired],
  });
  await first.commit({ changes: [put("a", "2"), drop("b")] });
  const before = first.logAfter(0, 100);
  first.close();
  const second = testStore({ dataDir });
  expect(second.term).toBeGreaterThan(first.term);
  expect(second.revision).toBe(4);
  expect(second.list("ConfigMap")).toEqual(first.list("ConfigMap"));
  expect(second.cursor("n1")).toEqual({ nodeId: "n1", epoch: 3, seq: 9 });
  expect(second.desired("n1")).toEqual(desired);
  expect(second.logAfter(0, 100)).toEqual(before);
  expect(second.logAfter(2, 1)?.map((l) => l.revision)).toEqual([3]);
});

test("the number of a deleted object is never given again", async () => {
  const dataDir = temporaryDir();
  const first = testStore({ dataDir, logLinesMin: 0, logLinesMax: 0 });
  await first.commit(one(put("a", "1")));
  await first.commit(one(drop("a")));
  first.compact();
  first.close();
  expect(testStore({ dataDir }).revision).toBe(2);
});

test("a compacted log answers from the compacted revision on, with what was there before", async () => {
  const dataDir = temporaryDir();
  const store = testStore({ dataDir, logLinesMin: 2, logLinesMax: 3, ringLines: 1 });
  await store.commit(one(put("old", "1")));
  for (let i = 0; i < 8; i++) await store.commit(one(put("a", String(i))));
  await store.commit(one(put("old", "2")));
  store.compact();
  expect(store.compactedRevision).toBe(7);
  expect(store.logAfter(6, 10)).toBeUndefined();
  store.close();
  const reopened = testStore({ dataDir });
  expect(reopened.compactedRevision).toBe(7);
  expect(reopened.logAfter(6, 10)).toBeUndefined();
  expect(reopened.logAfter(7, 10)?.at(-1)).toMatchObject({
    revision: 10,
    object: { data: { value: "2" } },
    previous: { data: { value: "1" } },
  });
});

test("the log is compacted by age too, but never below its least length", async () => {
  const clock = new ManualClock();
  const store = testStore({ clock, logLinesMin: 2, logAgeMsMax: 1000 });
  for (let i = 0; i < 5; i++) await store.commit(one(put("a", String(i))));
  store.compact();
  expect(store.compactedRevision).toBe(0);
  await clock.advance(2000);
  store.compact();
  expect(store.compactedRevision).toBe(3);
});

test("the log from memory and the log from the disk say the same", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom("put", "drop"), fc.nat(3)),
        { maxLength: 40 },
      ),
      async (writes) => {
        const dataDir = temporaryDir();
        const store = testStore({ dataDir });
        await Promise.all(
          writes.map(([name, what, value]) =>
            store.commit(one(what === "put" ? put(name, String(value)) : drop(name))),
          ),
        );
        const memory = store.logAfter(0, 1000);
        const objects = store.list("ConfigMap");
        store.close();
        const reopened = testStore({ dataDir });
        expect(reopened.logAfter(0, 1000)).toEqual(memory);
        expect(reopened.list("ConfigMap")).toEqual(objects);
        reopened.close();
      },
    ),
    { seed: 42, numRuns: 15 },
  );
});

test("no file in the data folder holds a Secret's value or a desired state's, not even a copy", async () => {
  const dataDir = temporaryDir();
  const canary = "canary-5f1c9e";
  const store = testStore({ dataDir });
  await store.commit({
    changes: [
      {
        key: { kind: "Secret", namespace: "default", name: "s" },
        expect: "absent",
        object: secret("s", { password: canary }),
      },
    ],
    desired: [
      {
        nodeId: "n1",
        revision: 1,
        contentDigest: "",
        payload: canary,
        signature: "",
        keyId: "",
      },
    ],
  });
  store.backup();
  const files = readdirSync(dataDir);
  expect(files).toEqual(expect.arrayContaining(["hub.db", "hub.db-wal", "hub.db.last-good"]));
  for (const file of files) expect(readFileSync(join(dataDir, file)).includes(canary)).toBe(false);
  expect(statSync(join(dataDir, "store.key")).mode & 0o777).toBe(0o600);
  store.close();
  const reopened = testStore({ dataDir });
  expect(reopened.get("Secret", "default", "s")?.data).toEqual({ password: canary });
  expect(reopened.logAfter(0, 9)?.[0]?.object).toMatchObject({ data: { password: canary } });
});

test("a missing, foreign or exposed key is refused with its mend, and nothing is made anew", () => {
  const dataDir = temporaryDir();
  testStore({ dataDir }).close();
  const keyPath = join(dataDir, "store.key");
  const saved = readFileSync(keyPath);
  const codeAtOpen = () => {
    try {
      testStore({ dataDir }).close();
      return "opened";
    } catch (error) {
      return error instanceof Error && "code" in error ? error.code : error;
    }
  };
  rmSync(keyPath);
  expect(codeAtOpen()).toBe("key-missing");
  writeFileSync(keyPath, Buffer.alloc(32, 1), { mode: 0o600 });
  expect(codeAtOpen()).toBe("key-mismatch");
  writeFileSync(keyPath, saved);
  chmodSync(keyPath, 0o644);
  expect(codeAtOpen()).toBe("key-exposed");
  chmodSync(keyPath, 0o600);
  expect(codeAtOpen()).toBe("opened");
});

test("a full disk refuses the commit with its code; memory is as it was and the store goes on", async () => {
  const dataDir = temporaryDir();
  const store = testStore({
    dataDir,
    databaseBytesMax: 400_000,
    logLinesMin: 1,
    logLinesMax: 1,
  });
  const large = (i: number) => put("a", String(i).repeat(20_000));
  let failure: unknown;
  let written = 0;
  for (; failure === undefined && written < 100; written++)
    await store.commit(one(large(written % 10))).catch((error: unknown) => {
      failure = error;
    });
  expect(hasCode(failure, "database-full")).toBe(true);
  expect(store.revision).toBe(written - 1);
  expect(store.get("ConfigMap", "default", "a")?.metadata.resourceVersion).toBe(
    String(written - 1),
  );
  expect(store.compact()).toBeGreaterThan(0);
  expect(await store.commit(one(put("b", "small")))).toMatchObject({ ok: true, revision: written });
  store.close();
  expect(testStore({ dataDir }).revision).toBe(written);
});

test("an object that is too large is refused alone", async () => {
  const store = testStore();
  const [large, small] = await Promise.allSettled([
    store.commit(one(put("a", "x".repeat(2 * 1024 * 1024)))),
    store.commit(one(put("b", "x"))),
  ]);
  expect(large.status === "rejected" && hasCode(large.reason, "object-too-large")).toBe(true);
  expect(small.status).toBe("fulfilled");
});

test("what waits is written at close, and later commits are refused", async () => {
  const dataDir = temporaryDir();
  const store = testStore({ dataDir });
  const waiting = store.commit(one(put("a", "1")));
  store.close();
  expect(await waiting).toMatchObject({ ok: true });
  await expect(store.commit(one(put("b", "1")))).rejects.toMatchObject({ code: "store-closed" });
  expect(testStore({ dataDir }).list("ConfigMap")).toHaveLength(1);
});

test("a damaged database is restored from the last copy, and revisions begin above all that were given", async () => {
  const dataDir = temporaryDir();
  const store = testStore({ dataDir });
  await store.commit(one(put("a", "1")));
  store.backup();
  await store.commit(one(put("a", "2")));
  const { term } = store;
  store.close();
  const path = join(dataDir, "hub.db");
  const bytes = readFileSync(path);
  bytes.fill(0xff, 0, 4096);
  writeFileSync(path, bytes);
  const restored = testStore({ dataDir });
  expect(restored.outcome).toBe("restored");
  expect(restored.get("ConfigMap", "default", "a")?.data).toEqual({ value: "1" });
  expect(restored.revision).toBeGreaterThan(2);
  expect(restored.term).toBeGreaterThan(term);
  expect(restored.logAfter(2, 10)).toBeUndefined();
  const next = await restored.commit(one(put("a", "3")));
  expect(next.ok && next.revision).toBe(restored.revision);
});

test("a restored database begins above what was given also when the clock says 1970", async () => {
  const dataDir = temporaryDir();
  const clock = new ManualClock({ wallMs: 0 });
  const store = testStore({ dataDir, clock });
  await store.commit(one(put("a", "0")));
  store.backup();
  for (let i = 1; i <= 5; i++) await store.commit(one(put("a", String(i))));
  const given = store.revision;
  store.close();
  writeFileSync(join(dataDir, "hub.db"), Buffer.alloc(8_192, 0xff));
  const restored = testStore({ dataDir, clock });
  expect(restored.outcome).toBe("restored");
  expect(restored.revision).toBeGreaterThan(given);
});

test("a listener that fails does not keep the others from hearing", async () => {
  const store = testStore();
  let heard = 0;
  store.subscribe(() => {
    throw new Error("listener");
  });
  const stop = store.subscribe(() => heard++);
  await store.commit(one(put("a", "1")));
  stop();
  await store.commit(one(put("a", "2")));
  expect(heard).toBe(1);
});

test("maintenance compacts and saves a copy again and again until it is told to stop", async () => {
  const clock = new ManualClock();
  const calls: string[] = [];
  const store = {
    compact: () => calls.push("compact"),
    backup: () => {
      calls.push("backup");
      throw new Error("disk full");
    },
  };
  const stop = new AbortController();
  const running = new StoreMaintenance({ store, clock, log: silentLog() }).run(stop.signal);
  await clock.advance(2 * BACKUP_INTERVAL_MS);
  stop.abort();
  await running;
  expect(calls.filter((c) => c === "backup")).toHaveLength(2);
  expect(calls.filter((c) => c === "compact").length).toBeGreaterThan(5);
});
