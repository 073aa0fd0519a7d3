import { Trace } from "./trace.ts";

/** Whose event it is: what belongs to a dead process never happens, what belongs to a sleeping machine happens later. */
export interface Owner {
  readonly name: string;
  /** Machine whose sleep holds it up; absent: none. */
  readonly machine?: string;
  readonly isAlive: boolean;
}

/** An event that lies ahead. */
export interface Timer {
  cancel(): void;
}

interface Entry extends Timer {
  atMs: number;
  readonly order: number;
  readonly owner: Owner;
  readonly label: string;
  readonly run: () => void;
  isCancelled: boolean;
}

/** Calls of ports within one event; more is a loop that never lets time pass. */
const CALLS_PER_EVENT_MAX = 100_000;
/** Events at one instant; more is a loop that sleeps for no time at all. */
const EVENTS_PER_INSTANT_MAX = 10_000;

/** The world itself: always there. */
export const WORLD: Owner = { name: "world", isAlive: true };

/**
 * Virtual time. One event after the other, in the order (time, order of scheduling); after each, everything that can go on
 * goes on until it waits for time again. Nothing here reads a real clock.
 */
export class EventLoop {
  readonly trace: Trace = new Trace(() => this.nowMs);
  #heap: Entry[] = [];
  #order = 0;
  #nowMs = 0;
  #calls = 0;
  #instants = 0;
  #spin: Error | undefined;

  /** Milliseconds since the world began; not whole. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** `run` happens after `delayMs`, if its owner still lives then. */
  schedule(delayMs: number, owner: Owner, label: string, run: () => void): Timer {
    const entry: Entry = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order++,
      owner,
      label,
      run,
      isCancelled: false,
      cancel: () => {
        entry.isCancelled = true;
      },
    };
    this.#push(entry);
    return entry;
  }

  /** Everything that lies ahead on this machine happens so much later. */
  postpone(machine: string, ms: number): void {
    for (const entry of this.#heap) if (entry.owner.machine === machine) entry.atMs += ms;
    const entries = this.#heap;
    this.#heap = [];
    for (const entry of entries) this.#push(entry);
  }

  /**
   * Every port says that it was called. True from the moment on when so many calls came within one event that time will
   * never pass again: the port must then not answer any more.
   */
  isSpinning(): boolean {
    this.#calls++;
    if (this.#calls > CALLS_PER_EVENT_MAX) this.#spin ??= new Error("time stands still");
    return this.#calls > CALLS_PER_EVENT_MAX;
  }

  /** Where code ran in circles without letting time pass. */
  get spin(): Error | undefined {
    return this.#spin;
  }

  /** One event and all that follows from it. False when nothing lies ahead. */
  async step(): Promise<boolean> {
    for (let entry = this.#pop(); entry !== undefined; entry = this.#pop()) {
      if (entry.isCancelled || !entry.owner.isAlive) continue;
      this.#instants = entry.atMs > this.#nowMs ? 0 : this.#instants + 1;
      if (this.#instants > EVENTS_PER_INSTANT_MAX)
        this.#spin ??= new Error(`time stands still: ${entry.owner.name} ${entry.label}`);
      this.#nowMs = Math.max(this.#nowMs, entry.atMs);
      this.trace.fold(`${this.#nowMs} ${entry.owner.name} ${entry.label}\n`);
      this.#calls = 0;
      entry.run();
      await settled();
      return true;
    }
    return false;
  }

  /** Time of the next event, cancelled ones included. */
  get nextMs(): number | undefined {
    return this.#heap[0]?.atMs;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    heap.push(entry);
    for (let i = heap.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!swapIfLess(heap, i, parent)) return;
      i = parent;
    }
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    heap[0] = last;
    for (let i = 0; ; ) {
      const [left, right] = [2 * i + 1, 2 * i + 2];
      const least = right < heap.length && isLess(heap, right, left) ? right : left;
      if (least >= heap.length || !swapIfLess(heap, least, i)) return first;
      i = least;
    }
  }
}

function isLess(heap: readonly Entry[], i: number, j: number): boolean {
  const [a, b] = [heap[i], heap[j]];
  if (a === undefined || b === undefined) return false;
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function swapIfLess(heap: Entry[], i: number, j: number): boolean {
  const [a, b] = [heap[i], heap[j]];
  if (a === undefined || b === undefined || !isLess(heap, i, j)) return false;
  heap[i] = b;
  heap[j] = a;
  return true;
}

/** The macrotask boundary: every promise that can settle has settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
