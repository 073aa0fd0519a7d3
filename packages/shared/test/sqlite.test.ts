import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AssertionError } from "../src/kernel/assert.ts";
import {
  CORRUPT_COPIES_MAX,
  type Database,
  type Migration,
  openDatabase,
  saveLastGood,
} from "../src/platform/sqlite.ts";
import { withSqliteErrors } from "../src/platform/sqlite-errors.ts";
import { RecordingLog, silentLog } from "../src/testing/silent-log.ts";
import { ROWS } from "./sqlite-rows.ts";

const PAGE_BYTES = 4096;

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-sqlite-"));
  path = join(folder, "state.db");
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const open = (
  migrations: readonly Migration[] = ROWS,
  log = silentLog(),
): ReturnType<typeof openDatabase> => openDatabase({ path, migrations, log });

function addRows(db: Database, from: number, to: number): void {
  const insert = db.prepare("INSERT INTO row (n, payload) VALUES (?, ?)");
  db.transaction(() => {
    for (let n = from; n <= to; n++) insert.run(n, "p".repeat(500));
  })();
}

function rowCount(db: Database): number {
  return db.prepare<[], { count: number }>("SELECT count(*) AS count FROM row").get()?.count ?? -1;
}

/** 100 rows in the last good copy, 200 in the database, closed. */
function makeDatabase(): void {
  const { db } = open();
  addRows(db, 1, 100);
  saveLastGood(db, path);
  addRows(db, 101, 200);
  db.close();
}

/** The outcome, and how many rows there are then. */
function reopened(): { outcome: string; rows: number } {
  const { db, outcome } = open();
  const rows = rowCount(db);
  db.close();
  return { outcome, rows };
}

function damagePage(file: string, page: number): void {
  const bytes = readFileSync(file);
  bytes.fill(0xff, page * PAGE_BYTES, page * PAGE_BYTES + 64);
  writeFileSync(file, bytes);
}

test("a new database is created once and opened after that, readable by its owner only", () => {
  const first = open();
  expect(first.outcome).toBe("created");
  addRows(first.db, 1, 3);
  const modes = readdirSync(folder).map((name) => [
    name,
    statSync(join(folder, name)).mode & 0o777,
  ]);
  expect(modes).toEqual(modes.map(([name]) => [name, 0o600]));
  first.db.close();
  expect(reopened()).toEqual({ outcome: "opened", rows: 3 });
});

test("synchronous stays FULL over transactions, in WAL, with foreign keys on", () => {
  const { db } = open();
  addRows(db, 1, 3);
  addRows(db, 4, 6);
  expect(db.pragma("synchronous", { simple: true })).toBe(2);
  expect(db.pragma("journal_mode", { simple: true })).toBe("wal");
  expect(db.pragma("foreign_keys", { simple: true })).toBe(1);
  db.close();
});

test("without the explicit setting the driver falls back to NORMAL, which is why it is asserted", () => {
  const db = new Sqlite(path);
  db.pragma("journal_mode = WAL");
  db.exec("CREATE TABLE t (n INTEGER) STRICT");
  db.transaction(() => db.prepare("INSERT INTO t VALUES (1)").run())();
  expect(db.pragma("synchronous", { simple: true })).toBe(1);
  db.close();
});

test("flipped bytes are noticed; the file is moved aside and the last good copy restored", () => {
  makeDatabase();
  damagePage(path, 3);
  const log = new RecordingLog();
  const { db, outcome } = open(ROWS, log);
  expect(outcome).toBe("restored");
  expect(rowCount(db)).toBe(100);
  db.close();
  expect(existsSync(`${path}.corrupt-1`)).toBe(true);
  expect(log.lines.filter((line) => line.level === "error").map((line) => line.message)).toEqual([
    "database is damaged",
  ]);
  expect(reopened()).toEqual({ outcome: "opened", rows: 100 });
});

test.each<[string, (file: string) => void]>([
  ["a file of garbage", (file) => writeFileSync(file, "this is no database ".repeat(1000))],
  ["a file cut in the middle", (file) => truncateSync(file, 5 * PAGE_BYTES + 100)],
  ["a file of zero bytes", (file) => truncateSync(file, 0)],
  ["a file of zeros", (file) => writeFileSync(file, new Uint8Array(8 * PAGE_BYTES))],
  ["a missing file", (file) => rmSync(file)],
])("%s is replaced by the last good copy", (_, damage) => {
  makeDatabase();
  damage(path);
  expect(reopened()).toEqual({ outcome: "restored", rows: 100 });
});

