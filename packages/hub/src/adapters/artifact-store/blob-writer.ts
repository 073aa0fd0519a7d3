import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { systemCode } from "@flotilla/shared/platform/files";
import type { Disk } from "./disk.ts";
import { withDiskFile } from "./disk.ts";
import {
  type ArtifactLayout,
  blobFolder,
  blobPath,
  CONTENT_MODE,
  FOLDER_MODE,
  PART_MODE,
} from "./layout.ts";

/** Bytes that are hashed, or copied, before others have a turn. */
const PIECE_BYTES: number = 1024 * 1024;

/**
 * Makes a finished part a content: durable, verified, and only then named. A kill at any moment leaves the part or the content.
 * False, and the part untouched, when it is not the content that it should be.
 */
export async function adoptBlob(
  part: { readonly path: string; readonly folder: string },
  wanted: { readonly sha256: string; readonly length: number },
  deps: { readonly disk: Disk; readonly layout: ArtifactLayout },
): Promise<boolean> {
  const { disk, layout } = deps;
  await withDiskFile(disk, { path: part.path, use: "seal", mode: PART_MODE }, async (file) => {
    await file.chmod(CONTENT_MODE);
    await file.sync();
  });
  const found = await digestOf(part.path);
  if (found.sha256 !== wanted.sha256 || found.length !== wanted.length) return false;
  const folder = blobFolder(layout, wanted.sha256);
  await makeFolderDurable(disk, folder, layout.blobs);
  await disk.rename(part.path, blobPath(layout, wanted.sha256));
  await disk.syncFolder(folder);
  await disk.syncFolder(part.folder);
  return true;
}

/** SHA-256 and length of a file, as the disk gives it back. */
export async function digestOf(
  path: string,
): Promise<{ readonly sha256: string; readonly length: number }> {
  const hash = createHash("sha256");
  let length = 0;
  await readPieces(path, async (piece) => {
    hash.update(piece);
    length += piece.length;
  });
  return { sha256: hash.digest("hex"), length };
}

/** Calls with one piece after the other; the piece is overwritten after that. Follows no link. */
export async function readPieces(
  path: string,
  each: (piece: Uint8Array, position: number) => Promise<void>,
): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const buffer = Buffer.allocUnsafe(PIECE_BYTES);
    for (let position = 0; ; ) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) return;
      await each(buffer.subarray(0, bytesRead), position);
      position += bytesRead;
    }
  } finally {
    await file.close();
  }
}

async function makeFolderDurable(disk: Disk, path: string, parent: string): Promise<void> {
  try {
    await stat(path);
    return;
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
  try {
    await disk.makeFolder(path, FOLDER_MODE);
  } catch (error) {
    // Another upload was quicker.
    if (systemCode(error) !== "EEXIST") throw error;
  }
  await disk.syncFolder(parent);
}
