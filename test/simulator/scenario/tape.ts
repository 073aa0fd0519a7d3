import type { Dice } from "../world/seeds.ts";

/** Most messages kept for repetition, each way. */
const KEPT = 300;

/** An up message as it was sent. */
export interface UpCopy {
  readonly node: string;
  readonly kind: string;
  readonly payload: Uint8Array;
}

/** A down message as it was sent. */
export interface DownCopy {
  readonly node: string;
  readonly kind: string;
  readonly payload: Uint8Array;
}

/** What went over the wire, for whoever wants to play it again. */
export class Tape {
  readonly #up: UpCopy[] = [];
  readonly #down: DownCopy[] = [];

  recordUp(copy: UpCopy): void {
    this.#up.push(copy);
    if (this.#up.length > KEPT) this.#up.shift();
  }

  recordDown(copy: DownCopy): void {
    this.#down.push(copy);
    if (this.#down.length > KEPT) this.#down.shift();
  }

  up(dice: Dice): UpCopy | undefined {
    return dice.pick(this.#up);
  }

  /** Something that this node said, a birth more often than its share: it is what begins anew. */
  upOf(node: string, dice: Dice): UpCopy | undefined {
    const own = this.#up.filter((c) => c.node === node);
    const births = own.filter((c) => c.kind === "birth");
    return dice.pick(dice.chance(0.5) && births.length > 0 ? births : own);
  }

  /** A desired state more often than its share: the rest has little to say. */
  down(dice: Dice): DownCopy | undefined {
    const desired = this.#down.filter((c) => c.kind === "desired");
    return dice.pick(dice.chance(0.6) && desired.length > 0 ? desired : this.#down);
  }
}
