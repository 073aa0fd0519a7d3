import type { Shape } from "../engine/shape.ts";
import type { Placed, Trial } from "../engine/trial.ts";
import type { Amounts } from "./amounts.ts";

/** Name of the queue of jobs that name none. It exists always; an object of this name only gives it limits. */
export const DEFAULT_QUEUE = "default";

/**
 * A queue as a round sees it. Limits name only some resources: what `capability` leaves out is unlimited, what `guarantee`
 * leaves out is not guaranteed; a queue without `deserved` deserves what its weight gives of what the others' leave.
 * Numbers that are no amounts (NaN, negative, absurd) count as left out, a weight that is none as 1, a priority as 0.
 */
export interface RoundQueue {
  readonly name: string;
  /** Absent, or a name that no queue has: directly under the fleet. */
  readonly parent?: string;
  readonly weight: number;
  /** Of queues that want to borrow the same room, the greater is served first. */
  readonly priority: number;
  /** A closed queue starts nothing new; what runs goes on, and a gang below its minimum is still repaired. */
  readonly open: boolean;
  /** Whether others may take back what it has above its deserved amounts. */
  readonly reclaimable: boolean;
  /** `fifo`: a job that waits for room holds up those behind it in the queue. `traverse`: it does not. */
  readonly dequeueStrategy: "fifo" | "traverse";
  readonly guarantee?: Partial<Amounts>;
  readonly deserved?: Partial<Amounts>;
  readonly capability?: Partial<Amounts>;
}

/** One instance that wants a place. Members with equal requests share one Shape object. */
export interface RoundMember {
  readonly id: string;
  readonly shape: Shape;
}

export type PreemptionPolicy = "LowerPriority" | "Never";

/** What wants room and is started together: a component of an Application. */
export interface RoundJob {
  readonly id: string;
  /** Absent: the default queue. */
  readonly queue?: string;
  readonly priority: number;
  /** Decides among jobs of one queue and priority, ascending as text: creation time, then name. */
  readonly orderKey: string;
  /** What is not placed yet. */
  readonly members: readonly RoundMember[];
  /** Members that hold room, or have finished well. */
  readonly runningCount: number;
  /** Fewest that may run; 0: each on its own. */
  readonly minMember: number;
  readonly pendingSinceMs: number;
  /** A job that waited longer goes ahead of others as far as its queue's fair share reaches. */
  readonly waitMaxMs?: number;
  /** `Never`: nothing is ever evicted for it. */
  readonly preemption: PreemptionPolicy;
  /** How long it runs, as its owner says; lets it use room that is kept for a job that waits. */
  readonly estimateMs?: number;
  /** Whether its members may be evicted once they run; lets it use room that is kept for a job of greater priority. */
  readonly evictable: boolean;
}

/** What holds room on a node of the engine. */
export interface RoundRunning {
  readonly id: string;
  readonly jobId: string;
  readonly queue?: string;
  readonly priority: number;
  /** Exactly the room it holds: released from the engine when it is evicted. */
  readonly placed: Placed;
  /** False: is never evicted (a lock, `movable: false`, a cool-down after an eviction …). */
  readonly evictable: boolean;
  /** Price of an eviction, any unit; of as many victims the cheapest are taken. */
  readonly evictionCost: number;
  /** Key in `budgets`; absent: no budget limits it. */
  readonly budget?: string;
  /** Fewest of its job that may run; evicting one more ends the whole gang. 0 or absent: each stands alone. */
  readonly minMember?: number;
  /** When it ends, as far as is known; `never` for what runs until it is told otherwise; absent: some day. */
  readonly endsAtMs?: number | "never";
}

/** What a round remembers of the one before: which blocked job room is kept for. */
export interface KeptReservation {
  readonly jobId: string;
  readonly sinceMs: number;
  readonly nodes: readonly number[];
}

