import type { Shape } from "../../engine/shape.ts";
import type { Placed } from "../../engine/trial.ts";
import type { Vector } from "../amounts.ts";
import { type PendingJob, priorityOf } from "../gang/pending-job.ts";
import type { Room } from "../gang/room.ts";
import { isFree } from "../nodes.ts";
import { FLEET, type QueueTree } from "../queue/tree.ts";
import type { EvictionReason, RoundMember } from "../types.ts";
import { type Claim, evictionReason } from "./rules.ts";
import { compareUnits, type RunningIndex, type Unit } from "./running-index.ts";
import { victimSets } from "./victim-search.ts";

/** Jobs of one round that victims are looked for; others wait for the next round. */
export const PREEMPTION_SEARCHES_MAX = 100;

/** Victim sets that are tried for one member: the first can fail on a budget, a gang or a rule of placement. */
export const SETS_TRIED_MAX = 8;

/** A unit that was evicted, and why. */
export interface Taken {
  readonly unit: Unit;
  readonly reason: EvictionReason;
}

/** A job's chunk placed at the price of these. */
export interface Preempted {
  readonly placed: readonly Placed[];
  readonly taken: readonly Taken[];
}

interface PreemptorDeps {
  readonly room: Room;
  readonly tree: QueueTree;
  readonly index: RunningIndex;
  readonly deserved: readonly Vector[];
  /** Evictions still allowed by budget key; counted down. */
  readonly budgets: Map<string, number>;
}

/**
 * Makes room by evictions: the whole chunk of a job is placed and its queue may have it, or nothing is changed. What turns out not to
 * be needed in the end runs on.
 */
export class Preemptor {
  readonly #deps: PreemptorDeps;
  #searchesLeft: number;
  /** Claims for which nothing was found since the last success: queue and priority, by shape, with the number of members. */
  readonly #hopeless = new Map<Shape, Map<string, number>>();

  constructor(options: { readonly searchesMax: number }, deps: PreemptorDeps) {
    this.#deps = deps;
    this.#searchesLeft = options.searchesMax;
  }

  /** Places the chunk, allocated to its queue, with evictions carried out; undefined: nothing was changed. */
  place(job: PendingJob): Preempted | undefined {
    if (job.job.preemption === "Never" || this.#searchesLeft <= 0) return undefined;
    if (this.#isHopeless(job)) return undefined;
    this.#searchesLeft--;
    const { room, tree, index } = this.#deps;
    const { mark } = room.trial;
    const taken: Taken[] = [];
    const placed = this.#placeAll(job, taken);
    if (placed === undefined) {
      for (const one of taken.toReversed()) this.#giveBack(one.unit);
      room.trial.undoTo(mark);
      this.#rememberHopeless(job);
      return undefined;
    }
    tree.allocate(job.queue, job.amounts, 1);
    const kept = this.#keepWhatIsNotNeeded(taken);
    this.#hopeless.clear();
    room.forget();
    return { placed, taken: taken.filter(({ unit }) => !kept.has(unit) && !index.isRunning(unit)) };
  }

  #placeAll(job: PendingJob, taken: Taken[]): readonly Placed[] | undefined {
    const { room, tree } = this.#deps;
    const claim = {
      jobId: job.job.id,
      queue: job.queue,
      priority: priorityOf(job.job),
      amounts: job.amounts,
    };
    const refusal = tree.refusal(job.queue, job.amounts);
    // Where its own limit is in the way only what counts against the same limit helps.
    const within = refusal?.reason === "OverCapability" ? refusal.queue : FLEET;
    const placed: Placed[] = [];
    for (const member of job.chunk) {
      const one = room.place(member) ?? this.#placeOne(member, { claim, within, taken });
      if (one === undefined) return undefined;
      placed.push(one);
    }
    return this.#makeAllowed(claim, taken) ? placed : undefined;
  }

  #placeOne(
    member: RoundMember,
    context: { readonly claim: Claim; readonly within: number; readonly taken: Taken[] },
  ): Placed | undefined {
    const { claim, within, taken } = context;
    const { room, index } = this.#deps;
    // The rules say the same of a whole group while nothing changes: 0 not asked yet, 1 yes, 2 no.
    const known = new Uint8Array(index.groupCount);
    const mayGo = (unit: Unit): boolean => {
      if (unit.run.jobId === claim.jobId || !this.#isAtHand(unit, within)) return false;
      if (known[unit.group] === 0) known[unit.group] = this.#mayGo(unit, claim) ? 1 : 2;
      return known[unit.group] === 1;
    };
    const sets = victimSets({ nodes: room.nodes, index }, member.shape, mayGo);
    for (const set of sets.slice(0, SETS_TRIED_MAX)) {
      const before = taken.length;
      const { mark } = room.trial;
      const placed = this.#takeAll(set.units, claim, taken) ? room.place(member) : undefined;
      if (placed !== undefined) return placed;
      for (const one of taken.splice(before).toReversed()) this.#giveBack(one.unit);
      room.trial.undoTo(mark);
    }
    return undefined;
  }

  /** Evicts until the queue may have what it asks for. */
  #makeAllowed(claim: Claim, taken: Taken[]): boolean {
    const { tree, index } = this.#deps;
    for (;;) {
      const refusal = tree.refusal(claim.queue, claim.amounts);
      if (refusal === undefined) return true;
      const helps = (unit: Unit): boolean =>
        (unit.amounts[refusal.resource] ?? 0) > 0 &&
        this.#isAtHand(unit, refusal.queue) &&
        this.#mayGo(unit, claim);
      const next = index.units.find((unit) => index.isRunning(unit) && helps(unit));
      if (next === undefined || !this.#takeAll(index.withGangs([next]), claim, taken)) return false;
    }
  }

  /** What of a unit alone keeps it from being evicted. */
  #isAtHand(unit: Unit, within: number): boolean {
    const { tree, budgets, index } = this.#deps;
    return (
      unit.run.evictable &&
      allows(budgets, unit) &&
      !index.isGrowing(unit) &&
      (within === FLEET || tree.isWithin(unit.queue, within))
    );
  }

