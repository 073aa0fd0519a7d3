/**
 * Which up messages count. A node's messages are ordered by (epoch, seq) over its whole life; the hub keeps the last pair
 * that it has committed and lets pass only what is above it. The epoch grows with each start of the agent and is durable
 * before the first message, so a sequence number is never trusted across a start: one that a power cut took back would
 * otherwise make new messages look like old ones.
 */

/** How far a node has been read. */
export interface Position {
  readonly epoch: number;
  readonly seq: number;
}

/** Highest epoch taken from a node. A true one counts starts; beyond this the agent could not go on counting. */
export const EPOCH_MAX: number = 2 ** 48;

export type Verdict =
  /** Above the cursor: it counts, and the cursor moves to `next`. */
  | { readonly kind: "accept"; readonly next: Position }
  /** At or below the cursor: acknowledged and dropped. */
  | { readonly kind: "duplicate" }
  /** A birth from an agent whose state went back in time; it must take an epoch above `seenEpoch`. */
  | { readonly kind: "epoch-behind"; readonly seenEpoch: number }
  /** A start of the agent that the hub has no birth of: state is not taken, what happened is; a birth is asked for. */
  | { readonly kind: "rebirth" }
  /** An epoch that no honest agent reaches. */
  | { readonly kind: "implausible" };

/**
 * Judges one message. A birth that repeats the last accepted one (`isLastBirth`) is a redelivery; any other birth at or
 * below the cursor comes from an agent that has lost its epoch, also when the epoch is equal: its messages would be
 * dropped as duplicates until it had caught up.
 */
export function judge(
  cursor: Position | undefined,
  message: Position & { readonly kind: string },
  isLastBirth: boolean,
): Verdict {
  const { epoch, seq } = message;
  if (epoch > EPOCH_MAX) return { kind: "implausible" };
  const accept: Verdict = { kind: "accept", next: { epoch, seq } };
  if (message.kind === "birth") {
    if (cursor === undefined || isAbove(message, cursor)) return accept;
    return isLastBirth ? { kind: "duplicate" } : { kind: "epoch-behind", seenEpoch: cursor.epoch };
  }
  if (cursor === undefined || epoch > cursor.epoch) return { kind: "rebirth" };
  return isAbove(message, cursor) ? accept : { kind: "duplicate" };
}

function isAbove(a: Position, b: Position): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq);
}
