/** A read from the hub should take about this long: what a cut link loses is one read, and others see the progress. */
const TARGET_MS = 3_000;
/** Smallest read: 16 KiB. */
export const SLICE_MIN_BYTES: number = 16 * 1024;
/** Largest, whatever the source takes: 1 MiB. */
const SLICE_MAX_BYTES = 1024 * 1024;
const START_BYTES = 256 * 1024;

/** How much to ask for at a time, by how long the last took: doubled when it was quick, halved when it was slow or failed. */
export class SliceSize {
  #bytes = START_BYTES;

  bytes(bytesMax: number): number {
    return Math.min(bytesMax, this.#bytes);
  }

  took(bytes: number, elapsedMs: number): void {
    if (elapsedMs > TARGET_MS) this.failed();
    else if (bytes >= this.#bytes && elapsedMs < TARGET_MS / 2)
      this.#bytes = Math.min(SLICE_MAX_BYTES, this.#bytes * 2);
  }

  failed(): void {
    this.#bytes = Math.max(SLICE_MIN_BYTES, this.#bytes / 2);
  }
}
