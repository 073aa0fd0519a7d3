/**
 * A lease is the promise that a node is alive. Renewed by every accepted up message, counted on the hub's boot clock.
 * Deadlines: see LEASE_* below; docs/protocol.md states them to operators.
 */

/** An agent with nothing to say still reports this often. */
export const HEARTBEAT_INTERVAL_MS = 10_000;
/** No accepted message for this long: the node is suspect; nothing new is placed on it. */
export const LEASE_SUSPECT_AFTER_MS = 40_000;
/** Suspect for this long as well: the node is lost; what may move is placed elsewhere. */
export const LEASE_LOST_AFTER_MS = 300_000;

/** Life of a node as its lease tells it. `registered`: enrolled, never heard of. */
export type NodeLife = "registered" | "ready" | "suspect" | "lost";
