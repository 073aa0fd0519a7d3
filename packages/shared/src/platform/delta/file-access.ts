import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { RandomAccess } from "../../delta/random-access.ts";

/** A file on disk, read piece by piece. Dispose of it: it holds a descriptor. */
export class FileAccess implements RandomAccess, Disposable {
  readonly size: number;
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, "r");
    this.size = fstatSync(this.#fd).size;
  }

  read(offset: number, length: number, into?: Uint8Array): Uint8Array {
    const bytes = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    let done = 0;
    while (done < length) {
      const read = readSync(this.#fd, bytes, done, length - done, offset + done);
      if (read === 0) throw new RangeError(`${length} bytes at ${offset} of ${this.size}`);
      done += read;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
