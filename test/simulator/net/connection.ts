import type { EventLoop } from "../world/event-loop.ts";
import { WORLD } from "../world/event-loop.ts";
import type { Direction, Road } from "./network.ts";

/** What goes over a connection: the few MQTT packets that matter, and the kernel's own. */
export type Frame =
  | {
      readonly kind: "connect";
      readonly will: { readonly topic: string; readonly payload: Uint8Array };
      readonly subscriptions: readonly string[];
      readonly keepaliveMs: number;
    }
  | { readonly kind: "connack"; readonly refusal?: string }
  | {
      readonly kind: "publish";
      readonly packetId: number;
      readonly topic: string;
      readonly payload: Uint8Array;
    }
  | { readonly kind: "puback"; readonly packetId: number }
  | { readonly kind: "ping" }
  | { readonly kind: "pong" }
  | { readonly kind: "disconnect" }
  /** The other end's kernel has closed the connection, or knows of none. */
  | { readonly kind: "closed" };

/** One end's receiver; undefined answers that this end is gone. */
export type Receiver = (frame: Frame) => void;

/**
 * A TCP connection: frames of each direction arrive in order, late or never. A cut road holds frames back; an end whose
 * machine has no power swallows them; an end whose process is gone answers with a reset.
 */
export class Connection {
  readonly road: Road;
  readonly #loop: EventLoop;
  readonly #ends: Record<Direction, Receiver | "closed" | "dark"> = {
    up: "closed",
    down: "closed",
  };
  readonly #held: Record<Direction, Frame[]> = { up: [], down: [] };
  readonly #lastMs: Record<Direction, number> = { up: 0, down: 0 };
  readonly #unsubscribe: () => void;

  constructor(road: Road, loop: EventLoop) {
    this.road = road;
    this.#loop = loop;
    this.#unsubscribe = road.onOpen(() => this.#flush());
  }

  /** Who receives what travels in this direction. */
  attach(direction: Direction, receiver: Receiver): void {
    this.#ends[direction] = receiver;
  }

  send(direction: Direction, frame: Frame): void {
    const atMs = Math.max(this.#loop.nowMs + this.road.delayMs(), this.#lastMs[direction] + 0.001);
    this.#lastMs[direction] = atMs;
    const label = `${this.road.node} ${direction} ${frame.kind}`;
    this.#loop.schedule(atMs - this.#loop.nowMs, WORLD, label, () => {
      if (!this.road.isOpen(direction) || this.#held[direction].length > 0)
        this.#held[direction].push(frame);
      else this.#deliver(direction, frame);
    });
  }

  /** The receiver of `direction` closes its end. With a goodbye the other end's kernel is told. */
  close(direction: Direction, withGoodbye: boolean): void {
    if (this.#ends[direction] === "closed" || this.#ends[direction] === "dark") return;
    this.#ends[direction] = withGoodbye ? "closed" : "dark";
    if (withGoodbye) this.send(opposite(direction), { kind: "closed" });
    if (isGone(this.#ends.up) && isGone(this.#ends.down)) this.#unsubscribe();
  }

  /** The machine behind this end is up again and knows nothing of the connection. */
  powerOn(direction: Direction): void {
    if (this.#ends[direction] === "dark") this.#ends[direction] = "closed";
  }

  #flush(): void {
    for (const direction of ["up", "down"] as const)
      while (this.road.isOpen(direction)) {
        const frame = this.#held[direction].shift();
        if (frame === undefined) break;
        this.#deliver(direction, frame);
      }
  }

  #deliver(direction: Direction, frame: Frame): void {
    const end = this.#ends[direction];
    if (end === "dark") return;
    if (end !== "closed") end(frame);
    else if (frame.kind !== "closed") this.send(opposite(direction), { kind: "closed" });
  }
}

function isGone(end: Receiver | "closed" | "dark"): boolean {
  return end === "closed" || end === "dark";
}

function opposite(direction: Direction): Direction {
  return direction === "up" ? "down" : "up";
}