export interface RoundLimits {
  /** Most members placed in one round. Default: no limit. */
  readonly placementsMax?: number;
  /** Most jobs that victims are looked for. Default PREEMPTION_SEARCHES_MAX. */
  readonly preemptionSearchesMax?: number;
}

/** All that a round decides from. Arrays in any order; the result depends on their content alone. */
export interface RoundInput {
  readonly queues: readonly RoundQueue[];
  readonly jobs: readonly RoundJob[];
  readonly running: readonly RoundRunning[];
  /** Evictions that are still allowed, by budget key; a key that is missing allows none. */
  readonly budgets: ReadonlyMap<string, number>;
  readonly reservation?: KeptReservation;
  readonly nowMs: number;
  readonly limits?: RoundLimits;
}

/**
 * Chooses a node for a member and reserves it through the trial (so that it can be undone), or answers undefined when no node
 * has room or may take it. What it knows of earlier placements must come from `trial`, for some are undone.
 */
export type PlaceMember = (member: RoundMember, trial: Trial) => Placed | undefined;

export interface Placement {
  readonly memberId: string;
  readonly jobId: string;
  readonly placed: Placed;
}

/** `Reclaimed`: by a queue that has less than it deserves. `Preempted`: by a job of greater priority. */
export type EvictionReason = "Reclaimed" | "Preempted";

export interface Eviction {
  /** Id of what is evicted. */
  readonly id: string;
  readonly jobId: string;
  readonly forJobId: string;
  readonly reason: EvictionReason;
  readonly message: string;
}

/** Why a job, or what is left of it, waits. */
export type WaitingReason =
  /** It asks for amounts that nothing can have (NaN, negative, absurd). */
  | "BadRequest"
  /** Its queue does not exist. */
  | "QueueNotFound"
  /** Its queue has queues below it; only those take jobs. */
  | "QueueHasChildren"
  | "QueueClosed"
  /** It would pass the capability of its queue, or of one above. */
  | "OverCapability"
  /** What is free is guaranteed to other queues. */
  | "GuaranteedToOthers"
  /** Fewer members want room than its minimum lacks. */
  | "TooFewMembers"
  /** It asks for more than the whole fleet has, or than any node has. */
  | "LargerThanFleet"
  /** There is not enough room now. */
  | "NoRoom"
  /** Moves make room for it; said by who makes them, never by a round. */
  | "MakingRoom"
  /** There is room, which is kept for a job that waits longer. */
  | "KeptForAnother"
  /** A job ahead of it in a fifo queue waits. */
  | "BehindAnother"
  /** The round ended before its turn. */
  | "RoundFull";

export interface Waiting {
  readonly jobId: string;
  readonly queue: string;
  readonly reason: WaitingReason;
  /** For an operator: what is missing and what would help. */
  readonly message: string;
  /** Members that wait. */
  readonly count: number;
  readonly isOverdue: boolean;
}

/** Room that is kept for one job that waits, the head, so that what comes behind it does not delay it. */
export interface Reservation extends KeptReservation {
  readonly queue: string;
  readonly amounts: Amounts;
  /** When the room will be there, as far as the estimates say; undefined: not known. */
  readonly startsAtMs?: number;
}

/** A queue's part of the fleet after the round. Shares are of the dominant resource, 0 to 1 of the fleet. */
export interface QueueShare {
  readonly queue: string;
  readonly allocated: Amounts;
  /** What it runs and waits for, together. */
  readonly wanted: Amounts;
  readonly deserved: Amounts;
  readonly share: number;
  readonly fairShare: number;
  readonly dominantResource: keyof Amounts;
  readonly pendingJobs: number;
  readonly runningJobs: number;
}

/** What the engine now holds, and what is left to tell. */
export interface RoundResult {
  readonly placements: readonly Placement[];
  readonly evictions: readonly Eviction[];
  readonly waiting: readonly Waiting[];
  readonly reservation?: Reservation;
  readonly shares: readonly QueueShare[];
}
