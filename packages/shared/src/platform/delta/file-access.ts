import type { RandomAccess } from "../../delta/random-access.ts";
import { type FileSystem, nodeFiles } from "../file-system.ts";

/** A file on disk, read piece by piece. Dispose of it: it holds a descriptor. */
export class FileAccess implements RandomAccess, Disposable {
  readonly size: number;
  readonly #fd: number;
  readonly #files: FileSystem;

  constructor(path: string, files: FileSystem = nodeFiles) {
    this.#files = files;
    this.#fd = files.open(path, "read");
    this.size = files.stat(this.#fd).sizeBytes;
  }

  read(offset: number, length: number, into?: Uint8Array): Uint8Array {
    const bytes = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    let done = 0;
    while (done < length) {
      const read = this.#files.read(this.#fd, bytes.subarray(done), offset + done);
      if (read === 0) throw new RangeError(`${length} bytes at ${offset} of ${this.size}`);
      done += read;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#files.close(this.#fd);
  }
}
