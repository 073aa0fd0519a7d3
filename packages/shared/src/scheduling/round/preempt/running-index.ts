import type { Shape } from "../../engine/shape.ts";
import { type Vector, vectorOf } from "../amounts.ts";
import { priorityOf } from "../gang/pending-job.ts";
import { compareText, FLEET, type QueueTree } from "../queue/tree.ts";
import type { RoundRunning } from "../types.ts";

/** What runs, with its queue; FLEET for one whose queue is no more: what it has, it borrowed. */
export interface Unit {
  readonly run: RoundRunning;
  readonly queue: number;
  readonly priority: number;
  /** Price of its eviction; greatest of all for one that is no number. */
  readonly cost: number;
  readonly amounts: Vector;
  /** The same number for units of one queue, priority and shape: the rules judge them alike. */
  readonly group: number;
}

/** What runs, by node and by job, less what was evicted. */
export class RunningIndex {
  readonly units: readonly Unit[];
  readonly groupCount: number;
  readonly #byNode = new Map<number, Unit[]>();
  readonly #byJob = new Map<string, Set<Unit>>();
  readonly #nodes: readonly number[];
  readonly #gone = new Set<Unit>();
  /** Gangs that grew in this round. */
  readonly #grown = new Set<string>();

  constructor(running: readonly RoundRunning[], tree: QueueTree) {
    const groups = new Map<string, number>();
    const shapes = new Map<Shape, number>();
    this.units = running
      .map((run) => {
        const { shape } = run.placed;
        shapes.set(shape, shapes.get(shape) ?? shapes.size);
        const queue = tree.find(run.queue)?.index ?? FLEET;
        const key = `${queue} ${priorityOf(run)} ${shapes.get(shape)}`;
        groups.set(key, groups.get(key) ?? groups.size);
        return unitOf(run, queue, groups.get(key) ?? 0);
      })
      .toSorted(compareUnits);
    this.groupCount = groups.size;
    for (const unit of this.units) {
      const { node } = unit.run.placed;
      const onNode = this.#byNode.get(node);
      if (onNode === undefined) this.#byNode.set(node, [unit]);
      else onNode.push(unit);
      const ofJob = this.#byJob.get(unit.run.jobId);
      if (ofJob === undefined) this.#byJob.set(unit.run.jobId, new Set([unit]));
      else ofJob.add(unit);
    }
    this.#nodes = [...this.#byNode.keys()].toSorted((a, b) => a - b);
  }

  /** Nodes on which something ran when the round began, ascending. */
  get nodes(): readonly number[] {
    return this.#nodes;
  }

  /** Units on a node, the cheapest to evict first. */
  on(node: number): readonly Unit[] {
    const units = this.#byNode.get(node) ?? [];
    return this.#gone.size === 0 ? units : units.filter((unit) => this.isRunning(unit));
  }

  isRunning(unit: Unit): boolean {
    return !this.#gone.has(unit);
  }

  /** Units of the job that can go before its gang is broken; Infinity for a job that is none. */
  surplus(unit: Unit): number {
    const { jobId, minMember = 0 } = unit.run;
    return minMember > 0
      ? (this.#byJob.get(jobId)?.size ?? 0) - minMember
      : Number.POSITIVE_INFINITY;
  }

  gangOf(unit: Unit): readonly Unit[] {
    return [...(this.#byJob.get(unit.run.jobId) ?? [])];
  }

  /**
   * What really ends when these are evicted: of a gang that would fall below its minimum, all; running on they would only
   * hold room. A gang that is below it anyway loses no more than is asked for.
   */
  withGangs(units: readonly Unit[]): readonly Unit[] {
    if (units.every(({ run }) => !((run.minMember ?? 0) > 0))) return units;
    const asked = new Map<string, number>();
    for (const { run } of units) asked.set(run.jobId, (asked.get(run.jobId) ?? 0) + 1);
    const all = new Set<Unit>();
    for (const unit of units) {
      const surplus = this.surplus(unit);
      const breaks = surplus >= 0 && (asked.get(unit.run.jobId) ?? 0) > surplus;
      for (const one of breaks ? this.gangOf(unit) : [unit]) all.add(one);
    }
    return [...all];
  }

  /** Something of the job was placed in this round: a gang that grows is left alone until the next. */
  grew(jobId: string): void {
    this.#grown.add(jobId);
  }

  isGrowing({ run }: Unit): boolean {
    return (run.minMember ?? 0) > 0 && this.#grown.has(run.jobId);
  }

  remove(unit: Unit): void {
    this.#gone.add(unit);
    this.#byJob.get(unit.run.jobId)?.delete(unit);
  }

  restore(unit: Unit): void {
    this.#gone.delete(unit);
    this.#byJob.get(unit.run.jobId)?.add(unit);
  }
}

function unitOf(run: RoundRunning, queue: number, group: number): Unit {
  return {
    run,
    queue,
    priority: priorityOf(run),
    cost: run.evictionCost >= 0 ? run.evictionCost : Number.POSITIVE_INFINITY,
    amounts: vectorOf(run.placed.shape),
    group,
  };
}

/** The cheapest to evict first: the least priority, then the lowest price, then by id. */
export function compareUnits(a: Unit, b: Unit): number {
  return a.priority - b.priority || compareCost(a.cost, b.cost) || compareText(a.run.id, b.run.id);
}

/** Two that are beyond all price are equal; their difference would be no number. */
export function compareCost(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
