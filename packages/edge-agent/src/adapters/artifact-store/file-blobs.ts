import { dirname, join } from "node:path";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import {
  ensureFolder,
  type FileStat,
  type FileSystem,
  removeTree,
} from "@flotilla/shared/platform/file-system";
import { fileError, systemCode } from "@flotilla/shared/platform/files";
import type { HeldBlob, LocalBlobErrorCode, LocalBlobs } from "../../app/artifact/ports.ts";
import { evictionsFor } from "../../domain/artifact/retention.ts";
import { sha256Of } from "./hash-file.ts";

/** Free space that downloads leave alone: for workloads, their logs, and the agent's own database. */
export const ARTIFACT_RESERVE_BYTES: number = 256 * 1024 * 1024;
/** A use is written down when the last one that was is older than this: the order of years needs no write a minute. */
export const TOUCH_INTERVAL_MS: number = 60 * 60_000;

const FOLDER_MODE = 0o755;
const PART_FOLDER_MODE = 0o700;
const BLOB_MODE = 0o444;
/**
 * Time of the last change that a checked file gets. Any write sets another one, so that the stamp tells, also for a write in the
 * same tick of the clock as the check.
 */
const SEALED_AT_SECONDS = 1;
const SHA256 = /^[0-9a-f]{64}$/;

/** What is known of a content: its digest was that of its name when its file had this stamp. */
export interface BlobRow {
  readonly sha256: string;
  readonly lengthBytes: number;
  readonly stamp: string;
  readonly usedWallMs: number;
}

/** Rows of the table `blob`. Each call is one durable transaction. */
export interface BlobRows {
  all(): readonly BlobRow[];
  get(sha256: string): BlobRow | undefined;
  put(row: BlobRow): void;
  remove(sha256: string): void;
}

export interface FileBlobsOptions {
  /** The folder `artifacts` of the state directory; made when something is to be written. */
  readonly root: string;
  /** Quota of complete contents and parts; absent: what the disk has. */
  readonly bytesMax?: number;
  /** Default: ARTIFACT_RESERVE_BYTES. */
  readonly reserveBytes?: number;
}

export interface FileBlobsDeps {
  readonly files: FileSystem;
  readonly rows: BlobRows;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
  /** What must not be removed: current and previous of every slot, what lies ready, bases of transfers that run. */
  readonly needed: () => ReadonlySet<string>;
  /** Called when room is needed: removes what else holds bytes of contents, such as files of slots that nobody goes back to. */
  readonly makeWay: () => void;
}

/**
 * `blobs/<sha256>` (read only) and `parts/<sha256>` under one folder. A digest that was checked is remembered with the file's
 * stamp, and only a file with another stamp is read again.
 */
export class FileBlobs implements LocalBlobs {
  readonly #blobs: string;
  readonly #parts: string;
  readonly #options: FileBlobsOptions;
  readonly #deps: FileBlobsDeps;
  /** An fsync of these failed: what memory says of them is not what the disk has (see `DiskNode.failFsync`). */
  readonly #distrusted = new Set<string>();
  #hasFolders = false;

  constructor(options: FileBlobsOptions, deps: FileBlobsDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#blobs = join(options.root, "blobs");
    this.#parts = join(options.root, "parts");
  }

