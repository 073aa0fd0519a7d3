import {
  add,
  amountsOf,
  dominantOf,
  RESOURCES,
  shareOf,
  type Vector,
  vectorOf,
  zeros,
} from "./amounts.ts";
import type { Plan } from "./backfill/reservation.ts";
import type { PendingJob } from "./gang/pending-job.ts";
import { amountText, resourceName } from "./intake.ts";
import type { Taken } from "./preempt/preemptor.ts";
import type { RunningIndex } from "./preempt/running-index.ts";
import type { FairShares } from "./queue/fair-share.ts";
import { FLEET, type QueueTree, type Refusal } from "./queue/tree.ts";
import type { Eviction, QueueShare, Reservation, RoundInput, WaitingReason } from "./types.ts";

export function evictionOf({ unit, reason }: Taken, job: PendingJob, tree: QueueTree): Eviction {
  const { id, jobId } = unit.run;
  const queue = JSON.stringify(tree.at(job.queue).name);
  const victim = JSON.stringify(tree.at(unit.queue).name);
  const message =
    reason === "Preempted"
      ? `evicted for ${job.job.id} of priority ${job.job.priority}, its own is ${unit.priority}`
      : `evicted for ${job.job.id}: queue ${queue} has less than it deserves, ${unit.queue === FLEET ? "its own queue is no more" : `queue ${victim} has more`}`;
  return { id, jobId, forJobId: job.job.id, reason, message };
}

interface WaitingContext {
  readonly job: PendingJob;
  readonly refusal: Refusal | undefined;
  readonly tree: QueueTree;
}

/** Says what is missing and what would help. */
export function waitingMessage(reason: WaitingReason, context: WaitingContext): string {
  const { job, refusal, tree } = context;
  const asks = asksFor(job);
  switch (reason) {
    case "OverCapability":
      return refusal === undefined ? asks : overCapability(asks, refusal, tree);
    case "GuaranteedToOthers":
      return `${asks}; the ${resourceName(refusal?.resource ?? 0)} that is left is guaranteed to other queues: raise this queue's guarantee, lower theirs, or add nodes`;
    case "KeptForAnother":
      return `${asks}; there is room, but it is kept for a job that waits longer: name scheduling.estimate if this one ends soon`;
    case "BehindAnother":
      return `a job ahead of it in queue ${JSON.stringify(tree.at(job.queue).name)} waits, and the queue's dequeueStrategy is fifo`;
    case "RoundFull":
      return "its turn comes in the next round";
    case "NoRoom":
      return `${asks}; there is not enough room now that passes the filters`;
    case "BadRequest":
    case "LargerThanFleet":
    case "MakingRoom":
    case "QueueClosed":
    case "QueueHasChildren":
    case "QueueNotFound":
    case "TooFewMembers":
      // Said when the job was turned away.
      return asks;
  }
}

function overCapability(asks: string, { queue, resource }: Refusal, tree: QueueTree): string {
  const { name, capability, allocated } = tree.at(queue);
  const [has, most] = [allocated, capability].map((v) => amountText(resource, v[resource]));
  return `${asks}; queue ${JSON.stringify(name)} has ${has} ${resourceName(resource)} of a capability of ${most}: raise spec.capability, or wait until some of it ends`;
}

function asksFor({ chunk, amounts }: PendingJob): string {
  const parts = [...amounts.entries()].flatMap(([r, amount]) =>
    amount > 0 ? [`${amountText(r, amount)} ${resourceName(r)}`] : [],
  );
  const what = parts.length === 0 ? "nothing" : parts.join(", ");
  return chunk.length > 1
    ? `the gang asks for ${what} for ${chunk.length} members at once`
    : `asks for ${what}`;
}

export function reservationOf(plan: Plan, tree: QueueTree, input: RoundInput): Reservation {
  const { id } = plan.job.job;
  const before = input.reservation?.jobId === id ? input.reservation.sinceMs : undefined;
  const held = zeros();
  for (const { shape } of plan.holds) add(held, vectorOf(shape));
  return {
    jobId: id,
    queue: tree.at(plan.job.queue).name,
    sinceMs: before ?? input.nowMs,
    nodes: plan.nodes,
    amounts: amountsOf(held),
    ...(Number.isFinite(plan.startsAtMs) ? { startsAtMs: plan.startsAtMs } : {}),
  };
}

/** Every queue's part, parents with what is below them. */
export function sharesOf(context: {
  readonly tree: QueueTree;
  readonly shares: FairShares;
  readonly jobs: readonly PendingJob[];
  readonly index: RunningIndex;
  readonly input: RoundInput;
}): readonly QueueShare[] {
  const { tree, shares, jobs, index } = context;
  const wanted = tree.nodes.map((node) => node.allocated.slice());
  const pending = new Int32Array(tree.nodes.length);
  const running = tree.nodes.map(() => new Set<string>());
  for (const job of jobs) {
    const left = leftOf(job);
    for (const { index: queue } of tree.path(job.queue)) {
      add(wanted[queue] ?? zeros(), left);
      if (job.left > 0) pending[queue] = (pending[queue] ?? 0) + 1;
      if (job.left < job.job.members.length) running[queue]?.add(job.job.id);
    }
  }
  for (const unit of index.units)
    if (index.isRunning(unit))
      for (const { index: queue } of tree.path(unit.queue)) running[queue]?.add(unit.run.jobId);
  return tree.nodes.flatMap((node) =>
    node.index === FLEET
      ? []
      : [
          {
            queue: node.name,
            allocated: amountsOf(node.allocated),
            wanted: amountsOf(wanted[node.index] ?? zeros()),
            deserved: amountsOf((shares.deserved[node.index] ?? zeros()).map((a) => a || 0)),
            share: shareOf(node.allocated, tree.totals),
            fairShare: shares.fairShare[node.index] ?? 0,
            dominantResource: RESOURCES[dominantOf(node.allocated, tree.totals)] ?? "milliCpu",
            pendingJobs: pending[node.index] ?? 0,
            runningJobs: running[node.index]?.size ?? 0,
          },
        ],
  );
}

function leftOf(job: PendingJob): Vector {
  const left = zeros();
  for (const { shape } of job.unplaced) add(left, vectorOf(shape));
  return left;
}
