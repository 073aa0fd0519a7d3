import { RESOURCES, shareOf, type Vector } from "../amounts.ts";
import type { PendingJob } from "../gang/pending-job.ts";
import { compareJobs } from "../gang/pending-job.ts";
import type { FairShares } from "./fair-share.ts";
import type { QueueNode, QueueTree } from "./tree.ts";

/** Shares that differ by less are equal: sums of floating point. */
const SHARE_NOISE = 1e-9;

/** Whose turn it is, from the one that has the best right to room. */
export const TURN = {
  /** Still within what is guaranteed to it or to a queue above. */
  Guaranteed: 0,
  /** Its first job waited too long, and it stays within its fair share. */
  Overdue: 1,
  /** Stays within its fair share. */
  Fair: 2,
  /** Is below its fair share, passes it with this job. */
  LastOfShare: 3,
  /** Has its fair share: takes what nobody else can use. */
  Beyond: 4,
} as const;

/** A leaf queue with its jobs in order. */
export class QueueTurn {
  readonly queue: QueueNode;
  readonly #jobs: readonly PendingJob[];
  readonly #tree: QueueTree;
  readonly #fairShare: number;
  #next = 0;
  turn: number = TURN.Beyond;
  /** Smaller goes first among queues of one turn. */
  rank = 0;

  constructor(
    queue: QueueNode,
    jobs: readonly PendingJob[],
    deps: { readonly tree: QueueTree; readonly fairShare: number },
  ) {
    this.queue = queue;
    this.#jobs = jobs.toSorted(compareJobs);
    this.#tree = deps.tree;
    this.#fairShare = deps.fairShare;
    this.update();
  }

  /** The job whose turn it is; undefined when none is left. */
  get current(): PendingJob | undefined {
    return this.#jobs[this.#next];
  }

  /** Goes on to the next job. */
  skip(): void {
    this.#next++;
  }

  /** Ends the queue's part in the round; answers the jobs that had no turn. */
  end(): readonly PendingJob[] {
    const rest = this.#jobs.slice(this.#next);
    this.#next = this.#jobs.length;
    return rest;
  }

  /** To be called when its job or what it has changed. */
  update(): void {
    const job = this.current;
    if (job === undefined) return;
    const { allocated, priority } = this.queue;
    const share = shareOf(allocated, this.#tree.totals);
    const after = shareOf(
      allocated.map((amount, r) => amount + (job.amounts[r] ?? 0)),
      this.#tree.totals,
    );
    const isFair = after <= this.#fairShare + SHARE_NOISE;
    this.rank = share / this.#fairShare;
    if (this.#isGuaranteed(job.amounts)) this.turn = TURN.Guaranteed;
    else if (isFair) this.turn = job.isOverdue ? TURN.Overdue : TURN.Fair;
    else {
      const isBelow = share < this.#fairShare - SHARE_NOISE;
      this.turn = isBelow ? TURN.LastOfShare : TURN.Beyond;
      this.rank = isBelow ? share - this.#fairShare : -priority;
    }
  }

  #isGuaranteed(amounts: Vector): boolean {
    for (const { guarantee, allocated } of this.#tree.path(this.queue.index)) {
      const asks = RESOURCES.flatMap((_, r) =>
        (amounts[r] ?? 0) > 0 && (guarantee[r] ?? 0) > 0 ? [r] : [],
      );
      const isWithin = (r: number): boolean =>
        (allocated[r] ?? 0) + (amounts[r] ?? 0) <= (guarantee[r] ?? 0);
      if (asks.length > 0 && asks.every(isWithin)) return true;
    }
    return false;
  }
}

/** The queues' turns, from the jobs of each leaf. */
export function turnsOf(
  tree: QueueTree,
  shares: FairShares,
  jobs: readonly PendingJob[],
): QueueTurn[] {
  const byQueue = Map.groupBy(jobs, (job) => job.queue);
  return tree.nodes.flatMap((node) => {
    const own = byQueue.get(node.index);
    const fairShare = shares.fairShare[node.index] ?? 0;
    return own === undefined ? [] : [new QueueTurn(node, own, { tree, fairShare })];
  });
}

/** Whose turn it is; undefined when no queue has a job left. Of equal ones the greater priority, then the first by name. */
export function nextTurn(turns: readonly QueueTurn[]): QueueTurn | undefined {
  let best: QueueTurn | undefined;
  for (const turn of turns) {
    if (turn.current === undefined) continue;
    if (best === undefined || goesBefore(turn, best)) best = turn;
  }
  return best;
}

function goesBefore(a: QueueTurn, b: QueueTurn): boolean {
  if (a.turn !== b.turn) return a.turn < b.turn;
  if (a.rank !== b.rank) return a.rank < b.rank;
  return a.queue.priority > b.queue.priority;
}
