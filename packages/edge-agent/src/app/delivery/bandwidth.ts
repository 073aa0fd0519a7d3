import type { Clock } from "@flotilla/shared/kernel/clock";

/** So much of a second's bytes is asked for at a time under a limit, so that other traffic finds gaps. */
const SLICE_SECONDS = 1;
/** Smallest read under a limit. */
export const SLICE_BYTES_MIN: number = 16 * 1024;

/**
 * Keeps downloads below a rate, on the mean. Who takes may go at once while nothing is owed, and owes what it took: the next one
 * waits until it is paid.
 */
export class Bandwidth {
  readonly #clock: Pick<Clock, "bootMs" | "sleep">;
  #bytesPerSecond: number | undefined;
  #freeAtMs = 0;

  constructor(
    options: { readonly bytesPerSecond: number | undefined },
    deps: { readonly clock: Pick<Clock, "bootMs" | "sleep"> },
  ) {
    this.#bytesPerSecond = options.bytesPerSecond;
    this.#clock = deps.clock;
  }

  /** Undefined: as fast as the link is. Holds from the next read on. */
  limitTo(bytesPerSecond: number | undefined): void {
    if (bytesPerSecond === this.#bytesPerSecond) return;
    this.#bytesPerSecond = bytesPerSecond;
    this.#freeAtMs = Math.min(this.#freeAtMs, this.#clock.bootMs());
  }

  /** Most bytes to ask for at a time. */
  sliceBytes(bytesMax: number): number {
    if (this.#bytesPerSecond === undefined) return bytesMax;
    return Math.min(bytesMax, Math.max(SLICE_BYTES_MIN, this.#bytesPerSecond * SLICE_SECONDS));
  }

  /** Resolves when so many bytes may be asked for. Rejects with the signal's reason. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#bytesPerSecond === undefined) return;
    const nowMs = this.#clock.bootMs();
    const startMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = startMs + (bytes / this.#bytesPerSecond) * 1000;
    if (startMs > nowMs) await this.#clock.sleep(startMs - nowMs, signal);
  }
}

/** The smaller of limits, of which each may be absent. */
export function smallerLimit(...limits: readonly (number | undefined)[]): number | undefined {
  const set = limits.filter((limit) => limit !== undefined);
  return set.length === 0 ? undefined : Math.min(...set);
}
