import type { Decision } from "@flotilla/shared/scheduling/facts";
import type { WaitingReason } from "@flotilla/shared/scheduling/round/types";

/** What the scheduler has decided about one instance; of one that waits also what its queue says. */
export interface Outcome extends Decision {
  /** Why one that was to stay with another spec has no room for it there. */
  readonly misfit?: string;
  readonly waiting?: {
    readonly reason: WaitingReason;
    readonly message: string;
    /** Whether the job as a whole is in the way, and not a want of room for this one: a queue, a gang. */
    readonly concernsJob: boolean;
  };
}
