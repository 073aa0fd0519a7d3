import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Use } from "@flotilla/shared/scheduling/facts";
import {
  type HeldRoom,
  heldRoomsOf,
  idOfMovePlan,
  isMovePlanOver,
} from "../../domain/defragment/move-plan.ts";
import type { AssignmentIndex } from "./assignment-index.ts";

type MovePlan = ObjectOf<"MovePlan">;

/** Room that is held under this id of the table. */
export interface Hold extends HeldRoom {
  readonly id: string;
}

/**
 * Room of the table that move plans keep for whom they make it: counted as taken, until its Assignment is there. What is known of
 * plans and Assignments alone decides, so that any order of changes ends at the same.
 */
export class RoomHolds {
  readonly #deps: RoomHoldsDeps;
  readonly #plans = new Map<string, MovePlan>();
  /** What is in the table now, by plan. */
  readonly #held = new Map<string, readonly Hold[]>();
  /** Plan that makes room for an Assignment. */
  readonly #planFor = new Map<string, string>();

  constructor(deps: RoomHoldsDeps) {
    this.#deps = deps;
  }

  /** Plans that are under way. */
  get plans(): Iterable<MovePlan> {
    return this.#plans.values();
  }

  heldBy(plan: MovePlan): readonly Hold[] {
    return this.#held.get(idOfMovePlan(plan)) ?? [];
  }

  /** The plan is this one now. */
  put(plan: MovePlan): void {
    const id = idOfMovePlan(plan);
    if (isMovePlanOver(plan)) return this.drop(id);
    this.#plans.set(id, plan);
    for (const { forId } of heldRoomsOf(plan))
      if (forId !== undefined) this.#planFor.set(forId, id);
    this.#hold(id, new Set());
  }

  /** The plan is gone, or over. */
  drop(planId: string): void {
    this.lift(planId);
    this.#plans.delete(planId);
    for (const [assignmentId, id] of this.#planFor)
      if (id === planId) this.#planFor.delete(assignmentId);
  }

  clear(): void {
    for (const id of this.#plans.keys()) this.drop(id);
  }

  /** The Assignment came, went or changed. */
  follow(assignmentId: string): void {
    const planId = this.#planFor.get(assignmentId);
    if (planId !== undefined) this.#hold(planId, new Set());
  }

  /** Gives the plan's rooms free, for those that they are for to take them; `settle` follows. */
  lift(planId: string): void {
    for (const { id } of this.#held.get(planId) ?? []) this.#deps.table.unassign(id);
    this.#held.delete(planId);
  }

  /** Holds what these have not taken. */
  settle(planId: string, placedIds: ReadonlySet<string>): void {
    this.#hold(planId, placedIds);
  }

  #hold(planId: string, placedIds: ReadonlySet<string>): void {
    this.lift(planId);
    const plan = this.#plans.get(planId);
    if (plan === undefined) return;
    const { table, assignments } = this.#deps;
    const isTaken = (id: string): boolean =>
      placedIds.has(id) || assignments.get(id)?.spec.node !== undefined;
    const holds = heldRoomsOf(plan)
      .filter(({ forId }) => forId === undefined || !isTaken(forId))
      .map((room, i): Hold => ({ ...room, id: `move-plan ${planId} ${i}` }));
    for (const { id, node, use } of holds) table.assign(id, node, use);
    this.#held.set(planId, holds);
  }
}

interface RoomHoldsDeps {
  readonly table: {
    assign(id: string, node: string, use: Use): void;
    unassign(id: string): void;
  };
  readonly assignments: Pick<AssignmentIndex, "get">;
}
