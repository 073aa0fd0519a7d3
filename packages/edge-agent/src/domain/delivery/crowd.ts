/**
 * Of whom of the site a node takes the next bytes, or whether it fetches them from outside itself. Nobody is asked who does what: each
 * node decides by the order of peer-order.ts and by what it sees of the others.
 */
import { ancestorsOf } from "./peer-order.ts";

export type MemberState =
  /** Not looked at yet. */
  | "unknown"
  /** It has it, or is fetching it. */
  | "there"
  /** It answers, and has none of it. */
  | "absent"
  | "down"
  /** It lied, or stalled: not asked again in this transfer. */
  | "struck";

export interface Member {
  readonly node: string;
  /** Place in the order; the node itself has one too. */
  readonly place: number;
  readonly state: MemberState;
  /** From the payload's begin: what it gives. */
  readonly availableBytes: number;
  /** Boot clock of the last look. */
  readonly seenMs: number;
}

export interface CrowdView {
  readonly members: readonly Member[];
  readonly ownPlace: number;
  /** The end of the piece that is needed. */
  readonly neededBytes: number;
  readonly nowMs: number;
  /** When this transfer began. */
  readonly beganMs: number;
  /** When something was last seen to come to one of those before, or this transfer began. */
  readonly movedMs: number;
  /** The hub failed just now: everybody is of interest. */
  readonly isHubFailing: boolean;
}

export type CrowdChoice =
  /** Any of these has it; nearest first. */
  | { readonly kind: "read"; readonly nodes: readonly string[] }
  /** It is fetching it: ask, and wait there so long. */
  | { readonly kind: "follow"; readonly node: string; readonly waitMs: number }
  /** See who has what. */
  | { readonly kind: "look"; readonly nodes: readonly string[] }
  | { readonly kind: "fetch" }
  | { readonly kind: "pause"; readonly waitMs: number };

/** For each one before it that seems to be at work, a node waits so long for a sign of progress before it fetches itself. */
export const PATIENCE_MS = 20_000;
/** So long one that has not begun may still begin: all nodes of a site hear of a release within seconds. */
export const BEGIN_GRACE_MS = 10_000;
/** One that had nothing is looked at again after this. */
export const ABSENT_LOOK_MS = 2_000;
/** One that is at work while this node fetches itself is looked at again after this. */
export const AT_WORK_LOOK_MS = 10_000;
/** One that did not answer is looked at again after this. */
export const DOWN_LOOK_MS = 30_000;
/** Longest wait at a peer. */
export const FOLLOW_MS_MAX = 10_000;
/** Most that are looked at together. */
export const LOOK_COUNT_MAX = 8;

/** What to do for the next piece. */
export function chooseInCrowd(view: CrowdView): CrowdChoice {
  const nearest = byNearness(view);
  const having = nearest.filter((m) => m.state === "there" && m.availableBytes >= view.neededBytes);
  if (having.length > 0) return { kind: "read", nodes: having.map((m) => m.node) };
  const due = nearest.filter((m) => isLookDue(m, view)).slice(0, LOOK_COUNT_MAX);
  if (due.length > 0) return { kind: "look", nodes: due.map((m) => m.node) };
  const patienceMs = view.movedMs + PATIENCE_MS * before(view).length - view.nowMs;
  if (patienceMs <= 0) return { kind: "fetch" };
  const atWork = nearest.find((m) => m.state === "there" && m.place < view.ownPlace);
  if (atWork !== undefined)
    return { kind: "follow", node: atWork.node, waitMs: Math.min(FOLLOW_MS_MAX, patienceMs) };
  return { kind: "pause", waitMs: Math.min(ABSENT_LOOK_MS, patienceMs) };
}

/** Those before it that are at work, or may begin yet. */
function before(view: CrowdView): readonly Member[] {
  const mayBegin = view.nowMs < view.beganMs + BEGIN_GRACE_MS;
  return view.members.filter(
    (m) =>
      m.place < view.ownPlace &&
      (m.state === "there" || m.state === "unknown" || (m.state === "absent" && mayBegin)),
  );
}

/** Ancestors first, then those that come before, then the others, each with a turn that differs from node to node. */
function byNearness(view: CrowdView): readonly Member[] {
  const ancestors = ancestorsOf(view.ownPlace);
  const count = view.members.length + 1;
  const rank = (m: Member): number => {
    const at = ancestors.indexOf(m.place);
    if (at >= 0) return at;
    const distance = (m.place - view.ownPlace + count) % count;
    return count * (m.place < view.ownPlace ? 1 : 2) + distance;
  };
  return view.members.toSorted((a, b) => rank(a) - rank(b));
}

function isLookDue(member: Member, view: CrowdView): boolean {
  const isBefore = member.place < view.ownPlace;
  const ageMs = view.nowMs - view.beganMs;
  // All at the begin: a node that comes late finds the others complete. Later only those before it can spare it the fetch, and
  // everybody when the hub fails.
  const isOfInterest = isBefore || view.isHubFailing || ageMs < ABSENT_LOOK_MS;
  if (!isOfInterest || member.state === "struck") return false;
  if (member.state === "unknown") return true;
  return view.nowMs - member.seenMs >= lookAfterMs(member, { ageMs, view });
}

function lookAfterMs(
  { state }: Member,
  { ageMs, view }: { readonly ageMs: number; readonly view: CrowdView },
): number {
  if (state === "there") return view.isHubFailing ? ABSENT_LOOK_MS : AT_WORK_LOOK_MS;
  // It may begin yet; one that did not then has another way to the file.
  return state === "absent" && ageMs < 2 * BEGIN_GRACE_MS ? ABSENT_LOOK_MS : DOWN_LOOK_MS;
}