test("without a last good copy a damaged database is begun anew, and the damaged one kept", () => {
  makeDatabase();
  rmSync(`${path}.last-good`);
  writeFileSync(path, "garbage");
  expect(reopened()).toEqual({ outcome: "recreated", rows: 0 });
  expect(readFileSync(`${path}.corrupt-1`, "utf8")).toBe("garbage");
});

test("a last good copy that is damaged too is moved aside as well", () => {
  makeDatabase();
  damagePage(path, 3);
  damagePage(`${path}.last-good`, 3);
  expect(reopened()).toEqual({ outcome: "recreated", rows: 0 });
  expect(existsSync(`${path}.last-good`)).toBe(false);
  expect(existsSync(`${path}.last-good.corrupt-1`)).toBe(true);
  expect(reopened()).toEqual({ outcome: "opened", rows: 0 });
});

test("a crash after the damaged file was moved away, and before the copy was in place, still ends restored", () => {
  makeDatabase();
  rmSync(path);
  writeFileSync(`${path}.corrupt-1`, "moved");
  writeFileSync(`${path}-wal`, "a WAL of the file that is gone");
  writeFileSync(`${path}.restore.tmp`, "half a copy");
  expect(reopened()).toEqual({ outcome: "restored", rows: 100 });
});

test("the folder holds a limited number of damaged files", () => {
  for (let i = 0; i < CORRUPT_COPIES_MAX + 3; i++) {
    writeFileSync(path, `garbage ${i}`);
    open().db.close();
  }
  const kept = readdirSync(folder).filter((name) => /corrupt-\d+$/.test(name));
  expect(kept).toHaveLength(CORRUPT_COPIES_MAX);
  expect(readFileSync(`${path}.corrupt-${CORRUPT_COPIES_MAX + 3}`, "utf8")).toBe(
    `garbage ${CORRUPT_COPIES_MAX + 2}`,
  );
});

test("whatever bytes are damaged, the database opens and every row of it can be read", () => {
  makeDatabase();
  const sound = readFileSync(path);
  const damage = fc.record({
    at: fc.nat({ max: sound.length - 1 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 2 * PAGE_BYTES }),
    length: fc.option(fc.nat({ max: sound.length }), { nil: undefined }),
  });
  fc.assert(
    fc.property(damage, ({ at, bytes, length }) => {
      const damaged = new Uint8Array(sound);
      damaged.set(bytes.subarray(0, sound.length - at), at);
      for (const side of ["-wal", "-shm"]) rmSync(`${path}${side}`, { force: true });
      writeFileSync(path, damaged.subarray(0, length));
      const { db } = open();
      const rows = db.prepare("SELECT n, payload FROM row").all();
      db.close();
      expect([100, 200]).toContain(rows.length);
    }),
    { seed: 42, numRuns: 60 },
  );
});

test("a full disk is a coded error, and what was committed stays", () => {
  const { db } = open();
  addRows(db, 1, 10);
  db.pragma(`max_page_count = ${Number(db.pragma("page_count", { simple: true })) + 2}`);
  expect(() => withSqliteErrors(path, () => addRows(db, 11, 1_000))).toThrow(
    expect.objectContaining({ code: "database-full", mend: expect.stringContaining("Free space") }),
  );
  expect(rowCount(db)).toBe(10);
  db.close();
  expect(reopened()).toEqual({ outcome: "opened", rows: 10 });
});

test("a disk that fills up in a migration undoes that step, and is never taken for damage", () => {
  makeDatabase();
  const tooLarge: Migration = {
    name: "too-large",
    up: `PRAGMA max_page_count = 1; CREATE TABLE big (b BLOB) STRICT; INSERT INTO big VALUES (zeroblob(1000000))`,
    down: "DROP TABLE big",
  };
  expect(() => open([...ROWS, tooLarge])).toThrow(
    expect.objectContaining({ code: "database-full" }),
  );
  expect(readdirSync(folder).filter((name) => name.includes("corrupt"))).toEqual([]);
  expect(reopened()).toEqual({ outcome: "opened", rows: 200 });
});

