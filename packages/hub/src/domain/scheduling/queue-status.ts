import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { withCondition } from "@flotilla/shared/model/metadata";
import type { QueueStatus } from "@flotilla/shared/model/resources/queue";
import { quantitiesOf } from "@flotilla/shared/scheduling/round/queue/queue-amounts";
import type { QueueProblem } from "@flotilla/shared/scheduling/round/queue/resolve";
import type { QueueShare, Reservation } from "@flotilla/shared/scheduling/round/types";

/** How one queue stands after a round. */
export interface QueueStanding {
  readonly share: QueueShare | undefined;
  readonly problems: readonly QueueProblem[];
  /** Room that is kept for one of its jobs. */
  readonly reservation?: Reservation & { readonly nodeNames: readonly string[] };
}

/** Digits of a share that a status shows: finer changes are not worth a write. */
const SHARE_DIGITS = 4;

/** The Queue with its status brought up to date. */
export function queueWithStatus(
  queue: ObjectOf<"Queue">,
  { share, problems, reservation }: QueueStanding,
  nowIso: string,
): ObjectOf<"Queue"> {
  const [problem] = problems;
  const conditions = withCondition(
    queue.status?.conditions,
    {
      type: "Consistent",
      status: problem === undefined ? "True" : "False",
      reason: problem?.reason ?? "AsAsked",
      message:
        problems.length === 0
          ? "its limits fit those of the queues around it"
          : problems.map((p) => p.message).join("; "),
      observedGeneration: queue.metadata.generation,
    },
    nowIso,
  );
  const status: QueueStatus = {
    state: stateOf(queue, share),
    ...(share === undefined ? {} : figuresOf(share)),
    ...(reservation === undefined ? {} : { reservation: reservationOf(reservation) }),
    observedGeneration: queue.metadata.generation,
    conditions,
  };
  return { ...queue, status };
}

function stateOf(
  { spec }: ObjectOf<"Queue">,
  share: QueueShare | undefined,
): NonNullable<QueueStatus["state"]> {
  if (spec.state !== "Closed") return "Open";
  return (share?.runningJobs ?? 0) > 0 ? "Closing" : "Closed";
}

function figuresOf(share: QueueShare): QueueStatus {
  return {
    pending: share.pendingJobs,
    running: share.runningJobs,
    allocated: quantitiesOf(share.allocated),
    deserved: quantitiesOf(share.deserved),
    share: Number(share.share.toFixed(SHARE_DIGITS)),
    fairShare: Number(share.fairShare.toFixed(SHARE_DIGITS)),
    dominantResource: share.dominantResource,
  };
}

function reservationOf(
  reservation: NonNullable<QueueStanding["reservation"]>,
): NonNullable<QueueStatus["reservation"]> {
  const { jobId, sinceMs, startsAtMs, nodeNames, amounts } = reservation;
  return {
    job: jobId,
    since: isoTime(sinceMs),
    ...(startsAtMs === undefined ? {} : { startsAt: isoTime(startsAtMs) }),
    nodes: [...nodeNames],
    amounts: quantitiesOf(amounts),
  };
}
