import { closeSync, constants, fstatSync, openSync, read } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { systemCode } from "@flotilla/shared/platform/files";
import type { ServedBytes } from "../../app/artifact/ports.ts";
import type { ServedPath } from "../../domain/artifact/served-path.ts";
import { type ArtifactLayout, blobPath, manifestPath, payloadPath } from "./layout.ts";

/** A pipe that somebody laid in a file's place is not waited for. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

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

/** A served file that is open. */
export interface ServedFile {
  readonly bytes: number;
  /** Fills `into` from this position on; returns less where the file ends. */
  read(into: Uint8Array, position: number): Promise<Uint8Array>;
  close(): void;
}

/**
 * Opens what is served; undefined when there is no such file. No link is followed, and nothing but a file is opened. Waits for the
 * disk: three quick calls cost a tenth of what three round trips through the thread pool do. For the server's own thread.
 */
export function openServed(layout: ArtifactLayout, path: ServedPath): ServedFile | undefined {
  const fd = openIfThere(fileOf(layout, path));
  if (fd === undefined) return undefined;
  const stat = fstatSync(fd);
  if (stat.isFile())
    return {
      bytes: stat.size,
      read: (into, position) => readFully(fd, into, position),
      close: () => closeSync(fd),
    };
  closeSync(fd);
  return undefined;
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, READ_FLAGS);
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

function isAbsence(error: unknown): boolean {
  const code = systemCode(error);
  return code === "ENOENT" || code === "ELOOP" || code === "ENOTDIR";
}

async function readFully(fd: number, into: Uint8Array, position: number): Promise<Uint8Array> {
  let done = 0;
  while (done < into.length) {
    const bytesRead = await readOnce(fd, into.subarray(done), position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return into.subarray(0, done);
}

function readOnce(fd: number, into: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, into, 0, into.length, position, (error, bytesRead) => {
      if (error === null) resolve(bytesRead);
      else reject(error);
    });
  });
}

/** ServedBytes from the disk, off the event loop altogether: for the hub's main thread. */
export function servedBytes(layout: ArtifactLayout): ServedBytes {
  return {
    async read(path, offset, length) {
      const file = await open(fileOf(layout, path), READ_FLAGS).catch((error: unknown) => {
        if (isAbsence(error)) return undefined;
        throw error;
      });
      if (file === undefined) return undefined;
      try {
        const stat = await file.stat();
        if (!stat.isFile()) return undefined;
        const wanted = Math.max(0, Math.min(length, stat.size - offset));
        const bytes = await readFully(file.fd, Buffer.allocUnsafe(wanted), offset);
        return { data: Buffer.from(bytes).toString("base64"), totalBytes: stat.size };
      } finally {
        await file.close();
      }
    },
  };
}
