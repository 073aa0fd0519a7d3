import { Engine } from "../scheduling/engine/engine.ts";
import type { NodeScore } from "../scheduling/engine/node-score.ts";
import { NO_FIT } from "../scheduling/engine/node-score.ts";
import { type NodeRow, NodeTable } from "../scheduling/engine/node-table.ts";
import type { Shape } from "../scheduling/engine/shape.ts";
import { runRound } from "../scheduling/round/round.ts";
import type {
  KeptReservation,
  RoundInput,
  RoundJob,
  RoundQueue,
  RoundResult,
  RoundRunning,
} from "../scheduling/round/types.ts";

/** Pieces of rounds for tests, and a fleet that lives from round to round. */

/** A test's round starts at this time. */
export const NOW_MS = 1_000_000;

export const row = (over: Partial<NodeRow> = {}): NodeRow => ({
  milliCpu: 8_000,
  memoryBytes: 1_000,
  diskBytes: 1_000,
  gpuCount: 0,
  ...over,
});

export const shape = (over: Partial<Shape> = {}): Shape => ({
  milliCpu: 1_000,
  memoryBytes: 0,
  diskBytes: 0,
  gpuCount: 0,
  gpuMilli: 0,
  ...over,
});

export const CORE: Shape = shape();

export const queue = (name: string, over: Partial<RoundQueue> = {}): RoundQueue => ({
  name,
  weight: 1,
  priority: 0,
  open: true,
  reclaimable: true,
  dequeueStrategy: "traverse",
  ...over,
});

type JobOver = Partial<RoundJob> & { readonly shape?: Shape; readonly count?: number };

/** A job of `count` members of one shape. */
export const job = (
  id: string,
  { shape: of = CORE, count = 1, ...over }: JobOver = {},
): RoundJob => ({
  id,
  priority: 0,
  orderKey: id,
  members: Array.from({ length: count }, (_, i) => ({ id: `${id}/${i}`, shape: of })),
  runningCount: 0,
  minMember: 0,
  pendingSinceMs: NOW_MS,
  preemption: "LowerPriority",
  evictable: true,
  ...over,
});

/** Gives devices from the first on, nodes in the order of their index: what tests can follow. */
class FirstFit implements NodeScore {
  readonly #nodes: NodeTable;
  constructor(nodes: NodeTable) {
    this.#nodes = nodes;
  }
  evaluate(of: Shape, node: number): number {
    return this.#nodes.fits(of, node) ? 0 : NO_FIT;
  }
  chooseDevices(of: Shape, node: number, devices: Int16Array): void {
    const first = this.#nodes.gpuFirst[node] ?? 0;
    let found = 0;
    for (let g = first; g < (this.#nodes.gpuFirst[node + 1] ?? 0) && found < of.gpuCount; g++)
      if ((this.#nodes.gpuFree[g] ?? 0) >= of.gpuMilli) devices[found++] = g - first;
  }
  nodeChanged(): void {}
}

/** A fleet whose jobs go on from round to round: what is placed runs, what is evicted wants room again. */
export class TestFleet {
  readonly nodes: NodeTable;
  readonly engine: Engine;
  readonly #jobs = new Map<string, RoundJob>();
  readonly #where = new Map<string, RoundRunning>();
  queues: readonly RoundQueue[];
  budgets: ReadonlyMap<string, number> = new Map();
  nowMs: number = NOW_MS;
  reservation: KeptReservation | undefined;

  constructor(rows: readonly NodeRow[], queues: readonly RoundQueue[] = []) {
    this.nodes = new NodeTable(rows);
    this.engine = new Engine({}, { nodes: this.nodes, score: new FirstFit(this.nodes) });
    this.queues = queues;
  }

  add(...jobs: readonly RoundJob[]): this {
    for (const one of jobs) this.#jobs.set(one.id, one);
    return this;
  }

  /** The job is over: its room is free. */
  end(jobId: string): void {
    this.#jobs.delete(jobId);
    for (const run of this.running) {
      if (run.jobId !== jobId) continue;
      this.#where.delete(run.id);
      const { shape: of, node, devices } = run.placed;
      this.engine.release(of, node, devices);
    }
  }

  get running(): readonly RoundRunning[] {
    return [...this.#where.values()];
  }

  /** Changes what is said of running members: whether they may be evicted, at what price … */
  amend(jobId: string, over: Partial<RoundRunning>): void {
    for (const run of this.running)
      if (run.jobId === jobId) this.#where.set(run.id, { ...run, ...over });
  }

  /** Ids of what runs of a job. */
  runningOf(jobId: string): readonly string[] {
    return this.running.flatMap((run) => (run.jobId === jobId ? [run.id] : []));
  }

  input(): RoundInput {
    return {
      queues: this.queues,
      jobs: [...this.#jobs.values()].map((one) => ({
        ...one,
        members: one.members.filter((m) => !this.#where.has(m.id)),
        runningCount: one.members.filter((m) => this.#where.has(m.id)).length,
      })),
      running: this.running,
      budgets: this.budgets,
      nowMs: this.nowMs,
      ...(this.reservation === undefined ? {} : { reservation: this.reservation }),
    };
  }

  round(over: Partial<RoundInput> = {}): RoundResult {
    const result = runRound({ ...this.input(), ...over }, this);
    for (const { id } of result.evictions) this.#where.delete(id);
    for (const { memberId, jobId, placed } of result.placements) {
      const of = this.#jobs.get(jobId);
      if (of === undefined) throw new Error(`no job ${jobId}`);
      this.#where.set(memberId, {
        id: memberId,
        jobId,
        ...(of.queue === undefined ? {} : { queue: of.queue }),
        priority: of.priority,
        placed,
        evictable: of.evictable,
        evictionCost: 1,
        minMember: of.minMember,
        ...(of.estimateMs === undefined ? {} : { endsAtMs: this.nowMs + of.estimateMs }),
      });
    }
    this.reservation = result.reservation;
    return result;
  }
}
