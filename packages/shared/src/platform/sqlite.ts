/**
 * SQLite as both processes use it: WAL with synchronous=FULL (an acknowledged commit survives a power cut), checked at
 * start, restored from the last good copy when damaged. Never open a database file by other means while it is open here:
 * closing any descriptor of it drops SQLite's locks (sqlite.org/howtocorrupt.html §2.2).
 */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import Sqlite, { type Database } from "better-sqlite3";
import { assert } from "../kernel/assert.ts";
import { CodedError, messageOf } from "../kernel/errors.ts";
import type { Log } from "../kernel/service.ts";
import { ensureDirectory, syncDirectory } from "./files.ts";
import { type SqliteErrorCode, saysCorrupt, withSqliteErrors } from "./sqlite-errors.ts";
import { type Migration, migrate, schemaVersion } from "./sqlite-migrations.ts";

export type { Database } from "better-sqlite3";
export type { Migration } from "./sqlite-migrations.ts";

/** How long a statement waits for another process's lock before `database-busy`. */
export const BUSY_TIMEOUT_MS = 5_000;
/** The WAL is folded into the database after this many pages (1 MiB at 4 KiB a page). */
export const WAL_CHECKPOINT_PAGES = 256;
/** The WAL file is cut back to this after a checkpoint. */
export const WAL_BYTES_MAX: number = 4 * 1024 * 1024;
/** How many damaged files are kept for a look; the oldest go, so that a bad disk does not fill up. */
export const CORRUPT_COPIES_MAX = 3;

const SYNCHRONOUS_FULL = 2;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const SIDE_FILES: readonly string[] = ["-wal", "-shm", "-journal"];

/**
 * How the database came about. `restored`: from the last good copy, so what was committed after it is gone.
 * `recreated`: all is gone. After either, numbers that must never repeat begin a new epoch.
 */
export type OpenOutcome = "opened" | "created" | "restored" | "recreated";

interface OpenOptions {
  readonly path: string;
  readonly migrations: readonly Migration[];
  readonly log: Log;
  /** Page size of a new database; small pages write fewer bytes to flash per commit. Absent: SQLite's own, 4096. */
  readonly pageBytes?: 1024 | 2048 | 4096;
  /** Pages of the WAL after which it is folded into the database. Default: WAL_CHECKPOINT_PAGES. */
  readonly walCheckpointPages?: number;
}

/**
 * Opens the database at `path` (mode 0600), makes it when missing, migrates it. A damaged file is moved aside to
 * `<path>.corrupt-<n>` and `<path>.last-good` takes its place. Throws CodedError with a SqliteErrorCode when the disk is
 * full, the file is in use or not accessible, or of another program: then nothing is moved.
 */
export function openDatabase(options: OpenOptions): {
  readonly db: Database;
  readonly outcome: OpenOutcome;
} {
  const { path, log } = options;
  if (path === ":memory:") return { db: openChecked(options), outcome: "created" };
  ensureDirectory(dirname(path), FOLDER_MODE);
  const found = look(path);
  if (found === "present" || found === "absent") {
    const db = tryOpen(options);
    if (db !== undefined) return { db, outcome: found === "absent" ? "created" : "opened" };
  }
  moveAside(path, log);
  if (restoreLastGood(path)) {
    const db = tryOpen(options);
    if (db !== undefined) {
      log.warn({ path }, "database restored from its last good copy");
      return { db, outcome: "restored" };
    }
    moveAside(`${path}.last-good`, log);
    moveAside(path, log);
  }
  log.error({ path }, "database begun anew: it was damaged and there is no good copy");
  return { db: openChecked(options), outcome: "recreated" };
}

/**
 * Writes a copy of the whole database to `<path>.last-good`, durably, after checking that it is sound. Takes as long as
 * reading and writing the file; call it on a quiet moment. Throws CodedError `database-full` when there is no space for it:
 * the copy before stays.
 */
export function saveLastGood(db: Database, path: string): void {
  const temporary = `${path}.last-good.tmp`;
  rmSync(temporary, { force: true });
  try {
    withSqliteErrors(path, () => {
      db.prepare("VACUUM INTO ?").run(temporary);
      assertSoundCopy(temporary);
    });
    chmodSync(temporary, FILE_MODE);
    syncFile(temporary);
    renameSync(temporary, `${path}.last-good`);
    syncDirectory(dirname(path));
  } finally {
    rmSync(temporary, { force: true });
  }
}

/**
 * Absent: never written. Lost: there are traces of a database, but not the file itself. A file of no bytes is what SQLite
 * leaves when it is killed while it makes one; beside a WAL or a last good copy it was cut off.
 */
function look(path: string): "present" | "absent" | "lost" {
  const size = existsSync(path) ? statSync(path).size : 0;
  // SQLite takes a file of one byte for an empty one (os_unix.c, unixFileSize).
  if (size > 1) return "present";
  const walPath = `${path}-wal`;
  const hasTraces =
    existsSync(`${path}.last-good`) ||
    (existsSync(walPath) && statSync(walPath).size > 0) ||
    (!existsSync(path) && corruptNumbers(path).length > 0);
  return hasTraces ? "lost" : "absent";
}

