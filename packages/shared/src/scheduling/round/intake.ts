import { isSoundShape } from "../engine/shape.ts";
import { add, RESOURCES, type Vector, vectorOf, zeros } from "./amounts.ts";
import { PendingJob } from "./gang/pending-job.ts";
import type { Possible } from "./nodes.ts";
import type { RunningIndex } from "./preempt/running-index.ts";
import { QUEUE_RESOURCES } from "./queue/queue-amounts.ts";
import type { QueueTree } from "./queue/tree.ts";
import type { RoundInput, RoundJob, RoundMember, WaitingReason } from "./types.ts";

/** A job, or a part of it, that cannot have a turn in this round whatever room there is. */
export interface TurnedAway {
  readonly job: RoundJob;
  readonly reason: WaitingReason;
  readonly message: string;
  readonly count: number;
}

/** Sorts out which jobs have a turn. */
export function takeIn(
  input: RoundInput,
  deps: { readonly tree: QueueTree; readonly possible: Possible },
): { readonly jobs: readonly PendingJob[]; readonly turnedAway: readonly TurnedAway[] } {
  const jobs: PendingJob[] = [];
  const turnedAway: TurnedAway[] = [];
  const refuse = (job: RoundJob, refusal: Refusal, count = job.members.length): void => {
    turnedAway.push({ job, ...refusal, count });
  };
  for (const job of input.jobs) {
    if (job.members.length === 0) continue;
    const members = job.members.filter(({ shape }) => deps.possible.fits(shape));
    const pending = pendingJob(input, job, { ...deps, members });
    const refusal = refusalOf(job, pending, { ...deps, members });
    if (refusal !== undefined) refuse(job, refusal);
    else if (pending !== undefined) {
      jobs.push(pending);
      const left = job.members.length - members.length;
      if (left > 0) refuse(job, TOO_LARGE, left);
    }
  }
  return { jobs, turnedAway };
}

type Refusal = Pick<TurnedAway, "reason" | "message">;

const TOO_LARGE: Refusal = {
  reason: "LargerThanFleet",
  message:
    "no node could hold it even when empty: ask for less, or add a node that is large enough and passes the filters",
};

interface Deps {
  readonly tree: QueueTree;
  readonly possible: Possible;
  readonly members: readonly RoundMember[];
}

function pendingJob(input: RoundInput, job: RoundJob, deps: Deps): PendingJob | undefined {
  const queue = deps.tree.find(job.queue);
  if (queue === undefined) return undefined;
  const { totals } = deps.possible;
  return new PendingJob(
    { ...job, members: deps.members },
    { queue: queue.index, totals, nowMs: input.nowMs },
  );
}

function refusalOf(
  job: RoundJob,
  pending: PendingJob | undefined,
  deps: Deps,
): Refusal | undefined {
  const queue = deps.tree.find(job.queue);
  if (queue === undefined || pending === undefined)
    return {
      reason: "QueueNotFound",
      message: `there is no queue ${JSON.stringify(job.queue)}: create it, or name another in volcano.queue`,
    };
  if (queue.children.length > 0)
    return {
      reason: "QueueHasChildren",
      message: `queue ${JSON.stringify(queue.name)} has queues below it and takes no jobs: name one of ${childNames(deps.tree, queue.children)}`,
    };
  if (!queue.open && !pending.isRepair)
    return {
      reason: "QueueClosed",
      message: `queue ${JSON.stringify(queue.name)} is closed: open it, or name another in volcano.queue`,
    };
  if (!job.members.every(({ shape }) => isSoundShape(shape)))
    return { reason: "BadRequest", message: "it asks for amounts that are no amounts" };
  return sizeRefusal(job, pending, deps);
}

function sizeRefusal(job: RoundJob, pending: PendingJob, deps: Deps): Refusal | undefined {
  const { needed } = pending;
  if (job.members.length < needed)
    return {
      reason: "TooFewMembers",
      message: `its gang lacks ${needed} members to run, and only ${job.members.length} want a place: lower minMember, or raise replicas or parallelism`,
    };
  if (deps.members.length < Math.max(1, needed)) return TOO_LARGE;
  const over = pending.amounts.findIndex((amount, r) => amount > (deps.possible.totals[r] ?? 0));
  if (over < 0) return undefined;
  return {
    reason: "LargerThanFleet",
    message: `its gang of ${needed} asks for more ${resourceName(over)} than the whole fleet has (${amountText(over, pending.amounts[over])} of ${amountText(over, deps.possible.totals[over])})`,
  };
}

function childNames(tree: QueueTree, children: readonly number[]): string {
  return children.map((child) => JSON.stringify(tree.at(child).name)).join(", ");
}

/** What each queue runs and wants, by its index. */
export function wantedOf(
  tree: QueueTree,
  index: RunningIndex,
  jobs: readonly PendingJob[],
): readonly Vector[] {
  const wanted = tree.nodes.map(zeros);
  for (const { queue, amounts } of index.units) add(wanted[queue] ?? zeros(), amounts);
  for (const { queue, job } of jobs)
    for (const { shape } of job.members) add(wanted[queue] ?? zeros(), vectorOf(shape));
  return wanted;
}

/** The resource by the name that requests use. */
export function resourceName(resource: number): string {
  return QUEUE_RESOURCES[resource] ?? "";
}

/** An amount in the unit that requests use: cores, MiB, GPUs. */
export function amountText(resource: number, amount = 0): string {
  const name = RESOURCES[resource];
  if (name === "memoryBytes" || name === "diskBytes") return `${Math.round(amount / 2 ** 20)}Mi`;
  return String(amount / 1_000);
}
