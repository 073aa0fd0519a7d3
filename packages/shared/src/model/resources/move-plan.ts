import { type Static, Type } from "typebox";
import { Capacity } from "../capacity.ts";
import { DeviceShare } from "../desired-state.ts";

/** Moves that make room for an instance that waits. Made by the hub; a client reads it, and deletes it to stop it. */

/** Most rooms of one plan: members of a gang that are blocked together. */
export const MOVE_PLAN_ROOMS_MAX = 256;

const Place = Type.Object({
  node: Type.String({ minLength: 1 }),
  /** Devices of the node, or slices of them. */
  devices: Type.Optional(Type.Array(DeviceShare)),
});

/** What the instance takes of its node. */
const taken = {
  requests: Capacity,
  /** Host ports, `TCP/8080`. */
  ports: Type.Optional(Type.Array(Type.String())),
} as const;

/** Room that is made, and the Assignment of the plan's namespace that it is for. */
export const MovePlanRoom = Type.Object({
  assignment: Type.String(),
  ...taken,
  ...Place.properties,
});
export type MovePlanRoom = Static<typeof MovePlanRoom>;

/** One instance that moves; of any namespace. */
export const MovePlanMove = Type.Object({
  namespace: Type.String(),
  assignment: Type.String(),
  ...taken,
  from: Place,
  to: Place,
  /** What its interruption costs, GPUs. */
  price: Type.Number(),
});
export type MovePlanMove = Static<typeof MovePlanMove>;

export const MovePlanSpec = Type.Object({
  /** What waits for room: `namespace/application/component`. */
  job: Type.String(),
  rooms: Type.Array(MovePlanRoom, { minItems: 1, maxItems: MOVE_PLAN_ROOMS_MAX }),
  /** Made one after the other, in this order. */
  moves: Type.Array(MovePlanMove, { minItems: 1 }),
  /** What it is worth to run what waits, GPUs; the moves' prices are no more together. */
  gain: Type.Number(),
});
export type MovePlanSpec = Static<typeof MovePlanSpec>;

const Phase = Type.Union([
  Type.Literal("planned"),
  Type.Literal("moving"),
  Type.Literal("freed"),
  Type.Literal("done"),
  Type.Literal("undoing"),
  Type.Literal("undone"),
]);

const MoveState = Type.Union([
  Type.Literal("waiting"),
  Type.Literal("sent"),
  Type.Literal("arrived"),
  Type.Literal("returning"),
  Type.Literal("returned"),
  Type.Literal("left"),
  Type.Literal("gone"),
]);

const BrokenBy = Type.Union([
  Type.Literal("move-failed"),
  Type.Literal("node-lost"),
  Type.Literal("timeout"),
  Type.Literal("request-gone"),
  Type.Literal("request-placed-elsewhere"),
]);

/** How far it is; the words are those of `scheduling/defragment/SPEC.md`. */
export const MovePlanStatus = Type.Object({
  phase: Phase,
  /** Of each move of the spec, in its order. */
  moves: Type.Array(
    Type.Object({
      state: MoveState,
      /** When the run began that the move ends, by the node's clock: a later report of it is no arrival. */
      runStartedAt: Type.Optional(Type.String()),
    }),
  ),
  /** Why it was given up. */
  brokenBy: Type.Optional(BrokenBy),
  /** Since when the phase is this one and the same instance is under way. */
  since: Type.String(),
});
export type MovePlanStatus = Static<typeof MovePlanStatus>;
