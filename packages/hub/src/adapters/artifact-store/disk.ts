import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rename, statfs, unlink, utimes } from "node:fs/promises";
import { systemCode } from "@flotilla/shared/platform/files";

/**
 * What the content store changes on the disk, one operation each and off the event loop, as a port: so that a test can kill the
 * hub at each of them. Rejects with what the system throws; `fileError` makes a CodedError of it.
 */
export interface Disk {
  /** `create`: must not be there. `update`: must be there. `seal`: as update, for `chmod` and `sync` alone. No link is followed. */
  open(path: string, use: OpenUse, mode: number): Promise<DiskFile>;
  /** Atomic; what was at `to` goes. */
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** The one above must be there. Rejects with EEXIST when it is there. */
  makeFolder(path: string, mode: number): Promise<void>;
  /** Names that were made, moved and removed in the folder are durable when it resolves. */
  syncFolder(path: string): Promise<void>;
  /** Sets when the file was last changed. */
  setTime(path: string, wallMs: number): Promise<void>;
}

export type OpenUse = "create" | "update" | "seal";

/** A file that is written. */
export interface DiskFile {
  /** All of the bytes. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Content and size are durable when it resolves; the name is not. */
  sync(): Promise<void>;
  chmod(mode: number): Promise<void>;
  close(): Promise<void>;
}

const FLAGS: Readonly<Record<OpenUse, number>> = {
  create: constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
  update: constants.O_WRONLY | constants.O_NOFOLLOW,
  // A content that was sealed before a crash can be opened for reading only.
  seal: constants.O_RDONLY | constants.O_NOFOLLOW,
};

/** The disk of this machine. */
export const nodeDisk: Disk = {
  async open(path, use, mode) {
    return new NodeDiskFile(await open(path, FLAGS[use], mode));
  },
  rename: (from, to) => rename(from, to),
  unlink: (path) => unlink(path),
  makeFolder: (path, mode) => mkdir(path, { mode }),
  async syncFolder(path) {
    const folder = await open(path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
  setTime: (path, wallMs) => utimes(path, wallMs / 1_000, wallMs / 1_000),
};

class NodeDiskFile implements DiskFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const { bytesWritten } = await this.#handle.write(
        bytes,
        done,
        bytes.length - done,
        position + done,
      );
      done += bytesWritten;
    }
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  chmod(mode: number): Promise<void> {
    return this.#handle.chmod(mode);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Opens, works, closes. */
export async function withDiskFile<T>(
  disk: Disk,
  file: { readonly path: string; readonly use: OpenUse; readonly mode: number },
  work: (file: DiskFile) => Promise<T>,
): Promise<T> {
  const opened = await disk.open(file.path, file.use, file.mode);
  try {
    return await work(opened);
  } finally {
    await opened.close();
  }
}

/** Replaces a file: temporary file, fsync, rename. The name is durable after the next `syncFolder` of the folder. */
export async function replaceFile(
  disk: Disk,
  path: string,
  content: { readonly bytes: Uint8Array; readonly mode: number },
): Promise<void> {
  const temporary = `${path}.tmp`;
  await unlinkIfThere(disk, temporary);
  try {
    await withDiskFile(disk, { path: temporary, use: "create", mode: content.mode }, async (f) => {
      await f.write(content.bytes, 0);
      await f.chmod(content.mode);
      await f.sync();
    });
    await disk.rename(temporary, path);
  } catch (error) {
    await unlinkIfThere(disk, temporary).catch(() => undefined);
    throw error;
  }
}

/** Removes a file; false when there was none. */
export async function unlinkIfThere(disk: Disk, path: string): Promise<boolean> {
  try {
    await disk.unlink(path);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** Free for this user on the file system that holds the path. */
export async function freeBytesOf(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
