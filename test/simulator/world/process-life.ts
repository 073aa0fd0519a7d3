import type { Clock } from "@flotilla/shared/kernel/clock";
import type { EventLoop, Owner } from "./event-loop.ts";

/** Thrown into code whose process is dead: what it does afterwards reaches nothing. */
export class Killed extends Error {
  override readonly name = "Killed";
}

/** One life of one process. Once it is over, its timers never fire and its ports refuse. */
export class ProcessLife implements Owner {
  readonly name: string;
  readonly machine: string;
  readonly #loop: Pick<EventLoop, "isSpinning">;
  #isAlive = true;
  #callsToLive: number | undefined;
  #onDeath: () => void = () => {};

  constructor(name: string, machine: string, loop: Pick<EventLoop, "isSpinning">) {
    this.name = name;
    this.machine = machine;
    this.#loop = loop;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** What the kernel does when the process is gone. */
  onDeath(action: () => void): void {
    this.#onDeath = action;
  }

  kill(): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.#onDeath();
  }

  /** Dies at the n-th call of a port from now, in the middle of whatever it does. */
  killAtCall(count: number): void {
    this.#callsToLive = count;
  }

  /** One synchronous call of a port: may be the last thing that the process does, before or after its effect. */
  call<T>(effect: () => T): T {
    this.#check();
    if (this.#isLast()) this.kill();
    this.#check();
    const result = effect();
    if (this.#isLast()) this.kill();
    this.#check();
    return result;
  }

  #isLast(): boolean {
    if (this.#callsToLive === undefined) return false;
    this.#callsToLive--;
    return this.#callsToLive <= 0;
  }

  #check(): void {
    if (this.#loop.isSpinning()) throw new Killed(`${this.name} runs in circles`);
    if (!this.#isAlive) throw new Killed(`${this.name} is dead`);
  }
}

/** Clocks of one machine. */
export interface MachineTime {
  bootMs(): number;
  wallMs(): number;
}

/** The clock port of one process. */
export class ProcessClock implements Clock {
  readonly #loop: EventLoop;
  readonly #owner: Owner;
  readonly #time: MachineTime;

  constructor(loop: EventLoop, owner: Owner, time: MachineTime) {
    this.#loop = loop;
    this.#owner = owner;
    this.#time = time;
  }

  bootMs(): number {
    return this.#time.bootMs();
  }

  wallMs(): number {
    return this.#time.wallMs();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(reasonOf(signal));
        return;
      }
      if (this.#loop.isSpinning()) return;
      const timer = this.#loop.schedule(ms, this.#owner, "wakes", () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      const onAbort = (): void => {
        timer.cancel();
        reject(reasonOf(signal));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}

function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new DOMException(String(reason), "AbortError");
}
