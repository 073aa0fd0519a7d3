import { type Static, Type } from "typebox";

/**
 * The hub has seen a higher epoch of this node than the birth that it answers: the agent's state went back in time (restored or lost).
 * The agent makes `seenEpoch + 1` durable and is born again.
 */
export const EpochBehind = Type.Object({
  seenEpoch: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER - 1 }),
});
export type EpochBehind = Static<typeof EpochBehind>;
