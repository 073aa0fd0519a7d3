import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { LockFile, LockFileReader } from "../../app/artifact/ports.ts";

/** Most bytes of a lock file that are read: its reason. */
const LOCK_FILE_BYTES_MAX = 256;

/** Reads the lock files that workloads make. A link, a folder or a pipe of that name holds nothing back. */
export class HostLockFiles implements LockFileReader {
  read(path: string): LockFile | undefined {
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch {
      return undefined;
    }
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) return undefined;
      const bytes = Buffer.alloc(LOCK_FILE_BYTES_MAX);
      const text = bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, 0));
      const reason = text.replaceAll(/\p{Cc}+/gu, " ").trim();
      return { reason: reason === "" ? "a lock file" : reason, changedWallMs: stat.mtimeMs };
    } catch {
      return undefined;
    } finally {
      closeSync(fd);
    }
  }
}
