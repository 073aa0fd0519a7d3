import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";

/** Most sleepers that one `advance` wakes; more is a loop that sleeps for nothing. */
const WAKES_MAX = 100_000;

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/**
 * A clock that moves only when told to. Timers go by running time, which stands still in `suspend`, as on Linux;
 * `bootMs` counts on.
 */
export class ManualClock implements Clock {
  #runningMs = 0;
  #bootOffsetMs: number;
  #wallOffsetMs: number;
  #sleepers: Sleeper[] = [];

  constructor(options: { readonly bootMs?: number; readonly wallMs?: number } = {}) {
    this.#bootOffsetMs = options.bootMs ?? 0;
    this.#wallOffsetMs = options.wallMs ?? 1_750_000_000_000;
  }

  bootMs(): number {
    return this.#bootOffsetMs + this.#runningMs;
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#runningMs;
  }

  /** How many sleeps are under way. */
  get sleeperCount(): number {
    return this.#sleepers.length;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(reasonOf(signal));
        return;
      }
      const sleeper: Sleeper = {
        dueMs: this.#runningMs + Math.max(0, ms),
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const onAbort = (): void => {
        this.#sleepers = this.#sleepers.filter((s) => s !== sleeper);
        reject(reasonOf(signal));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#sleepers.push(sleeper);
    });
  }

  /** Moves all clocks on; wakes sleepers in the order in which they are due, and lets each run as far as it can. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#runningMs + ms;
    await settled();
    for (let wakes = 0; ; wakes++) {
      assert(wakes < WAKES_MAX, `more than ${WAKES_MAX} sleepers woke within ${ms} ms`);
      const next = this.#takeDue(untilMs);
      if (next === undefined) break;
      this.#runningMs = Math.max(this.#runningMs, next.dueMs);
      next.wake();
      await settled();
    }
    this.#runningMs = untilMs;
  }

  /** The machine sleeps: boot and wall time go on, timers do not. */
  suspend(ms: number): void {
    this.#bootOffsetMs += ms;
    this.#wallOffsetMs += ms;
  }

  /** Sets the wall clock, as NTP or a flat battery does. Nothing else moves. */
  setWall(ms: number): void {
    this.#wallOffsetMs = ms - this.#runningMs;
  }

  #takeDue(untilMs: number): Sleeper | undefined {
    const due = this.#sleepers.filter((s) => s.dueMs <= untilMs);
    const next = due.reduce<Sleeper | undefined>(
      (first, s) => (first === undefined || s.dueMs < first.dueMs ? s : first),
      undefined,
    );
    this.#sleepers = this.#sleepers.filter((s) => s !== next);
    return next;
  }
}

/** Lets every promise that can settle do so: `setImmediate` comes after all microtasks. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new DOMException(String(reason), "AbortError");
}
