import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AssertionError } from "@flotilla/shared/kernel/assert";
import { hasCode } from "@flotilla/shared/kernel/errors";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import Sqlite from "better-sqlite3";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import {
  type AgentStoreOptions,
  LAST_GOOD_INTERVAL_MS,
  SqliteAgentStore,
} from "../src/adapters/store/sqlite-agent-store.ts";
import type { OutboxDraft } from "../src/app/state/ports.ts";
import { acceptedDesired, instanceRecord } from "./support/desired.ts";
import { memoryAgentStore } from "./support/memory-agent-store.ts";

const CHILD = join(import.meta.dirname, "support", "store-crash-child.ts");
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "agent-store-"));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function openStore(
  options: AgentStoreOptions,
  clock = new ManualClock(),
): { readonly store: SqliteAgentStore; readonly log: RecordingLog } {
  const log = new RecordingLog();
  const store = new SqliteAgentStore(options, { clock, random: new SeededRandom(3), log });
  cleanups.push(() => store.close());
  return { store, log };
}

const notice = (order: unknown): OutboxDraft => ({ kind: "notice", body: { order } });
const bodies = (store: SqliteAgentStore): unknown[] => store.outbox(100_000).map((m) => m.body);

test("everything is there again after a restart, under a new epoch that is durable at once", () => {
  const directory = temporaryDirectory();
  const { store } = openStore({ directory });
  expect([store.epoch, store.outcome, store.desired(), store.revisionFloor()]).toEqual([
    1,
    "created",
    undefined,
    1,
  ]);
  store.acceptDesired(acceptedDesired({ revision: 7 }));
  store.setConvergedRevision(7);
  store.putInstance(instanceRecord());
  store.putInstance(instanceRecord({ id: "other" }));
  store.deleteInstance("other");
  store.enqueue({ ...notice(1), replyTo: "r" });
  store.close();

  const again = openStore({ directory }).store;
  expect(again.epoch).toBe(2);
  expect(again.desired()).toEqual(acceptedDesired({ revision: 7 }));
  expect(again.convergedRevision()).toBe(7);
  expect(again.instances()).toEqual([instanceRecord()]);
  expect(again.outbox(10)).toMatchObject([{ kind: "notice", body: { order: 1 }, replyTo: "r" }]);
  expect(statSync(join(directory, "agent.db")).mode & 0o777).toBe(0o600);
  expect(statSync(join(directory, "epoch")).mode & 0o777).toBe(0o600);
});

test("the epoch grows also when the database was put back from an older copy", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "agent.db");
  openStore({ directory }).store.close();
  copyFileSync(path, `${path}.old`);
  for (let i = 0; i < 3; i++) openStore({ directory }).store.close();
  copyFileSync(`${path}.old`, path);
  expect(openStore({ directory }).store.epoch).toBe(5);
});

test.each(["", "{", '{"epoch":-1,"revision":0}', '{"epoch":"9","revision":0}', "null", "[]"])(
  "an epoch file that holds %j is said and ignored, and the database's epoch counts",
  (text) => {
    const directory = temporaryDirectory();
    openStore({ directory }).store.close();
    writeFileSync(join(directory, "epoch"), text);
    const { store, log } = openStore({ directory });
    expect(store.epoch).toBe(2);
    expect(log.lines.some((l) => l.message.includes("epoch file"))).toBe(true);
  },
);

test("numbers of messages begin at 1 in each epoch, and an epoch never goes back", () => {
  const store = memoryAgentStore();
  expect([store.nextSeq(), store.nextSeq()]).toEqual([1, 2]);
  store.raiseEpoch(40);
  expect([store.epoch, store.nextSeq()]).toEqual([40, 1]);
  expect(() => store.raiseEpoch(40)).toThrow(AssertionError);
});

test("a revision below the floor is a bug that is not stored", () => {
  const store = memoryAgentStore();
  store.acceptDesired(acceptedDesired({ revision: 5 }));
  for (const revision of [4, 5])
    expect(() => store.acceptDesired(acceptedDesired({ revision }))).toThrow(AssertionError);
  expect(store.desired()?.state.revision).toBe(5);
});

test("a transaction that throws leaves nothing behind, neither on disk nor in what the store says", () => {
  const store = memoryAgentStore();
  store.acceptDesired(acceptedDesired({ revision: 1 }));
  store.putInstance(instanceRecord());
  expect(() =>
    store.transaction(() => {
      store.acceptDesired(acceptedDesired({ revision: 2 }));
      store.putInstance(instanceRecord({ restartCount: 9 }));
      store.enqueue(notice(1));
      throw new Error("changed my mind");
    }),
  ).toThrow("changed my mind");
  expect(store.desired()?.state.revision).toBe(1);
  expect(store.instances()).toEqual([instanceRecord()]);
  expect(store.outboxCount()).toBe(0);
  store.acceptDesired(acceptedDesired({ revision: 2 }));
});

