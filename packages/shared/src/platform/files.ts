import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { CodedError } from "../kernel/errors.ts";

/** Failures of the file system that an operator can mend. */
export type FileErrorCode = "disk-full" | "not-writable";

/**
 * Replaces a file so that a reader, and whoever comes after a power cut, sees the old or the new content and nothing
 * between: temporary file, fsync, rename, fsync of the folder. `mode` is exact, whatever the umask. One writer per path.
 * Throws CodedError `disk-full` or `not-writable`; the old content then stays.
 */
export function writeFileDurable(path: string, data: string | Uint8Array, mode: number): void {
  const temporary = `${path}.tmp`;
  try {
    // What a crash left behind goes first: "wx" must never follow a link that somebody laid here.
    rmSync(temporary, { force: true });
    const fd = openSync(temporary, "wx", mode);
    try {
      fchmodSync(fd, mode);
      writeFileSync(fd, data);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    syncDirectory(dirname(path));
  } catch (error) {
    removeQuietly(temporary);
    throw fileError(error, path);
  }
}

/** The file's text (UTF-8); undefined when there is no such file. */
export function readFileIfExists(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Makes the folder, and those above it, when missing; the folder itself then has exactly this mode. */
export function ensureDirectory(path: string, mode: number): void {
  try {
    const made = mkdirSync(path, { recursive: true, mode });
    if (made !== undefined) chmodSync(path, mode);
  } catch (error) {
    throw fileError(error, path);
  }
}

/** Makes renames and removals in the folder durable. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Ids that can be a file name as they are; others are named by their digest. */
const PLAIN_NAME = /^[a-z0-9][a-z0-9.-]{0,199}$/;

/** A file name for an id of any letters and length: another one for another id, never one that begins with a dot. */
export function fileNameOf(id: string): string {
  if (PLAIN_NAME.test(id)) return id;
  return `_${createHash("sha256").update(id).digest("hex").slice(0, 32)}`;
}

/** Code of a system error (`ENOSPC`); undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

/** The coded form of a system error at a path that should be written, with a FileErrorCode; anything else as it is. */
export function fileError(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === "ENOSPC" || code === "EDQUOT")
    return new CodedError<FileErrorCode>("disk-full", `no space left to write ${path}`, {
      fields: { path },
      mend: `Free space on the disk that holds ${dirname(path)}.`,
      cause: error,
    });
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return new CodedError<FileErrorCode>("not-writable", `${path} cannot be written (${code})`, {
      fields: { path },
      mend: `Give this user write access to ${dirname(path)}.`,
      cause: error,
    });
  return error;
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The first error is the one to tell.
  }
}
