import type { Engine } from "../engine/engine.ts";
import type { NodeTable } from "../engine/node-table.ts";
import type { Placed } from "../engine/trial.ts";
import { hold, type Plan, planStart } from "./backfill/reservation.ts";
import { type PendingJob, priorityOf } from "./gang/pending-job.ts";
import { Room } from "./gang/room.ts";
import { type TurnedAway, takeIn, wantedOf } from "./intake.ts";
import { Possible } from "./nodes.ts";
import { PREEMPTION_SEARCHES_MAX, Preemptor, type Taken } from "./preempt/preemptor.ts";
import { RunningIndex } from "./preempt/running-index.ts";
import { type FairShares, fairShares } from "./queue/fair-share.ts";
import { QueueTree, type Refusal } from "./queue/tree.ts";
import { nextTurn, type QueueTurn, TURN, turnsOf } from "./queue/turns.ts";
import { evictionOf, reservationOf, sharesOf, waitingMessage } from "./report.ts";
import type {
  Eviction,
  PlaceMember,
  Placement,
  RoundInput,
  RoundResult,
  Waiting,
  WaitingReason,
} from "./types.ts";

/** Blocked jobs of one round that a start is looked for, until one is found that room can be kept for. */
export const HEADS_TRIED_MAX = 8;

export interface RoundDeps {
  readonly engine: Engine;
  /** The table that the engine decides on. Everything in `running` is reserved there. */
  readonly nodes: NodeTable;
  /** Default: the engine's own choice. */
  readonly place?: PlaceMember;
}

/**
 * Decides one batch: which pending members get a place, what is evicted for them, what waits and why. Queues take turns by
 * dominant-resource fairness; jobs of a queue go by repair, deadline, priority and age; a gang is placed whole or not at
 * all. Afterwards the engine holds the placements, and not the evicted; else it is as it was. The same input gives
 * the same result; nothing but the input and the engine is looked at.
 */
export function runRound(input: RoundInput, deps: RoundDeps): RoundResult {
  return new Round(input, deps).run();
}

class Round {
  readonly #input: RoundInput;
  readonly #room: Room;
  readonly #tree: QueueTree;
  readonly #index: RunningIndex;
  readonly #jobs: readonly PendingJob[];
  readonly #turnedAway: readonly TurnedAway[];
  readonly #shares: FairShares;
  readonly #turns: QueueTurn[];
  readonly #preemptor: Preemptor;
  readonly #placements: Placement[] = [];
  readonly #evictions: Eviction[] = [];
  readonly #waiting = new Map<PendingJob, Pick<Waiting, "reason" | "message">>();
  /** Jobs of which something was evicted. */
  readonly #losers = new Set<string>();
  #plan: Plan | undefined;
  #held: readonly Placed[] = [];
  #headsTried = 0;

