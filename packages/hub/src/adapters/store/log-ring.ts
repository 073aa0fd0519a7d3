import type { LogEntry } from "../../app/resources/ports.ts";

/** The newest lines of the log in memory, so that watchers that keep up never touch the disk. */
export class LogRing {
  readonly #lengthMax: number;
  #entries: LogEntry[] = [];
  /** Every line above this revision is here. */
  #after: number;

  constructor(options: { readonly lengthMax: number; readonly revision: number }) {
    this.#lengthMax = options.lengthMax;
    this.#after = options.revision;
  }

  push(entries: readonly LogEntry[]): void {
    for (const entry of entries) this.#entries.push(entry);
    // Cut back at twice the length, so that the copy is paid for once in `lengthMax` lines.
    if (this.#entries.length < 2 * this.#lengthMax) return;
    const dropped = this.#entries.length - this.#lengthMax;
    this.#after = this.#entries[dropped - 1]?.revision ?? this.#after;
    this.#entries = this.#entries.slice(dropped);
  }

  /** Lines above `revision`; undefined when some of them are here no more. */
  after(revision: number, limit: number): readonly LogEntry[] | undefined {
    if (revision < this.#after) return undefined;
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#entries.slice(low, low + limit);
  }
}
