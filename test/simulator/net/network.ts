import type { EventLoop } from "../world/event-loop.ts";
import { WORLD } from "../world/event-loop.ts";
import type { Dice } from "../world/seeds.ts";

/** Up: node to hub. */
export type Direction = "up" | "down";
export const DIRECTIONS: readonly Direction[] = ["up", "down"];

/** How long TCP may take to notice that a road is open again. */
const RETRANSMIT_MS_MAX = 1_500;

/** The road between one node and the hub. Each direction can be cut alone; what is under way then waits for its end. */
export class Road {
  readonly node: string;
  /** Mean of the exponential part of the latency. */
  meanMs = 20;
  readonly #loop: EventLoop;
  readonly #dice: Dice;
  readonly #cut = new Set<Direction>();
  #isAsleep = false;
  readonly #waiting = new Set<() => void>();

  constructor(node: string, loop: EventLoop, dice: Dice) {
    this.node = node;
    this.#loop = loop;
    this.#dice = dice;
  }

  isOpen(direction: Direction): boolean {
    return !this.#cut.has(direction) && !this.#isAsleep;
  }

  get isWhole(): boolean {
    return this.#cut.size === 0 && !this.#isAsleep;
  }

  cut(direction: Direction): void {
    this.#cut.add(direction);
  }

  heal(): void {
    this.#cut.clear();
    this.#flushLater();
  }

  /** The node's machine is suspended, or wakes. */
  sleeps(isAsleep: boolean): void {
    this.#isAsleep = isAsleep;
    if (!isAsleep) this.#flushLater();
  }

  delayMs(): number {
    return 1 + this.#dice.exponential(this.meanMs);
  }

  /** Called when the road may be open again. */
  onOpen(listener: () => void): () => void {
    this.#waiting.add(listener);
    return () => this.#waiting.delete(listener);
  }

  #flushLater(): void {
    const delayMs = this.#dice.between(1, RETRANSMIT_MS_MAX);
    this.#loop.schedule(delayMs, WORLD, `road ${this.node} opens`, () => {
      for (const listener of this.#waiting) listener();
    });
  }
}
