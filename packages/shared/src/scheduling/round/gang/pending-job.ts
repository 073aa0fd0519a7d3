import { add, shareOf, type Vector, vectorOf, zeros } from "../amounts.ts";
import { compareText } from "../queue/tree.ts";
import type { RoundJob, RoundMember } from "../types.ts";

/**
 * A job on its way through a round: first as many members as its gang lacks, all or none of them, then one at a time, so
 * that queues take turns.
 */
export class PendingJob {
  readonly job: RoundJob;
  readonly queue: number;
  /** It has run with its minimum and fell below it: its missing members go before anything new. */
  readonly isRepair: boolean;
  readonly isOverdue: boolean;
  /** How many members its gang lacks. */
  readonly needed: number;
  readonly #members: readonly RoundMember[];
  #placed = 0;
  #chunk: readonly RoundMember[] = [];
  #amounts: Vector = zeros();

  constructor(
    job: RoundJob,
    place: { readonly queue: number; readonly totals: Vector; readonly nowMs: number },
  ) {
    this.job = job;
    this.queue = place.queue;
    const running = job.runningCount > 0 ? job.runningCount : 0;
    this.needed = job.minMember > running ? Math.ceil(job.minMember - running) : 0;
    this.isRepair = this.needed > 0 && running > 0;
    this.isOverdue = place.nowMs - job.pendingSinceMs > (job.waitMaxMs ?? Number.NaN);
    this.#members = largestFirst(job.members, place.totals);
    this.#take();
  }

  /** What is to be placed next, together. */
  get chunk(): readonly RoundMember[] {
    return this.#chunk;
  }

  /** What the chunk asks for. */
  get amounts(): Vector {
    return this.#amounts;
  }

  /** Members that are not placed. */
  get left(): number {
    return this.#members.length - this.#placed;
  }

  get unplaced(): readonly RoundMember[] {
    return this.#members.slice(this.#placed);
  }

  /** The chunk was placed. */
  advance(): void {
    this.#placed += this.#chunk.length;
    this.#take();
  }

  #take(): void {
    const count = this.#placed === 0 && this.needed > 0 ? this.needed : 1;
    this.#chunk = this.#members.slice(this.#placed, this.#placed + count);
    this.#amounts = zeros();
    for (const { shape } of this.#chunk) add(this.#amounts, vectorOf(shape));
  }
}

/** Repairs, then what waited too long, then the greater priority, then the order key. */
export function compareJobs(a: PendingJob, b: PendingJob): number {
  return (
    Number(b.isRepair) - Number(a.isRepair) ||
    Number(b.isOverdue) - Number(a.isOverdue) ||
    priorityOf(b.job) - priorityOf(a.job) ||
    compareText(a.job.orderKey, b.job.orderKey) ||
    compareText(a.job.id, b.job.id)
  );
}

/** A priority that is no number counts as 0. */
export function priorityOf({ priority }: { readonly priority: number }): number {
  return Number.isFinite(priority) ? priority : 0;
}

/** The largest members first, for they have the fewest places; of equal ones by id. */
function largestFirst(members: readonly RoundMember[], totals: Vector): readonly RoundMember[] {
  if (members.length < 2) return members;
  const sizes = new Map(members.map((m) => [m.shape, shareOf(vectorOf(m.shape), totals)]));
  const sizeOf = (m: RoundMember): number => sizes.get(m.shape) || 0;
  return members.toSorted((a, b) => sizeOf(b) - sizeOf(a) || compareText(a.id, b.id));
}
