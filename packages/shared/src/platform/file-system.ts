/**
 * The file operations that artifacts are made, switched and removed with, as a port: so that a test can cut the power at each one,
 * and let each one fail. Synchronous: what a worker or the few quick steps of an activation need. Throws what the system throws,
 * an Error with `code` (`ENOSPC`); `fileError` makes a CodedError of it.
 */
import {
  type BigIntStats,
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { syncDirectory, systemCode } from "./files.ts";

/** `create`: must not be there, and follows no link. `replace`: made or emptied. `update`: must be there. */
export type OpenFor = "read" | "create" | "replace" | "update";

export interface FileStat {
  readonly kind: "file" | "folder" | "link" | "other";
  readonly sizeBytes: number;
  /**
   * Another one after every write, and for another file under the same name: inode, size and time of the last change. Links to a
   * file leave it as it is.
   */
  readonly stamp: string;
}

export interface FileSystem {
  open(path: string, use: OpenFor, mode?: number): number;
  /** Returns how many bytes were read; 0 at the end. */
  read(fd: number, into: Uint8Array, position: number): number;
  /** Returns how many bytes were written; `writeAll` goes on. */
  write(fd: number, bytes: Uint8Array, position: number): number;
  truncate(fd: number, sizeBytes: number): void;
  chmod(fd: number, mode: number): void;
  /** Time of the last change, seconds since 1970. The next write changes it. */
  setTime(fd: number, seconds: number): void;
  /** Of the open file. */
  stat(fd: number): FileStat;
  /** Content and attributes of the file are durable when it returns; its name is not. After a failure nothing of it is known. */
  fsync(fd: number): void;
  close(fd: number): void;
  /** Names that were made, moved and removed in the folder are durable when it returns. */
  syncFolder(path: string): void;
  /** Atomic; what was at `to` goes. */
  rename(from: string, to: string): void;
  link(existing: string, path: string): void;
  symlink(target: string, path: string): void;
  unlink(path: string): void;
  mkdir(path: string, mode: number): void;
  rmdir(path: string): void;
  /** Sorted, so that a test can repeat it. */
  list(path: string): readonly string[];
  /** Of the name itself, links are not followed; undefined when there is none. */
  lookUp(path: string): FileStat | undefined;
  readLink(path: string): string;
  /** Free for this user on the file system that holds the path. */
  freeBytes(path: string): number;
}

/** The file system of this machine. */
export const nodeFiles: FileSystem = {
  open(path, use, mode = 0o600) {
    const flags = { read: "r", create: "wx", replace: "w", update: "r+" } as const;
    return openSync(path, flags[use], mode);
  },
  read: (fd, into, position) => readSync(fd, into, 0, into.length, position),
  write: (fd, bytes, position) => writeSync(fd, bytes, 0, bytes.length, position),
  truncate: (fd, sizeBytes) => ftruncateSync(fd, sizeBytes),
  chmod: (fd, mode) => fchmodSync(fd, mode),
  setTime: (fd, seconds) => futimesSync(fd, seconds, seconds),
  stat: (fd) => statOf(fstatSync(fd, { bigint: true })),
  fsync: (fd) => fsyncSync(fd),
  close: (fd) => closeSync(fd),
  syncFolder: (path) => syncDirectory(path),
  rename: (from, to) => renameSync(from, to),
  link: (existing, path) => linkSync(existing, path),
  symlink: (target, path) => symlinkSync(target, path),
  unlink: (path) => unlinkSync(path),
  mkdir: (path, mode) => mkdirSync(path, { mode }),
  rmdir: (path) => rmdirSync(path),
  list: (path) => readdirSync(path).toSorted(),
  lookUp(path) {
    const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return stat === undefined ? undefined : statOf(stat);
  },
  readLink: (path) => readlinkSync(path),
  freeBytes(path) {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  },
};

function statOf(stat: BigIntStats): FileStat {
  return {
    kind: kindOf(stat),
    sizeBytes: Number(stat.size),
    stamp: `${stat.ino}:${stat.size}:${stat.mtimeNs}`,
  };
}

function kindOf(stat: BigIntStats): FileStat["kind"] {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "folder";
  return stat.isSymbolicLink() ? "link" : "other";
}

/** Writes all of it, however many writes that takes. */
export function writeAll(
  files: Pick<FileSystem, "write">,
  fd: number,
  bytes: Uint8Array,
  position: number,
): void {
  let done = 0;
  while (done < bytes.length) done += files.write(fd, bytes.subarray(done), position + done);
}

/** Opens, works, closes. */
export function withFile<T>(
  files: FileSystem,
  open: { readonly path: string; readonly use: OpenFor; readonly mode?: number },
  work: (fd: number) => T,
): T {
  const fd = files.open(open.path, open.use, open.mode);
  try {
    return work(fd);
  } finally {
    files.close(fd);
  }
}

/** Makes the folder unless it is there, and its name durable. The one above it must be there. */
export function ensureFolder(files: FileSystem, path: string, parent: string, mode: number): void {
  if (files.lookUp(path)?.kind !== "folder") files.mkdir(path, mode);
  // Also when it was there: an earlier call may have come no further than this.
  files.syncFolder(parent);
}

/** Removes a name if it is there; returns whether it was. */
export function unlinkIfThere(files: FileSystem, path: string): boolean {
  try {
    files.unlink(path);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** Removes a folder with all that is in it, or whatever else has that name. Links are removed and never followed. */
export function removeTree(files: FileSystem, path: string): void {
  const found = files.lookUp(path);
  if (found === undefined) return;
  if (found.kind !== "folder") return files.unlink(path);
  for (const name of files.list(path)) removeTree(files, `${path}/${name}`);
  files.rmdir(path);
}