  has(sha256: string): boolean {
    const row = this.#deps.rows.get(sha256);
    return row !== undefined && this.isSealed(sha256, this.#statOf(this.pathOf(sha256)));
  }

  pathOf(sha256: string): string {
    return join(this.#blobs, checked(sha256));
  }

  partPathOf(sha256: string): string {
    this.#makeFolders();
    return join(this.#parts, checked(sha256));
  }

  async complete(sha256: string, length: number): Promise<void> {
    const { files } = this.#deps;
    const part = this.partPathOf(sha256);
    if (this.#distrusted.has(sha256)) this.removePart(sha256);
    const found = files.lookUp(part);
    // It may have become a content in an earlier life, or before its row could be written.
    if (found === undefined && (await this.verify(sha256))) return;
    if (found === undefined) throw absent(sha256);
    if (found.kind !== "file" || found.sizeBytes !== length) {
      this.removePart(sha256);
      throw altered(sha256, `it has ${found.sizeBytes} bytes and should have ${length}`);
    }
    const fd = files.open(part, "read");
    try {
      if ((await sha256Of(files, fd)) !== sha256) {
        this.removePart(sha256);
        throw altered(sha256, "its SHA-256 is another one");
      }
      this.#publish(sha256, fd);
    } finally {
      files.close(fd);
    }
  }

  async verify(sha256: string): Promise<boolean> {
    const path = this.pathOf(sha256);
    if (this.#deps.files.lookUp(path) === undefined) {
      this.remove(sha256);
      return false;
    }
    if (await this.#sealIfSame(sha256, path)) {
      this.#deps.files.syncFolder(this.#blobs);
      return true;
    }
    this.#deps.log.warn({ sha256 }, "a content was altered on the disk and is removed");
    this.remove(sha256);
    return false;
  }

  remove(sha256: string): void {
    const { files, rows } = this.#deps;
    if (rows.get(sha256) !== undefined) rows.remove(sha256);
    removeTree(files, this.pathOf(sha256));
  }

  removePart(sha256: string): void {
    removeTree(this.#deps.files, join(this.#parts, checked(sha256)));
    this.#distrusted.delete(sha256);
  }

  touch(sha256: string): void {
    const { rows, clock } = this.#deps;
    const row = rows.get(sha256);
    const usedWallMs = clock.wallMs();
    if (row === undefined || Math.abs(usedWallMs - row.usedWallMs) < TOUCH_INTERVAL_MS) return;
    rows.put({ ...row, usedWallMs });
  }

  list(): readonly HeldBlob[] {
    return this.#deps.rows
      .all()
      .map(({ sha256, lengthBytes, usedWallMs }) => ({ sha256, lengthBytes, usedWallMs }))
      .toSorted((a, b) => b.usedWallMs - a.usedWallMs);
  }

  freeBytes(): number {
    return Math.max(0, this.#roomBytes());
  }

  makeRoom(bytes: number): boolean {
    if (bytes <= this.#roomBytes()) return true;
    // A content that is removed frees nothing while a slot has its bytes too.
    this.#deps.makeWay();
    const missing = bytes - this.#roomBytes();
    if (missing <= 0) return true;
    const gone = evictionsFor(missing, this.list(), this.#deps.needed());
    if (gone === undefined) return false;
    for (const sha256 of gone) this.remove(sha256);
    this.#deps.log.info({ count: gone.length, bytes: missing }, "contents make room for others");
    return true;
  }

  /** Whether a file with this stamp is one whose digest was checked. For slots, whose files are links to contents. */
  isSealed(sha256: string, stat: FileStat | undefined): boolean {
    const row = this.#deps.rows.get(sha256);
    return row !== undefined && stat?.kind === "file" && stat.stamp === row.stamp;
  }

  /** Makes a content of a file elsewhere on this disk, if its bytes are those. Returns whether they are. */
  async adopt(sha256: string, path: string): Promise<boolean> {
    const { files } = this.#deps;
    if (!(await this.#sealIfSame(sha256, path))) return false;
    const own = this.pathOf(sha256);
    if (files.lookUp(own)?.stamp === files.lookUp(path)?.stamp) return true;
    removeTree(files, own);
    this.#makeFolders();
    files.link(path, own);
    files.syncFolder(this.#blobs);
    return true;
  }

  /**
   * Brings files and rows together again: contents without a row are read and kept or removed, rows without a file go. For the
   * start; has to read only what came about right before a crash, or all after the loss of the database. Parts that nobody
   * goes on with (`isWanted`) go too.
   */
  async recover(isWanted: (sha256: string) => boolean): Promise<void> {
    const { files, rows } = this.#deps;
    const names = new Set(this.#namesIn(this.#blobs));
    for (const name of names)
      if (!SHA256.test(name)) removeTree(files, join(this.#blobs, name));
      else if (!this.has(name)) await this.#orNot(name, () => this.verify(name));
    for (const { sha256 } of rows.all()) if (!names.has(sha256)) rows.remove(sha256);
    for (const name of this.#namesIn(this.#parts))
      if (!SHA256.test(name) || !isWanted(name)) removeTree(files, join(this.#parts, name));
  }

  /** When something is to be written, and not at the start: an agent lives on a disk that is full. */
  #makeFolders(): void {
    if (this.#hasFolders) return;
    const { files } = this.#deps;
    const { root } = this.#options;
    try {
      ensureFolder(files, root, dirname(root), FOLDER_MODE);
      ensureFolder(files, this.#blobs, root, FOLDER_MODE);
      ensureFolder(files, this.#parts, root, PART_FOLDER_MODE);
    } catch (error) {
      throw fileError(error, root);
    }
    this.#hasFolders = true;
  }

  #namesIn(folder: string): readonly string[] {
    const { files } = this.#deps;
    return files.lookUp(folder) === undefined ? [] : files.list(folder);
  }

  /** One content that cannot be read does not hold up the others. */
  async #orNot(sha256: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      this.#deps.log.warn({ sha256, reason: messageOf(error) }, "a content cannot be read");
    }
  }

  /** The bytes of the open part are right: they become the content, and the row follows. */
  #publish(sha256: string, fd: number): void {
    const { files } = this.#deps;
    const path = this.pathOf(sha256);
    try {
      files.setTime(fd, SEALED_AT_SECONDS);
      this.#fsync(sha256, fd);
      files.rename(this.partPathOf(sha256), path);
      // After the name: a part that cannot be written any more could not be gone on with.
      files.chmod(fd, BLOB_MODE);
      files.fsync(fd);
      files.syncFolder(this.#blobs);
    } catch (error) {
      throw fileError(error, path);
    }
    this.#put(sha256, files.stat(fd));
  }

  /** After an fsync that failed nothing of the file is known, so it goes. */
  #fsync(sha256: string, fd: number): void {
    try {
      this.#deps.files.fsync(fd);
    } catch (error) {
      this.#distrusted.add(sha256);
      try {
        this.removePart(sha256);
      } catch {
        // It is removed before it is used again; the first error is the one to tell.
      }
      throw error;
    }
  }

  /** Seals first and looks at the seal last: a write while it is read is seen. */
  async #sealIfSame(sha256: string, path: string): Promise<boolean> {
    const { files } = this.#deps;
    if (files.lookUp(path)?.kind !== "file") return false;
    const fd = files.open(path, "read");
    try {
      files.chmod(fd, BLOB_MODE);
      files.setTime(fd, SEALED_AT_SECONDS);
      files.fsync(fd);
      const before = files.stat(fd);
      if ((await sha256Of(files, fd)) !== sha256) return false;
      if (files.stat(fd).stamp !== before.stamp) return false;
      this.#put(sha256, before);
      return true;
    } finally {
      files.close(fd);
    }
  }

  #put(sha256: string, { sizeBytes, stamp }: FileStat): void {
    const usedWallMs = this.#deps.rows.get(sha256)?.usedWallMs ?? this.#deps.clock.wallMs();
    this.#deps.rows.put({ sha256, lengthBytes: sizeBytes, stamp, usedWallMs });
  }

  /** Below 0 when the reserve is touched or the quota passed already. */
  #roomBytes(): number {
    const { root, bytesMax, reserveBytes = ARTIFACT_RESERVE_BYTES } = this.#options;
    const { files } = this.#deps;
    const onDisk = files.freeBytes(dirname(root)) - reserveBytes;
    if (bytesMax === undefined) return onDisk;
    const parts = this.#namesIn(this.#parts).map((name) => files.lookUp(join(this.#parts, name)));
    const partBytes = parts.reduce((sum, stat) => sum + (stat?.sizeBytes ?? 0), 0);
    const blobBytes = this.#deps.rows.all().reduce((sum, row) => sum + row.lengthBytes, 0);
    return Math.min(onDisk, bytesMax - blobBytes - partBytes);
  }

  /** A disk that cannot be read has nothing. */
  #statOf(path: string): FileStat | undefined {
    try {
      return this.#deps.files.lookUp(path);
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      return undefined;
    }
  }
}

/** Names of contents become paths: nothing but a digest may. */
function checked(sha256: string): string {
  if (SHA256.test(sha256)) return sha256;
  throw altered(sha256.slice(0, 80), "that is no SHA-256");
}

function altered(sha256: string, why: string): CodedError<LocalBlobErrorCode> {
  return new CodedError("blob-altered", `content ${sha256}: ${why}`, {
    fields: { sha256 },
    mend: "It is fetched again by itself; when that goes on, look into the kernel log for errors of the disk.",
  });
}

function absent(sha256: string): CodedError<LocalBlobErrorCode> {
  return new CodedError("blob-absent", `content ${sha256} is not on this node`, {
    fields: { sha256 },
    mend: "It is fetched again by itself.",
  });
}