test("a report takes the place of the waiting one with its key; a birth supersedes all reports and no notice", () => {
  const store = memoryAgentStore();
  store.enqueue({ kind: "report", body: { n: 1 }, coalesceKey: "capacity" });
  store.enqueue(notice("a"));
  store.enqueue({ kind: "report", body: { n: 2 }, coalesceKey: "capacity" });
  store.enqueue({ kind: "report", body: { n: 3 }, coalesceKey: "instances" });
  expect(bodies(store)).toEqual([{ order: "a" }, { n: 2 }, { n: 3 }]);
  store.supersedeReports();
  expect(bodies(store)).toEqual([{ order: "a" }]);
});

test("at its limit the outbox drops the oldest notice and counts it; without one, the oldest message", () => {
  const directory = temporaryDirectory();
  const { store } = openStore({ directory, outboxCountMax: 3 });
  store.enqueue({ kind: "report", body: { n: 1 }, coalesceKey: "k" });
  for (let i = 0; i < 4; i++) store.enqueue(notice(i));
  expect(bodies(store)).toEqual([{ n: 1 }, { order: 2 }, { order: 3 }]);
  expect(store.droppedCount).toBe(2);
  store.acknowledge(
    store
      .outbox(3)
      .slice(1)
      .map((m) => m.id),
  );
  for (let i = 2; i < 5; i++) store.enqueue({ kind: "report", body: { n: i } });
  expect(bodies(store)).toEqual([{ n: 2 }, { n: 3 }, { n: 4 }]);
  store.close();
  expect(openStore({ directory }).store.droppedCount).toBe(3);
});

test("a waiting message that this version does not know is dropped and counted, and stands in nobody's way", () => {
  const directory = temporaryDirectory();
  const { store } = openStore({ directory });
  store.enqueue(notice(1));
  store.close();
  const newer = new Sqlite(join(directory, "agent.db"));
  newer.exec(
    "INSERT INTO outbox (id, kind, body) VALUES ('a', 'of-a-newer-agent', '{}'), ('b', 'notice', '{\"order\":')",
  );
  newer.close();
  const { store: back, log } = openStore({ directory });
  expect(bodies(back)).toEqual([{ order: 1 }]);
  expect([back.outboxCount(), back.droppedCount]).toEqual([1, 2]);
  expect(log.lines.filter((l) => l.level === "warn")).toHaveLength(1);
});

test("whatever is queued and acknowledged, the outbox is the list of what waits, in order", () => {
  const command = fc.oneof(
    fc.record({ add: fc.option(fc.constantFrom("x", "y"), { nil: undefined }) }),
    fc.record({ ack: fc.nat({ max: 6 }) }),
    fc.constant("birth" as const),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
      const store = memoryAgentStore({ outboxCountMax: 8 });
      let model: { n: number; key: string | undefined }[] = [];
      commands.forEach((c, n) => {
        if (c === "birth") {
          store.supersedeReports();
          model = model.filter((m) => m.key === undefined);
        } else if ("ack" in c) {
          const ids = store.outbox(c.ack).map((m) => m.id);
          store.acknowledge(ids);
          model = model.slice(c.ack);
        } else {
          const key = c.add;
          store.enqueue({
            kind: key === undefined ? "notice" : "report",
            body: n,
            ...(key === undefined ? {} : { coalesceKey: key }),
          });
          model = model.filter((m) => key === undefined || m.key !== key);
          if (model.length >= 8) {
            const oldest = Math.max(
              0,
              model.findIndex((m) => m.key === undefined),
            );
            model = model.toSpliced(oldest, 1);
          }
          model.push({ n, key });
        }
        expect(bodies(store)).toEqual(model.map((m) => m.n));
      });
    }),
    { seed: 42, numRuns: 60 },
  );
});

test("a damaged database gives way to its last good copy; the epoch and the accepted revision do not go back", () => {
  const running = temporaryDirectory();
  const { store } = openStore({ directory: running });
  store.acceptDesired(acceptedDesired({ revision: 3 }));
  store.acceptDesired(acceptedDesired({ revision: 9 }));
  // What a power cut leaves, on a bad disk: the copy is from before revision 9, and the file is damaged.
  const directory = temporaryDirectory();
  cpSync(running, directory, { recursive: true });
  const path = join(directory, "agent.db");
  rmSync(`${path}-wal`);
  rmSync(`${path}-shm`);
  writeFileSync(path, readFileSync(path).fill(0xa5, 0, 100));

  const after = openStore({ directory }).store;
  expect(after.outcome).toBe("restored");
  expect(after.epoch).toBe(2);
  expect(after.desired()?.state.revision).toBe(3);
  expect(after.revisionFloor()).toBe(9);
  expect(() => after.acceptDesired(acceptedDesired({ revision: 8 }))).toThrow(AssertionError);
  after.acceptDesired(acceptedDesired({ revision: 9 }));
  after.enqueue(notice("works"));
});

test("instance records that are readable in the damaged file are kept", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "agent.db");
  const { store } = openStore({ directory });
  store.acceptDesired(acceptedDesired({ revision: 3 }));
  store.putInstance(instanceRecord({ restartCount: 4 }));
  for (let i = 0; i < 500; i++) store.enqueue(notice("x".repeat(100)));
  store.close();
  // Damage within the outbox, which comes last in the file.
  const whole = readFileSync(path);
  whole.fill(0xa5, whole.length - 20_000, whole.length - 10_000);
  writeFileSync(path, whole);
  const { store: after, log } = openStore({ directory });
  expect(after.outcome).toBe("restored");
  expect(after.instances()).toEqual([instanceRecord({ restartCount: 4 })]);
  expect(
    log.lines.some(
      (l) =>
        l.message === "salvaged from the damaged database" &&
        l.fields["what"] === "instance records",
    ),
  ).toBe(true);
});

