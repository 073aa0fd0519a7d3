import type { SlotPhase } from "./slot-record.ts";

/** What can happen to the slots of an instance. */
export type SlotEventKind =
  /** The next set begins to be made in the other slot. */
  | "begin"
  /** It lies there whole. */
  | "made"
  /** Nobody wants it any more. */
  | "drop"
  /** `current` is about to be led elsewhere. */
  | "intend"
  /** `current` leads there. */
  | "switched"
  /** An agent died before it led `current` elsewhere. */
  | "unswitched"
  /** The instance was ready for the health window. */
  | "proved"
  /** It was not, it ended too often, or it refused to reload. */
  | "failed"
  /** While it is tried the last good set is wanted again. */
  | "withdrawn"
  /** What lies in a slot is not what was made there. */
  | "lost"
  /** A new agent, or a new boot, goes on with what it finds. */
  | "resumed"
  /** The workload knows of the switch under it. */
  | "told"
  /** The current set runs well with another spec. */
  | "respecified"
  /** An operator wants what failed tried again. */
  | "retry";

/** What follows; slot-transitions.ts has one function for each. */
export type SlotReaction =
  | "nothing"
  | "impossible"
  /** The other slot is empty from now on, until it is made. */
  | "prepare"
  | "keep"
  /** Back to how the current set stands. */
  | "rest"
  | "intend"
  /** The next set is current and on trial. */
  | "try"
  | "untry"
  | "commit"
  /** Goes back to the last good set; without one it is tried on. */
  | "fail"
  /** Goes back to the last good set, and nothing has failed. */
  | "abandon"
  /** The last good set is current again. */
  | "return"
  | "lose"
  /** The trial's time counts again. */
  | "resume"
  | "tell"
  | "respecify"
  | "forgive";

/** The whole life of an instance's slots: phase × event → reaction. The compiler asks for every cell. */
export const SLOT_LIFECYCLE: Readonly<
  Record<SlotPhase, Readonly<Record<SlotEventKind, SlotReaction>>>
> = {
  absent: {
    begin: "prepare",
    made: "impossible",
    drop: "nothing",
    intend: "impossible",
    switched: "impossible",
    unswitched: "nothing",
    proved: "nothing",
    failed: "nothing",
    withdrawn: "nothing",
    lost: "lose",
    resumed: "nothing",
    told: "tell",
    respecified: "nothing",
    retry: "forgive",
  },
  preparing: {
    begin: "prepare",
    made: "keep",
    drop: "rest",
    intend: "impossible",
    switched: "impossible",
    unswitched: "nothing",
    proved: "commit",
    failed: "fail",
    withdrawn: "nothing",
    lost: "lose",
    resumed: "resume",
    told: "tell",
    respecified: "respecify",
    retry: "forgive",
  },
  prepared: {
    begin: "prepare",
    made: "impossible",
    drop: "rest",
    intend: "intend",
    switched: "impossible",
    unswitched: "nothing",
    proved: "commit",
    failed: "fail",
    withdrawn: "nothing",
    lost: "lose",
    resumed: "resume",
    told: "tell",
    respecified: "respecify",
    retry: "forgive",
  },
  switching: {
    begin: "nothing",
    made: "impossible",
    drop: "nothing",
    intend: "intend",
    switched: "try",
    unswitched: "untry",
    proved: "nothing",
    failed: "nothing",
    withdrawn: "nothing",
    lost: "lose",
    resumed: "nothing",
    told: "tell",
    respecified: "nothing",
    retry: "forgive",
  },
  trial: {
    begin: "prepare",
    made: "impossible",
    drop: "nothing",
    intend: "impossible",
    switched: "impossible",
    unswitched: "nothing",
    proved: "commit",
    failed: "fail",
    withdrawn: "abandon",
    lost: "lose",
    resumed: "resume",
    told: "tell",
    respecified: "nothing",
    retry: "forgive",
  },
  committed: {
    begin: "prepare",
    made: "impossible",
    drop: "nothing",
    intend: "impossible",
    switched: "impossible",
    unswitched: "nothing",
    proved: "nothing",
    failed: "nothing",
    withdrawn: "nothing",
    lost: "lose",
    resumed: "nothing",
    told: "tell",
    respecified: "respecify",
    retry: "forgive",
  },
  "rolling-back": {
    begin: "nothing",
    made: "impossible",
    drop: "nothing",
    intend: "nothing",
    switched: "return",
    unswitched: "nothing",
    proved: "nothing",
    failed: "nothing",
    withdrawn: "nothing",
    lost: "lose",
    resumed: "nothing",
    told: "tell",
    respecified: "nothing",
    retry: "forgive",
  },
};
