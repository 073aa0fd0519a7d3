import type { NodeLife } from "@flotilla/shared/model/lease";
import { LEASE_LOST_AFTER_MS, LEASE_SUSPECT_AFTER_MS } from "@flotilla/shared/model/lease";
import type { Condition } from "@flotilla/shared/model/metadata";

/**
 * The life of a node as its lease tells it. SPEC.md beside this file states the invariants.
 * `renewed`: a message was accepted within LEASE_SUSPECT_AFTER_MS. `silent`: none for that long. `silent-long`: none for
 * LEASE_LOST_AFTER_MS more.
 */
export type LeaseEvent = "renewed" | "silent" | "silent-long";

export const NODE_LIVES: readonly NodeLife[] = ["registered", "ready", "suspect", "lost"];
export const LEASE_EVENTS: readonly LeaseEvent[] = ["renewed", "silent", "silent-long"];

const TABLE: Readonly<Record<NodeLife, Readonly<Record<LeaseEvent, NodeLife>>>> = {
  registered: { renewed: "ready", silent: "registered", "silent-long": "registered" },
  // One step at a time: however late the sweep is, a node is seen as suspect before it is lost.
  ready: { renewed: "ready", silent: "suspect", "silent-long": "suspect" },
  suspect: { renewed: "ready", silent: "suspect", "silent-long": "lost" },
  lost: { renewed: "ready", silent: "lost", "silent-long": "lost" },
};

/** The life that follows. A node whose status says nothing is `registered`. */
export function nextLife(life: NodeLife | undefined, event: LeaseEvent): NodeLife {
  return TABLE[life ?? "registered"][event];
}

/** What a lease of this age says; `ageMs` by the hub's boot clock. */
export function leaseEvent(ageMs: number): LeaseEvent {
  if (ageMs < LEASE_SUSPECT_AFTER_MS) return "renewed";
  return ageMs < LEASE_SUSPECT_AFTER_MS + LEASE_LOST_AFTER_MS ? "silent" : "silent-long";
}

/** The Ready condition that goes with a life. Unknown rather than False: the hub does not hear the node, it may well run. */
export function readyCondition(life: NodeLife): Omit<Condition, "lastTransitionTime"> {
  return { type: "Ready", ...READY[life] };
}

const READY: Readonly<Record<NodeLife, Pick<Condition, "status" | "reason" | "message">>> = {
  registered: {
    status: "Unknown",
    reason: "NeverHeard",
    message: "the node is enrolled and has not been heard of",
  },
  ready: { status: "True", reason: "LeaseHeld", message: "the agent reports" },
  suspect: {
    status: "Unknown",
    reason: "NodeSuspect",
    message: `no message for ${LEASE_SUSPECT_AFTER_MS / 1000} s; nothing new is placed here`,
  },
  lost: {
    status: "Unknown",
    reason: "NodeLost",
    message: `no message for ${(LEASE_SUSPECT_AFTER_MS + LEASE_LOST_AFTER_MS) / 1000} s; what may move is placed elsewhere`,
  },
};

/** The Event that tells of a step; undefined where the life stays. */
export function lifeHappening(
  before: NodeLife | undefined,
  after: NodeLife,
): { type: "Normal" | "Warning"; reason: string; message: string } | undefined {
  if ((before ?? "registered") === after) return undefined;
  const { message } = readyCondition(after);
  switch (after) {
    case "registered":
      return undefined;
    case "ready":
      return {
        type: "Normal",
        reason: "NodeReady",
        message: `${message}; it was ${before ?? "registered"}`,
      };
    case "suspect":
      return { type: "Warning", reason: "NodeSuspect", message };
    case "lost":
      return { type: "Warning", reason: "NodeLost", message };
  }
}
