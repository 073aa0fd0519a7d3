import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { fileError } from "@flotilla/shared/platform/files";
import { sqliteError } from "@flotilla/shared/platform/sqlite-errors";
import Sqlite from "better-sqlite3";

/** Why the state directory cannot be had. */
export type StateLockErrorCode = "state-dir-in-use";

/** File that is locked; it holds nothing. */
const LOCK_NAME = "agent.lock";
const LOCK_MODE = 0o600;

/**
 * Makes this process the only agent of a state directory: two would start every workload twice. Node has no flock(2), so the
 * lock is SQLite's on a database of its own: the kernel lifts it when the process ends, however it ends. Throws CodedError.
 */
export function lockStateDir(directory: string): { release(): void } {
  const path = join(directory, LOCK_NAME);
  makeFile(path);
  const db = new Sqlite(path, { timeout: 0 });
  try {
    // A journal in a file would need room on a disk that may be full.
    db.pragma("journal_mode = MEMORY");
    db.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    db.close();
    if (!isBusy(error)) throw sqliteError(error, path);
    throw new CodedError<StateLockErrorCode>(
      "state-dir-in-use",
      `another agent runs with the state directory ${directory}`,
      {
        fields: { directory },
        mend: "Stop it, or give this one its own --state-dir.",
        cause: error,
      },
    );
  }
  return { release: () => void db.close() };
}

/** SQLite makes its journal with the mode of the file. */
function makeFile(path: string): void {
  try {
    closeSync(openSync(path, "a", LOCK_MODE));
  } catch (error) {
    throw fileError(error, path);
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "SQLITE_BUSY";
}
