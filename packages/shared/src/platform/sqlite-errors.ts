import Sqlite from "better-sqlite3";
import { CodedError } from "../kernel/errors.ts";

/** Failures of a database that are not a bug of ours. */
export type SqliteErrorCode =
  | "database-full"
  | "database-busy"
  | "database-corrupt"
  | "database-unusable"
  | "database-migration";

/** By prefix, since SQLite's extended codes (`SQLITE_IOERR_WRITE`) begin with the primary one. */
const CODES: readonly (readonly [prefix: string, code: SqliteErrorCode, mend: string])[] = [
  ["SQLITE_FULL", "database-full", "Free space on the disk that holds the database."],
  ["SQLITE_BUSY", "database-busy", "Stop the other process that uses the database."],
  ["SQLITE_LOCKED", "database-busy", "Stop the other process that uses the database."],
  ["SQLITE_CORRUPT", "database-corrupt", "Start again: the last good copy is then restored."],
  ["SQLITE_NOTADB", "database-corrupt", "Start again: the last good copy is then restored."],
  ["SQLITE_READONLY", "database-unusable", "Give this user write access to the folder."],
  ["SQLITE_CANTOPEN", "database-unusable", "Give this user access to the folder."],
  ["SQLITE_IOERR", "database-unusable", "Look into the kernel log for errors of the disk."],
];

/** The coded form of what SQLite threw; anything else as it is. */
export function sqliteError(error: unknown, path: string): unknown {
  if (!(error instanceof Sqlite.SqliteError)) return error;
  const found = CODES.find(([prefix]) => error.code.startsWith(prefix));
  if (found === undefined) return error;
  const [, code, mend] = found;
  return new CodedError<SqliteErrorCode>(code, `${path}: ${error.message} (${error.code})`, {
    fields: { path, sqliteCode: error.code },
    mend,
    cause: error,
  });
}

/** Runs `work`; what SQLite throws comes out as a CodedError with a SqliteErrorCode. For stores, around each transaction. */
export function withSqliteErrors<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw sqliteError(error, path);
  }
}

/** True when the error says that the file's content is damaged, and not that the disk is full or away. */
export function saysCorrupt(error: unknown): boolean {
  if (error instanceof CodedError) return error.code === "database-corrupt";
  return (
    error instanceof Sqlite.SqliteError &&
    (error.code.startsWith("SQLITE_CORRUPT") || error.code.startsWith("SQLITE_NOTADB"))
  );
}