  constructor(input: RoundInput, deps: RoundDeps) {
    const possible = new Possible(deps.nodes, input.running);
    this.#input = input;
    this.#room = new Room(deps);
    this.#tree = new QueueTree(input.queues, possible.totals);
    this.#index = new RunningIndex(input.running, this.#tree);
    for (const { queue, amounts } of this.#index.units) this.#tree.allocate(queue, amounts, 1);
    const { jobs, turnedAway } = takeIn(input, { tree: this.#tree, possible });
    this.#jobs = jobs;
    this.#turnedAway = turnedAway;
    this.#shares = fairShares(this.#tree, wantedOf(this.#tree, this.#index, jobs));
    this.#turns = turnsOf(this.#tree, this.#shares, jobs);
    this.#preemptor = new Preemptor(
      { searchesMax: input.limits?.preemptionSearchesMax ?? PREEMPTION_SEARCHES_MAX },
      {
        room: this.#room,
        tree: this.#tree,
        index: this.#index,
        deserved: this.#shares.deserved,
        budgets: new Map(input.budgets),
      },
    );
  }

  run(): RoundResult {
    for (let turn = nextTurn(this.#turns); turn !== undefined; turn = nextTurn(this.#turns))
      if (this.#isFull()) for (const job of turn.end()) this.#wait(job, "RoundFull");
      else this.#serve(turn);
    if (this.#plan !== undefined) this.#backfill(this.#plan);
    return {
      placements: this.#placements,
      evictions: this.#evictions,
      waiting: this.#allWaiting(),
      ...(this.#plan === undefined
        ? {}
        : { reservation: reservationOf(this.#plan, this.#tree, this.#input) }),
      shares: sharesOf({
        tree: this.#tree,
        shares: this.#shares,
        jobs: this.#jobs,
        index: this.#index,
        input: this.#input,
      }),
    };
  }

  /** Goes through the queue's jobs until a chunk of one is placed: what waits changes no share. */
  #serve(turn: QueueTurn): void {
    for (let job = turn.current; job !== undefined; job = turn.current) {
      if (this.#lostMembers(job)) {
        // How many it lacks is another number now.
        this.#wait(job, "RoundFull");
        turn.skip();
        turn.update();
        continue;
      }
      const refusal = this.#place(job);
      if (refusal === "placed") {
        if (job.left === 0) turn.skip();
        break;
      }
      this.#wait(job, refusal?.reason ?? "NoRoom", refusal);
      if (refusal === undefined) this.#keepRoomFor(job, turn);
      turn.skip();
      if (!turn.queue.fifo) {
        turn.update();
        continue;
      }
      for (const behind of turn.end()) this.#wait(behind, "BehindAnother");
    }
    turn.update();
  }

  /** Places the job's chunk, with evictions where that is allowed; else why it may not, undefined for want of room. */
  #place(job: PendingJob): "placed" | Refusal | undefined {
    const refusal = this.#tree.refusal(job.queue, job.amounts);
    if (refusal === undefined && this.#placeFree(job)) return "placed";
    const preempted = this.#preemptor.place(job);
    if (preempted === undefined) return refusal;
    this.#record(job, preempted.placed, preempted.taken);
    return "placed";
  }

  /** Places the chunk on what is free. */
  #placeFree(job: PendingJob): boolean {
    const placed = this.#room.placeAll(job.chunk);
    if (placed === undefined) return false;
    this.#tree.allocate(job.queue, job.amounts, 1);
    this.#record(job, placed, []);
    return true;
  }

  #record(job: PendingJob, placed: readonly Placed[], taken: readonly Taken[]): void {
    for (const [i, member] of job.chunk.entries()) {
      const where = placed[i];
      if (where !== undefined)
        this.#placements.push({ memberId: member.id, jobId: job.job.id, placed: where });
    }
    this.#index.grew(job.job.id);
    for (const one of taken) {
      this.#evictions.push(evictionOf(one, job, this.#tree));
      this.#losers.add(one.unit.run.jobId);
    }
    job.advance();
  }

  #wait(job: PendingJob, reason: WaitingReason, refusal?: Refusal): void {
    const message = waitingMessage(reason, { job, refusal, tree: this.#tree });
    this.#waiting.set(job, { reason, message });
  }

  /** The first blocked job that has a right to room, and that gets some when what runs ends, becomes the head. */
  #keepRoomFor(job: PendingJob, turn: QueueTurn): void {
    const hasRight = turn.turn < TURN.Beyond || job.isOverdue;
    if (this.#plan !== undefined || !hasRight || this.#headsTried >= HEADS_TRIED_MAX) return;
    this.#headsTried++;
    const { reservation, nowMs } = this.#input;
    const keptNodes = new Set(reservation?.jobId === job.job.id ? reservation.nodes : []);
    const { nodes } = this.#room;
    this.#plan = planStart({ nodes, index: this.#index, keptNodes, nowMs }, job);
    if (this.#plan !== undefined) this.#held = hold(nodes, this.#room.trial, this.#plan);
  }

  /** Shows the room of the head again, to jobs that do not delay it: they end before it starts, or yield to it. */
  #backfill(plan: Plan): void {
    for (const room of this.#held) this.#room.trial.release(room);
    this.#room.forget();
    for (const [job, { reason }] of this.#waiting) {
      if (reason !== "NoRoom" || job === plan.job) continue;
      if (this.#mayUseRoomOf(plan, job)) while (!this.#isFull() && this.#placeBehind(job));
      if (job.left === 0) this.#waiting.delete(job);
      else if (job.chunk.every(({ shape }) => this.#room.hasRoom(shape)))
        this.#wait(job, "KeptForAnother");
    }
  }

  #lostMembers({ job }: PendingJob): boolean {
    return job.minMember > 0 && this.#losers.has(job.id);
  }

  #placeBehind(job: PendingJob): boolean {
    if (
      job.left === 0 ||
      this.#lostMembers(job) ||
      this.#tree.refusal(job.queue, job.amounts) !== undefined
    )
      return false;
    return this.#placeFree(job);
  }

  #mayUseRoomOf(plan: Plan, { job, queue }: PendingJob): boolean {
    const head = plan.job;
    const endsInTime =
      Number.isFinite(plan.startsAtMs) &&
      (job.estimateMs ?? Number.NaN) >= 0 &&
      this.#input.nowMs + (job.estimateMs ?? Number.NaN) <= plan.startsAtMs;
    const yields =
      job.evictable &&
      queue === head.queue &&
      head.job.preemption === "LowerPriority" &&
      priorityOf(job) < priorityOf(head.job);
    return endsInTime || yields;
  }

  #isFull(): boolean {
    const max = this.#input.limits?.placementsMax ?? Number.POSITIVE_INFINITY;
    return this.#placements.length >= max;
  }

  #allWaiting(): readonly Waiting[] {
    const pending = [...this.#waiting].map(([job, why]) => ({
      jobId: job.job.id,
      queue: this.#tree.at(job.queue).name,
      ...why,
      count: job.left,
      isOverdue: job.isOverdue,
    }));
    const away = this.#turnedAway.map(({ job, reason, message, count }) => ({
      jobId: job.id,
      queue: job.queue ?? "default",
      reason,
      message,
      count,
      isOverdue: this.#input.nowMs - job.pendingSinceMs > (job.waitMaxMs ?? Number.NaN),
    }));
    return [...away, ...pending];
  }
}
