import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { FileSystem } from "@flotilla/shared/platform/file-system";

/** Read at once: about a millisecond of the event loop. */
const CHUNK_BYTES = 1024 * 1024;

/** SHA-256 of an open file, hexadecimal. Whoever shares the event loop gets a turn after each MiB. */
export async function sha256Of(
  files: Pick<FileSystem, "read" | "stat">,
  fd: number,
): Promise<string> {
  const hash = createHash("sha256");
  // One byte more, so that a small file is read whole and its end seen in two turns.
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, files.stat(fd).sizeBytes + 1));
  let position = 0;
  for (;;) {
    const count = files.read(fd, buffer, position);
    if (count === 0) return hash.digest("hex");
    hash.update(buffer.subarray(0, count));
    position += count;
    await setImmediate();
  }
}
