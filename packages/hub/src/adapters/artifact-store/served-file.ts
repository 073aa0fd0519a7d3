import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { systemCode } from "@flotilla/shared/platform/files";
import type { ServedBytes } from "../../app/artifact/ports.ts";
import type { ServedPath } from "../../domain/artifact/served-path.ts";
import { type ArtifactLayout, blobPath, manifestPath, payloadPath } from "./layout.ts";

/** Where something that is served lies. */
export function fileOf(layout: ArtifactLayout, path: ServedPath): string {
  switch (path.kind) {
    case "blobs":
      return blobPath(layout, path.sha256);
    case "payloads":
      return payloadPath(layout, path.sha256);
    case "manifests":
      return manifestPath(layout, path.sha256);
    case "metadata":
      return join(layout.metadata, path.file);
  }
}

/** Opens what is served; undefined when there is no such file. No link is followed, and nothing but a file is opened. */
export async function openServed(
  layout: ArtifactLayout,
  path: ServedPath,
): Promise<{ readonly file: FileHandle; readonly bytes: number } | undefined> {
  let file: FileHandle;
  try {
    file = await open(fileOf(layout, path), constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ELOOP" || code === "ENOTDIR") return undefined;
    throw error;
  }
  const stat = await file.stat();
  if (stat.isFile()) return { file, bytes: stat.size };
  await file.close();
  return undefined;
}

/** Reads so many bytes, or as many as there are. */
export async function readFully(
  file: FileHandle,
  into: Uint8Array,
  position: number,
): Promise<Uint8Array> {
  let done = 0;
  while (done < into.length) {
    const { bytesRead } = await file.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return into.subarray(0, done);
}

/** ServedBytes from the disk. */
export function servedBytes(layout: ArtifactLayout): ServedBytes {
  return {
    async read(path, offset, length) {
      const opened = await openServed(layout, path);
      if (opened === undefined) return undefined;
      try {
        const wanted = Math.max(0, Math.min(length, opened.bytes - offset));
        const bytes = await readFully(opened.file, Buffer.allocUnsafe(wanted), offset);
        return { data: Buffer.from(bytes).toString("base64"), totalBytes: opened.bytes };
      } finally {
        await opened.file.close();
      }
    },
  };
}
