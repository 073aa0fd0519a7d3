import { type Engine, NO_NODE } from "./engine.ts";
import type { Shape } from "./shape.ts";

/** Room that was given: a shape, its node, and the node's devices that it got (as many as the shape asks for). */
export interface Placed {
  readonly shape: Shape;
  readonly node: number;
  readonly devices: Int16Array;
}

/**
 * Changes of an engine that can be taken back: a gang that starts whole or not at all, victims that are only thought away.
 * Undone in reverse order, so the engine is left exactly as it was.
 */
export class Trial {
  readonly #engine: Engine;
  readonly #done: { readonly kind: "given" | "taken"; readonly placed: Placed }[] = [];

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** How far the trial has got; `undoTo` comes back to it. */
  get mark(): number {
    return this.#done.length;
  }

  /** Whether this room, given when the trial had got to `mark`, was not taken back since. */
  holds(placed: Placed, mark: number): boolean {
    const step = this.#done[mark - 1];
    return step?.kind === "given" && step.placed === placed;
  }

  /** The best node for the shape, reserved; undefined when none fits. */
  place(shape: Shape): Placed | undefined {
    const node = this.#engine.place(shape);
    if (node === NO_NODE) return undefined;
    const placed = { shape, node, devices: this.#engine.devices.slice(0, shape.gpuCount) };
    this.#done.push({ kind: "given", placed });
    return placed;
  }

  /** Gives exactly this room. */
  reserve(placed: Placed): void {
    this.#engine.reserve(placed.shape, placed.node, placed.devices);
    this.#done.push({ kind: "given", placed });
  }

  /** Takes the room away. */
  release(placed: Placed): void {
    this.#engine.release(placed.shape, placed.node, placed.devices);
    this.#done.push({ kind: "taken", placed });
  }

  /** Takes everything after the mark back, the newest first. */
  undoTo(mark: number): void {
    for (let last = this.#done.length; last > mark; last--) {
      const step = this.#done.pop();
      if (step === undefined) return;
      const { shape, node, devices } = step.placed;
      if (step.kind === "given") this.#engine.release(shape, node, devices);
      else this.#engine.restore(shape, node, devices);
    }
  }
}
