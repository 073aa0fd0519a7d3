import { JSON_DEPTH_MAX, jsonDepth } from "@flotilla/shared/kernel/json";
import { DesiredState } from "@flotilla/shared/model/desired-state";
import { Check } from "typebox/value";

/** What this node holds already. */
export interface HeldDesired {
  readonly nodeId: string;
  /** Payload of the desired state that was last accepted. */
  readonly payload: string | undefined;
  readonly revision: number;
  /** Least revision that may be accepted. */
  readonly revisionFloor: number;
}

/** A desired state that came in: `verified` tells whether the hub's signature covers `payload`. */
export interface OfferedDesired {
  readonly verified: boolean;
  readonly payload: string;
}

/** A closed set: it labels a metric and names a notice. */
export type DesiredRefusal =
  | "BadSignature"
  | "NotADesiredState"
  | "OtherNode"
  | "OlderRevision"
  | "RevisionReused";

export type DesiredDecision =
  | { readonly kind: "accept"; readonly state: DesiredState }
  /** A repetition of what is held. */
  | { readonly kind: "ignore"; readonly reason: "AlreadyHeld" }
  | { readonly kind: "refuse"; readonly reason: DesiredRefusal; readonly detail: string };

/**
 * Whether a desired state is taken. The signature is judged before anything of the text is read; then form, addressee and
 * revision. A revision that is older than the held one is refused also when it is signed: it is a replay.
 */
export function decideDesired(held: HeldDesired, offered: OfferedDesired): DesiredDecision {
  if (!offered.verified)
    return refuse("BadSignature", "the signature is not the hub's over this text");
  if (held.payload === offered.payload) return { kind: "ignore", reason: "AlreadyHeld" };
  const state = parseDesiredState(offered.payload);
  if (state === undefined)
    return refuse("NotADesiredState", "the signed text is no desired state that this agent knows");
  if (state.nodeId !== held.nodeId)
    return refuse("OtherNode", `it is for node ${state.nodeId}, this is ${held.nodeId}`);
  const { revision } = state;
  if (revision === held.revision)
    return refuse("RevisionReused", `revision ${revision} is held with another content`);
  if (revision < held.revisionFloor)
    return refuse("OlderRevision", `revision ${revision} is below ${held.revisionFloor}`);
  return { kind: "accept", state };
}

function parseDesiredState(payload: string): DesiredState | undefined {
  if (jsonDepth(payload) > JSON_DEPTH_MAX) return undefined;
  try {
    const value: unknown = JSON.parse(payload);
    return Check(DesiredState, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function refuse(reason: DesiredRefusal, detail: string): DesiredDecision {
  return { kind: "refuse", reason, detail };
}
