import { type Engine, NO_NODE } from "../../engine/engine.ts";
import type { NodeTable } from "../../engine/node-table.ts";
import type { Shape } from "../../engine/shape.ts";
import { type Placed, Trial } from "../../engine/trial.ts";
import type { PlaceMember, RoundMember } from "../types.ts";

/** The engine as a round uses it: places, undoes, and remembers what has no room so that it does not look again. */
export class Room {
  readonly trial: Trial;
  readonly nodes: NodeTable;
  readonly #engine: Engine;
  readonly #place: PlaceMember;
  /** How many members of a shape have room at most, where that was found out since room was last given back. */
  readonly #roomFor = new Map<Shape, number>();

  constructor(deps: {
    readonly engine: Engine;
    readonly nodes: NodeTable;
    readonly place?: PlaceMember;
  }) {
    this.trial = new Trial(deps.engine);
    this.nodes = deps.nodes;
    this.#engine = deps.engine;
    this.#place = deps.place ?? (({ shape }, trial) => trial.place(shape));
  }

  /** Reserves room for one member. */
  place(member: RoundMember): Placed | undefined {
    return this.#place(member, this.trial);
  }

  /** Reserves room for all, or changes nothing. */
  placeAll(members: readonly RoundMember[]): readonly Placed[] | undefined {
    const shape = members[0]?.shape;
    const isUniform = shape !== undefined && members.every((m) => m.shape === shape);
    if (isUniform && members.length > (this.#roomFor.get(shape) ?? Number.POSITIVE_INFINITY))
      return undefined;
    const { mark } = this.trial;
    const placed: Placed[] = [];
    for (const member of members) {
      const one = this.place(member);
      if (one === undefined) {
        // How many equal members fit does not depend on where the first ones went.
        if (isUniform && !this.hasRoom(shape)) this.#roomFor.set(shape, placed.length);
        this.trial.undoTo(mark);
        return undefined;
      }
      placed.push(one);
    }
    return placed;
  }

  hasRoom(shape: Shape): boolean {
    return this.#engine.choose(shape) !== NO_NODE;
  }

  /** Room was given back: what had none may have it now. */
  forget(): void {
    this.#roomFor.clear();
  }
}