test("a database that another process has locked is refused with a code, and left where it is", () => {
  makeDatabase();
  const other = new Sqlite(path);
  other.pragma("locking_mode = EXCLUSIVE");
  other.exec("BEGIN IMMEDIATE; INSERT INTO row VALUES (9999, 'x')");
  expect(() => open()).toThrow(expect.objectContaining({ code: "database-busy" }));
  other.exec("ROLLBACK");
  other.close();
  expect(reopened()).toEqual({ outcome: "opened", rows: 200 });
});

const LABELS: Migration = {
  name: "labels",
  up: "ALTER TABLE row ADD COLUMN label TEXT; CREATE TABLE label (name TEXT PRIMARY KEY) STRICT",
  down: "DROP TABLE label; ALTER TABLE row DROP COLUMN label",
};

test("migrations go up once each, and an older program takes the newer ones back", () => {
  makeDatabase();
  const newer = open([...ROWS, LABELS]);
  newer.db.prepare("UPDATE row SET label = 'a' WHERE n = 1").run();
  newer.db.close();
  open([...ROWS, LABELS]).db.close();
  const older = open();
  expect(older.outcome).toBe("opened");
  expect(older.db.prepare("SELECT * FROM row WHERE n = 1").get()).toEqual({
    n: 1,
    payload: "p".repeat(500),
  });
  older.db.close();
});

test("a migration that fails half-way leaves the schema as it was", () => {
  makeDatabase();
  const bad: Migration = {
    name: "bad",
    up: "CREATE TABLE b (n INTEGER) STRICT; NONSENSE",
    down: "",
  };
  expect(() => open([...ROWS, bad])).toThrow("NONSENSE");
  const { db } = open();
  expect(db.prepare("SELECT name FROM sqlite_schema WHERE name = 'b'").all()).toEqual([]);
  db.close();
});

test("a database of another program is refused, not migrated and not moved", () => {
  makeDatabase();
  const other: Migration = { name: "other", up: "CREATE TABLE o (n INTEGER) STRICT", down: "" };
  expect(() => open([other])).toThrow(expect.objectContaining({ code: "database-migration" }));
  expect(reopened()).toEqual({ outcome: "opened", rows: 200 });
  path = join(folder, "foreign.db");
  const foreign = new Sqlite(path);
  foreign.exec("CREATE TABLE theirs (n INTEGER); PRAGMA user_version = 3");
  foreign.close();
  expect(() => open()).toThrow(expect.objectContaining({ code: "database-migration" }));
});

test("a table that is not STRICT, or a migration that breaks a foreign key, does not get through", () => {
  const loose: Migration = { name: "loose", up: "CREATE TABLE loose (n INTEGER)", down: "" };
  expect(() => open([loose])).toThrow(AssertionError);
  path = join(folder, "other.db");
  const dangling: Migration = {
    name: "dangling",
    up: `CREATE TABLE p (n INTEGER PRIMARY KEY) STRICT;
         CREATE TABLE c (p INTEGER REFERENCES p (n)) STRICT; INSERT INTO c VALUES (7)`,
    down: "",
  };
  expect(() => open([dangling])).toThrow(expect.objectContaining({ code: "database-migration" }));
});

test("a last good copy can be saved again and again while the database is in use", () => {
  const { db } = open();
  for (let round = 0; round < 3; round++) {
    addRows(db, round * 10 + 1, round * 10 + 10);
    saveLastGood(db, path);
  }
  db.close();
  rmSync(path);
  expect(reopened()).toEqual({ outcome: "restored", rows: 30 });
  expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("a database in memory works the same way, for tests", () => {
  const { db, outcome } = openDatabase({ path: ":memory:", migrations: ROWS, log: silentLog() });
  addRows(db, 1, 2);
  expect([outcome, rowCount(db)]).toEqual(["created", 2]);
});

test("the log is folded after as many pages as was asked for, 256 otherwise", () => {
  const pagesOf = (walCheckpointPages?: number): unknown => {
    const options = { path, migrations: ROWS, log: silentLog() };
    const { db } = openDatabase(
      walCheckpointPages === undefined ? options : { ...options, walCheckpointPages },
    );
    const pages = db.pragma("wal_autocheckpoint", { simple: true });
    db.close();
    return pages;
  };
  expect([pagesOf(), pagesOf(1_024)]).toEqual([256, 1_024]);
});
