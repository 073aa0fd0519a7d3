import { createHash } from "node:crypto";

/** Lines that a failure shows. */
const LINES_KEPT = 80;

/** Everything that happened, as one digest, and the last of it as text. Two runs of a seed must have equal digests. */
export class Trace {
  readonly #hash = createHash("sha256");
  readonly #nowMs: () => number;
  #lines: string[] = [];
  #count = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Goes into the digest and is shown. */
  say(line: string): void {
    const text = `${(this.#nowMs() / 1000).toFixed(3).padStart(9)} ${line}`;
    this.#lines.push(text);
    if (this.#lines.length > 2 * LINES_KEPT) this.#lines = this.#lines.slice(-LINES_KEPT);
    this.fold(text);
  }

  /** Goes into the digest only. */
  fold(text: string): void {
    this.#hash.update(text);
    this.#count++;
  }

  get count(): number {
    return this.#count;
  }

  get last(): readonly string[] {
    return this.#lines.slice(-LINES_KEPT);
  }

  digest(): string {
    return this.#hash.copy().digest("hex").slice(0, 16);
  }
}
