import { constants } from "node:fs";
import { open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { type FileErrorCode, systemCode } from "@flotilla/shared/platform/files";
import { SHA256_PATTERN } from "../../domain/artifact/served-path.ts";
import { adoptBlob, digestOf } from "./blob-writer.ts";
import { type Disk, freeBytesOf, replaceFile, unlinkIfThere, withDiskFile } from "./disk.ts";
import { type ArtifactLayout, PART_MODE } from "./layout.ts";

/** An upload that got no byte for this long is removed: 3 days. */
export const UPLOAD_EXPIRES_MS: number = 3 * 86_400_000;
/** Most uploads that are open at once. */
export const UPLOADS_OPEN_MAX = 64;
/** Longest content: that of the largest file of a release. */
export const UPLOAD_BYTES_MAX: number = 2 ** 36;
/** So much of the disk is left to the hub's database whatever is uploaded. */
export const DISK_RESERVE_BYTES: number = 256 * 1024 * 1024;

/** Why an upload was not taken, or not as it is. */
export type UploadErrorCode =
  | "upload-too-long"
  | "upload-too-many"
  | "upload-altered"
  | "upload-conflict";

/** An upload under way. */
export interface Upload {
  readonly sha256: string;
  readonly length: number;
  /** Bytes that are there. */
  readonly offset: number;
  readonly expiresWallMs: number;
  /** It is a content already: nothing is missing, and nothing is to be done. */
  readonly isStored: boolean;
}

/** Who knows what is stored and how much room there is. */
export interface BlobKeeper {
  /** Bytes of a content that is stored already, and is now kept for a while; undefined: it is not there. */
  claim(sha256: string): Promise<number | undefined>;
  /** Rejects with `artifact-quota`. */
  reserve(sha256: string, bytes: number): Promise<void>;
  /** The upload has ended without a content. */
  release(sha256: string): Promise<void>;
  /** The content is on the disk, under its name. */
  stored(sha256: string, bytes: number): Promise<void>;
}

/**
 * Uploads on the disk, under the digest of what they are to become: so the same file is uploaded once, and whoever is cut off finds
 * where to go on by the file alone. One call for each upload at a time.
 */
export class UploadStore {
  readonly #layout: ArtifactLayout;
  readonly #deps: {
    readonly disk: Disk;
    readonly keeper: BlobKeeper;
    readonly clock: Clock;
    readonly freeBytes?: (path: string) => Promise<number>;
  };

  constructor(
    options: { readonly layout: ArtifactLayout },
    deps: {
      readonly disk: Disk;
      readonly keeper: BlobKeeper;
      readonly clock: Clock;
      readonly freeBytes?: (path: string) => Promise<number>;
    },
  ) {
    this.#layout = options.layout;
    this.#deps = deps;
  }

  /** The upload; a content that is stored already reads as one that is complete. */
  async find(sha256: string): Promise<Upload | undefined> {
    const bytes = await this.#deps.keeper.claim(sha256);
    if (bytes === undefined) return this.#open(sha256);
    const expiresWallMs = Number.POSITIVE_INFINITY;
    return { sha256, length: bytes, offset: bytes, expiresWallMs, isStored: true };
  }

  /** Begins an upload, or returns the one that is there. Rejects with CodedError `artifact-quota` or an UploadErrorCode. */
  async create(sha256: string, length: number): Promise<Upload> {
    if (length > UPLOAD_BYTES_MAX) throw tooLong(length);
    const known = await this.find(sha256);
    if (known !== undefined) {
      if (known.length !== length) throw conflict(known, length);
      return known;
    }
    const { disk, keeper, clock } = this.#deps;
    await this.#checkRoom(length);
    await keeper.reserve(sha256, length);
    try {
      const { uploads } = this.#layout;
      await unlinkIfThere(disk, this.#part(sha256));
      const part = { path: this.#part(sha256), use: "create", mode: PART_MODE } as const;
      await withDiskFile(disk, part, (file) => file.sync());
      const bytes = Buffer.from(JSON.stringify({ length }));
      await replaceFile(disk, this.#record(sha256), { bytes, mode: PART_MODE });
      await disk.syncFolder(uploads);
      const expiresWallMs = clock.wallMs() + UPLOAD_EXPIRES_MS;
      return { sha256, length, offset: 0, expiresWallMs, isStored: false };
    } catch (error) {
      await keeper.release(sha256);
      throw error;
    }
  }

  /**
   * Writes what comes at the upload's end; what has arrived stays when `pieces` breaks. Returns the new offset, durable. Rejects
   * with `upload-too-long` when more comes than was announced.
   */
  async append(upload: Upload, pieces: AsyncIterable<Uint8Array>): Promise<number> {
    const part = { path: this.#part(upload.sha256), use: "update", mode: PART_MODE } as const;
    return withDiskFile(this.#deps.disk, part, async (file) => {
      let offset = upload.offset;
      try {
        for await (const piece of pieces) {
          if (offset + piece.length > upload.length) throw tooLong(offset + piece.length);
          await file.write(piece, offset);
          offset += piece.length;
        }
      } finally {
        await file.sync();
      }
      return offset;
    });
  }

  /** Makes the whole upload a content. Rejects with `upload-altered`, and the upload is gone, when it is another one. */
  async finish(upload: Pick<Upload, "sha256" | "length">): Promise<void> {
    const { disk, keeper } = this.#deps;
    const { sha256, length } = upload;
    const part = { path: this.#part(sha256), folder: this.#layout.uploads };
    if (!(await adoptBlob(part, upload, { disk, layout: this.#layout }))) {
      await this.remove(sha256);
      throw altered(sha256);
    }
    await keeper.stored(sha256, length);
    await unlinkIfThere(disk, this.#record(sha256));
  }

  /** No error when it is gone already. */
  async remove(sha256: string): Promise<void> {
    const { disk, keeper } = this.#deps;
    await unlinkIfThere(disk, this.#part(sha256));
    await unlinkIfThere(disk, this.#record(sha256));
    await disk.syncFolder(this.#layout.uploads);
    await keeper.release(sha256);
  }

  /**
   * Takes a file of this machine in, and returns what it is. Rejects as `create` and `finish` do; with `upload-altered` when it
   * changes meanwhile, with `upload-too-long` when it has more than `bytesMax`.
   */
  async takeIn(
    path: string,
    bytesMax: number,
  ): Promise<{ readonly sha256: string; readonly length: number; readonly isNew: boolean }> {
    const { size } = await stat(path);
    if (size > bytesMax) throw tooLong(size);
    const found = await digestOf(path);
    // What somebody else began is not gone on with: this is the whole file.
    const other = await this.find(found.sha256);
    if (other?.isStored === true) return { ...found, isNew: false };
    if (other !== undefined) await this.remove(found.sha256);
    const upload = await this.create(found.sha256, found.length);
    await this.append(upload, piecesOf(path));
    await this.finish(upload);
    return { ...found, isNew: true };
  }

  /** Every upload that is open, oldest use first. */
  async list(): Promise<readonly Upload[]> {
    const names = await readdir(this.#layout.uploads);
    const records = names.filter((name) => name.endsWith(".json"));
    const found = await Promise.all(records.map((name) => this.#open(name.slice(0, -5))));
    return found
      .filter((upload) => upload !== undefined)
      .toSorted((a, b) => a.expiresWallMs - b.expiresWallMs);
  }

  /** Removes what has expired, and what a crash left that is no upload; returns how many expired. At the start, `isFirst`. */
  async sweep({ isFirst }: { readonly isFirst: boolean }): Promise<number> {
    const nowMs = this.#deps.clock.wallMs();
    const uploads = await this.list();
    const expired = uploads.filter((upload) => upload.expiresWallMs <= nowMs);
    for (const { sha256 } of expired) await this.remove(sha256);
    if (!isFirst) return expired.length;
    const keep = new Set(
      uploads.flatMap(({ sha256 }) => [this.#part(sha256), this.#record(sha256)]),
    );
    for (const name of await readdir(this.#layout.uploads)) {
      const path = join(this.#layout.uploads, name);
      if (!keep.has(path)) await unlinkIfThere(this.#deps.disk, path);
    }
    return expired.length;
  }

  async #checkRoom(length: number): Promise<void> {
    const uploads = await this.list();
    if (uploads.length >= UPLOADS_OPEN_MAX) throw tooMany();
    const { freeBytes = freeBytesOf } = this.#deps;
    const missing = uploads.reduce((sum, upload) => sum + upload.length - upload.offset, 0);
    const free = (await freeBytes(this.#layout.uploads)) - missing - DISK_RESERVE_BYTES;
    if (length > free) throw diskFull(length, Math.max(0, free));
  }

  async #open(sha256: string): Promise<Upload | undefined> {
    if (!SHA256_PATTERN.test(sha256)) return undefined;
    try {
      const length = lengthOf(await readFile(this.#record(sha256), "utf8"));
      const part = await stat(this.#part(sha256));
      if (length === undefined) return undefined;
      const offset = Math.min(part.size, length);
      const expiresWallMs = part.mtimeMs + UPLOAD_EXPIRES_MS;
      return { sha256, length, offset, expiresWallMs, isStored: false };
    } catch (error) {
      if (systemCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  #part(sha256: string): string {
    return join(this.#layout.uploads, `${sha256}.part`);
  }

  #record(sha256: string): string {
    return join(this.#layout.uploads, `${sha256}.json`);
  }
}

async function* piecesOf(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const pieces: AsyncIterable<Buffer> = file.createReadStream({ autoClose: false });
    yield* pieces;
  } finally {
    await file.close();
  }
}

function lengthOf(record: string): number | undefined {
  const found = /^\{"length":(\d{1,12})\}$/.exec(record);
  return found === null ? undefined : Number(found[1]);
}

function tooLong(bytes: number): CodedError<UploadErrorCode> {
  return new CodedError(
    "upload-too-long",
    `${bytes} bytes are more than were announced or allowed`,
    {
      fields: { bytes, bytesMax: UPLOAD_BYTES_MAX },
      mend: `Upload exactly as many bytes as Upload-Length says, at most ${UPLOAD_BYTES_MAX}.`,
    },
  );
}

function tooMany(): CodedError<UploadErrorCode> {
  return new CodedError("upload-too-many", `${UPLOADS_OPEN_MAX} uploads are open already`, {
    fields: { uploadsMax: UPLOADS_OPEN_MAX },
    mend: "Finish or delete uploads; what nobody goes on with is removed after three days.",
  });
}

function conflict(known: Upload, length: number): CodedError<UploadErrorCode> {
  return new CodedError(
    "upload-conflict",
    `${known.sha256} has ${known.length} bytes here, not ${length}`,
    {
      fields: { sha256: known.sha256, length: known.length },
      mend: "Check digest and length; delete the open upload if it was begun with a wrong length.",
    },
  );
}

function altered(sha256: string): CodedError<UploadErrorCode> {
  return new CodedError("upload-altered", `what was uploaded is not ${sha256}`, {
    fields: { sha256 },
    mend: "Upload it again from the beginning; it was damaged on the way, or the file has changed.",
  });
}

function diskFull(length: number, freeBytes: number): CodedError<FileErrorCode> {
  return new CodedError("disk-full", `${length} bytes do not fit: the disk has ${freeBytes} left`, {
    fields: { length, freeBytes },
    mend: "Free space on the disk that holds the hub's data directory.",
  });
}