test("with no copy and a file cut short the store begins anew, above the old epoch and revision", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "agent.db");
  const { store } = openStore({ directory });
  store.acceptDesired(acceptedDesired({ revision: 6 }));
  store.close();
  rmSync(`${path}.last-good`);
  truncateSync(path, 3000);
  const after = openStore({ directory }).store;
  expect([after.outcome, after.epoch, after.desired(), after.revisionFloor()]).toEqual([
    "recreated",
    2,
    undefined,
    6,
  ]);
});

test("copies are made no oftener than every ten minutes", async () => {
  const directory = temporaryDirectory();
  const path = join(directory, "agent.db.last-good");
  const clock = new ManualClock();
  const { store } = openStore({ directory }, clock);
  const accept = (revision: number): number => {
    store.acceptDesired(acceptedDesired({ revision }));
    return statSync(path).ino;
  };
  const first = accept(1);
  expect(accept(2)).toBe(first);
  await clock.advance(LAST_GOOD_INTERVAL_MS);
  expect(accept(3)).not.toBe(first);
});

test("a full disk is a coded error, nothing half-written, and the store goes on when there is room", () => {
  const directory = temporaryDirectory();
  const { store } = openStore({ directory, databaseBytesMax: 128 * 1024 });
  store.acceptDesired(acceptedDesired({ revision: 1 }));
  let queued = 0;
  let error: unknown;
  while (error === undefined && queued < 10_000)
    try {
      store.enqueue(notice("x".repeat(500)));
      queued += 1;
    } catch (thrown) {
      error = thrown;
    }
  expect(hasCode(error, "database-full")).toBe(true);
  expect(store.outboxCount()).toBe(queued);
  const big = acceptedDesired({ revision: 2, issuedAt: "x".repeat(50_000) });
  expect(() => store.acceptDesired(big)).toThrow(/full/);
  expect(store.desired()?.state.revision).toBe(1);
  store.acknowledge(store.outbox(queued).map((m) => m.id));
  store.acceptDesired(big);
  store.enqueue(notice("goes on"));
  expect(bodies(store)).toEqual([{ order: "goes on" }]);
  expect(store.desired()?.state.revision).toBe(2);
});

const KILLS = 10;

test("a store killed at any moment keeps accepted revisions, epoch and the order of the outbox", async () => {
  const directory = temporaryDirectory();
  const random = new SeededRandom(42);
  let epochMax = 0;
  let acceptedMax = 0;
  let queued: string[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const lines = await writeAndKill(directory, random);
    const [opened, ...rest] = lines.map((line) => line.split(" "));
    expect(Number(opened?.[1])).toBeGreaterThan(epochMax);
    epochMax = Number(opened?.[1]);
    const told = (what: string): string[] =>
      rest.filter((line) => line[0] === what).map((line) => line[1] ?? "");
    const accepted = [acceptedMax, ...told("accepted").map(Number)];
    expect(accepted).toEqual([...new Set(accepted)].toSorted((a, b) => a - b));
    acceptedMax = accepted.at(-1) ?? 0;
    queued = [...queued, ...told("queued")];
    const acknowledged = told("acknowledged").map((text) => orderOf(JSON.parse(text)));
    expect(acknowledged).toEqual(queued.slice(0, acknowledged.length));
    queued = queued.slice(acknowledged.length);
    const { store } = openStore({ directory, outboxCountMax: 500 });
    expect(store.outcome).toBe("opened");
    expect(store.epoch).toBe(epochMax + 1);
    epochMax = store.epoch;
    expect(store.desired()?.state.revision ?? 0).toBeGreaterThanOrEqual(acceptedMax);
    const waiting = bodies(store).map(orderOf);
    // What the killed process did last may be durable without having been told.
    const tolerated = [queued, queued.slice(1)].some(
      (known) =>
        known.every((order, i) => waiting[i] === order) && waiting.length <= known.length + 1,
    );
    expect(tolerated, `${waiting.length} wait, ${queued.length} were told`).toBe(true);
    queued = waiting;
    store.close();
  }
});

function orderOf(body: unknown): string {
  return typeof body === "object" && body !== null && "order" in body ? String(body.order) : "";
}

/** Runs the writer, kills it at a random moment, and returns the whole lines that it printed. */
async function writeAndKill(directory: string, random: SeededRandom): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const linesMin = 2 + Math.floor(random.unit("lines") * 120);
  const delayMs = random.unit("delay") * 10;
  let output = "";
  let planned = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    if (planned || output.split("\n").length < linesMin) return;
    planned = true;
    setTimeout(() => child.kill("SIGKILL"), delayMs);
  });
  await once(child, "close");
  return output.split("\n").slice(0, -1);
}