  #mayGo(unit: Unit, claim: Claim): boolean {
    return evictionReason(this.#deps, claim, unit) !== undefined;
  }

  /** Takes the units one by one, each judged after the ones before; false: one may not go, and some were taken. */
  #takeAll(units: readonly Unit[], claim: Claim, taken: Taken[]): boolean {
    const { tree, deserved, budgets, index, room } = this.#deps;
    for (const unit of units) {
      const reason = evictionReason({ tree, deserved }, claim, unit);
      if (reason === undefined || !allows(budgets, unit)) return false;
      room.trial.release(unit.run.placed);
      tree.allocate(unit.queue, unit.amounts, -1);
      index.remove(unit);
      countBudget(budgets, unit, -1);
      taken.push({ unit, reason });
    }
    return true;
  }

  /** Undoes all of an eviction but the room, which the trial gives back. */
  #giveBack(unit: Unit): void {
    const { tree, budgets, index } = this.#deps;
    tree.allocate(unit.queue, unit.amounts, 1);
    index.restore(unit);
    countBudget(budgets, unit, 1);
  }

  /** The most valuable first; a gang that was ended whole comes back whole. */
  #keepWhatIsNotNeeded(taken: readonly Taken[]): ReadonlySet<Unit> {
    const { room, tree, index } = this.#deps;
    const kept = new Set<Unit>();
    const units = taken
      .map((t) => t.unit)
      .toSorted(compareUnits)
      .toReversed();
    const done = new Set<Unit>();
    for (const first of units) {
      if (done.has(first)) continue;
      const isBroken = index.surplus(first) < 0;
      const group = isBroken ? units.filter((u) => u.run.jobId === first.run.jobId) : [first];
      for (const unit of group) done.add(unit);
      const { mark } = room.trial;
      const back: Unit[] = [];
      for (const unit of group) {
        if (!isFree(room.nodes, unit.run.placed)) break;
        if (tree.refusal(unit.queue, unit.amounts) !== undefined) break;
        room.trial.reserve(unit.run.placed);
        this.#giveBack(unit);
        back.push(unit);
      }
      if (back.length === group.length) for (const unit of back) kept.add(unit);
      else this.#takeAgain(back, mark);
    }
    return kept;
  }

  #takeAgain(units: readonly Unit[], mark: number): void {
    const { room, tree, budgets, index } = this.#deps;
    for (const unit of units) {
      tree.allocate(unit.queue, unit.amounts, -1);
      index.remove(unit);
      countBudget(budgets, unit, -1);
    }
    room.trial.undoTo(mark);
  }

  #isHopeless(job: PendingJob): boolean {
    const shape = uniformShape(job);
    if (shape === undefined) return false;
    const count = this.#hopeless.get(shape)?.get(hopelessKey(job));
    return count !== undefined && job.chunk.length >= count;
  }

  #rememberHopeless(job: PendingJob): void {
    const shape = uniformShape(job);
    if (shape === undefined) return;
    const known = this.#hopeless.get(shape) ?? new Map<string, number>();
    this.#hopeless.set(shape, known.set(hopelessKey(job), job.chunk.length));
  }
}

function hopelessKey(job: PendingJob): string {
  return `${job.queue} ${priorityOf(job.job)}`;
}

function uniformShape({ chunk }: PendingJob): Shape | undefined {
  const shape = chunk[0]?.shape;
  return chunk.every((m) => m.shape === shape) ? shape : undefined;
}

function allows(budgets: ReadonlyMap<string, number>, { run }: Unit): boolean {
  return run.budget === undefined || (budgets.get(run.budget) ?? 0) >= 1;
}

function countBudget(budgets: Map<string, number>, { run }: Unit, change: 1 | -1): void {
  if (run.budget === undefined) return;
  budgets.set(run.budget, (budgets.get(run.budget) ?? 0) + change);
}