/** Undefined when the file is damaged. */
function tryOpen(options: OpenOptions): Database | undefined {
  try {
    return openChecked(options);
  } catch (error) {
    if (!saysCorrupt(error)) throw error;
    options.log.error({ path: options.path, reason: messageOf(error) }, "database is damaged");
    return undefined;
  }
}

function openChecked(options: OpenOptions): Database {
  return withSqliteErrors(options.path, () => {
    if (options.path !== ":memory:") makeFile(options.path);
    const db = new Sqlite(options.path, { timeout: BUSY_TIMEOUT_MS });
    try {
      // Has an effect on an empty file only, and none once it is in WAL mode.
      if (options.pageBytes !== undefined) db.pragma(`page_size = ${options.pageBytes}`);
      configure(db, options);
      checkSound(db, options.path);
      migrate(db, options.migrations);
      assertFullSync(db);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

/** The file is made before SQLite does, so that it, its WAL and its index are never readable by others. */
function makeFile(path: string): void {
  if (existsSync(path)) chmodSync(path, FILE_MODE);
  else closeSync(openSync(path, "ax", FILE_MODE));
}

function configure(db: Database, { path, walCheckpointPages }: OpenOptions): void {
  const mode = db.pragma("journal_mode = WAL", { simple: true });
  if (mode !== "wal" && path !== ":memory:")
    throw new CodedError<SqliteErrorCode>(
      "database-unusable",
      `${path}: this file system allows no write-ahead log (journal_mode ${String(mode)})`,
      { mend: "Put the data folder on a local file system." },
    );
  db.pragma("synchronous = FULL");
  db.pragma(`wal_autocheckpoint = ${walCheckpointPages ?? WAL_CHECKPOINT_PAGES}`);
  db.pragma(`journal_size_limit = ${WAL_BYTES_MAX}`);
  db.pragma("cell_size_check = ON");
  db.pragma("trusted_schema = OFF");
}

function checkSound(db: Database, path: string): void {
  const result = db.pragma("quick_check(1)", { simple: true });
  if (result !== "ok")
    throw new CodedError<SqliteErrorCode>("database-corrupt", `${path}: ${String(result)}`, {
      fields: { path },
    });
}

function assertSoundCopy(path: string): void {
  const copy = new Sqlite(path, { readonly: true });
  try {
    checkSound(copy, path);
  } finally {
    copy.close();
  }
}

/**
 * better-sqlite3 is built with NORMAL as the default for WAL: it reports FULL after `journal_mode = WAL` and falls back at
 * the first transaction. So this is asserted after one that writes (the version it has already), at each start.
 */
function assertFullSync(db: Database): void {
  const version = schemaVersion(db);
  db.transaction(() => db.pragma(`user_version = ${version}`)).immediate();
  const synchronous = db.pragma("synchronous", { simple: true });
  assert(
    synchronous === SYNCHRONOUS_FULL,
    `synchronous is ${String(synchronous)} after the first transaction, not FULL`,
  );
}

/**
 * The database first, then its WAL: should the machine stop in between, what is left is seen as `lost`. A WAL must
 * never meet another database than its own, so nothing is restored before all are away.
 */
function moveAside(path: string, log: Log): void {
  const numbers = corruptNumbers(path);
  const target = `${path}.corrupt-${Math.max(0, ...numbers) + 1}`;
  for (const side of ["", ...SIDE_FILES])
    if (existsSync(`${path}${side}`)) renameSync(`${path}${side}`, `${target}${side}`);
  for (const old of numbers.slice(0, Math.max(0, numbers.length + 1 - CORRUPT_COPIES_MAX)))
    for (const side of ["", ...SIDE_FILES])
      rmSync(`${path}.corrupt-${old}${side}`, { force: true });
  syncDirectory(dirname(path));
  log.warn({ path, movedTo: target }, "database moved aside");
}

/** Numbers of the files moved aside, ascending. */
function corruptNumbers(path: string): readonly number[] {
  const prefix = `${basename(path)}.corrupt-`;
  const numbers = readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number.parseInt(name.slice(prefix.length), 10))
    .filter(Number.isSafeInteger);
  return [...new Set(numbers)].toSorted((a, b) => a - b);
}

/** False when there is no copy to restore. The copy stays. */
function restoreLastGood(path: string): boolean {
  const source = `${path}.last-good`;
  if (!existsSync(source)) return false;
  const temporary = join(dirname(path), `${basename(path)}.restore.tmp`);
  copyFileSync(source, temporary);
  chmodSync(temporary, FILE_MODE);
  syncFile(temporary);
  renameSync(temporary, path);
  syncDirectory(dirname(path));
  return true;
}

function syncFile(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
