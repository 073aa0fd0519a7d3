import type { NodeTable } from "../../engine/node-table.ts";
import type { Shape } from "../../engine/shape.ts";
import type { Placed, Trial } from "../../engine/trial.ts";
import type { PendingJob } from "../gang/pending-job.ts";
import { isFree, NodeSketch, passesClass } from "../nodes.ts";
import type { RunningIndex, Unit } from "../preempt/running-index.ts";

/** Room that is kept is found for no larger gang: the search looks at all nodes for each member. */
export const RESERVED_MEMBERS_MAX = 256;

/** Where a job that waits will start, and what of the room that is free now it needs for that. */
export interface Plan {
  readonly job: PendingJob;
  readonly nodes: readonly number[];
  /** When all of it is there; Infinity: some day. */
  readonly startsAtMs: number;
  /** Room that is free now and must stay so: as if it were given to somebody. */
  readonly holds: readonly Placed[];
}

/** A node's offer to one member: when, after how many have ended. */
interface Offer {
  readonly atMs: number;
  readonly ended: number;
}

interface Context {
  readonly nodes: NodeTable;
  readonly index: RunningIndex;
  /** Nodes that were kept in the round before: of equal ones they stay. */
  readonly keptNodes: ReadonlySet<number>;
  readonly nowMs: number;
}

/**
 * Where the chunk of a blocked job could start earliest when what runs ends as far as it ever does ("EASY" backfilling, Lifka 1995; here
 * with nodes and devices). Members one after the other each take the node that is ready first, then the one where fewest
 * must end. Undefined when there is no such place: then nothing is kept for it.
 */
export function planStart(context: Context, job: PendingJob): Plan | undefined {
  if (job.chunk.length > RESERVED_MEMBERS_MAX) return undefined;
  const planned = new Map<number, PlannedNode>();
  const offers = new Map<Shape, (Offer | undefined)[]>();
  let startsAtMs = context.nowMs;
  let ended = 0;
  for (const { shape } of job.chunk) {
    const known = offers.get(shape) ?? offersOf(context, shape, planned);
    offers.set(shape, known);
    const node = bestOffer(known, context.keptNodes);
    const offer = known[node];
    if (offer === undefined) return undefined;
    const plan = planned.get(node) ?? new PlannedNode(context, node);
    planned.set(node, plan);
    plan.add(shape);
    startsAtMs = Math.max(startsAtMs, offer.atMs);
    ended = Math.max(ended, offer.ended);
    for (const [other, list] of offers) list[node] = plan.offer(other);
  }
  // There is room now, but a rule of placement keeps it off: waiting for room does not help.
  if (ended === 0) return undefined;
  const holds = [...planned.values()].flatMap((plan) => plan.holds());
  return { job, nodes: [...planned.keys()].toSorted((a, b) => a - b), startsAtMs, holds };
}

/** Takes the room out of sight of everybody; answers what was taken, to be released when it may be seen again. */
export function hold(nodes: NodeTable, trial: Trial, plan: Plan): readonly Placed[] {
  return plan.holds.filter((room) => {
    // A node on which more was given than it has shows no room anyway.
    const isHeld = isFree(nodes, room);
    if (isHeld) trial.reserve(room);
    return isHeld;
  });
}

function offersOf(
  context: Context,
  shape: Shape,
  planned: ReadonlyMap<number, PlannedNode>,
): (Offer | undefined)[] {
  const reused = new PlannedNode(context, 0);
  return Array.from({ length: context.nodes.nodeCount }, (_, node) =>
    passesClass(context.nodes, shape, node)
      ? (planned.get(node) ?? reused.begin(node)).offer(shape)
      : undefined,
  );
}

function bestOffer(offers: readonly (Offer | undefined)[], kept: ReadonlySet<number>): number {
  let best = -1;
  for (const [node, offer] of offers.entries()) {
    if (offer === undefined) continue;
    const than = offers[best];
    if (than === undefined || isBefore(offer, than, kept.has(node) && !kept.has(best))) best = node;
  }
  return best;
}

function isBefore(a: Offer, b: Offer, isKept: boolean): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs;
  return a.ended < b.ended || (a.ended === b.ended && isKept);
}

/** A node with the members that are to start on it, and what is to end for them. */
class PlannedNode {
  readonly #context: Context;
  readonly #sketch: NodeSketch;
  #node = 0;
  /** What ends on the node, the earliest first. */
  #ending: readonly (readonly [number, Unit])[] = [];
  /** How many of these end for the members so far. */
  #ended = 0;
  readonly #members: { readonly shape: Shape; readonly devices: Int16Array }[] = [];

  constructor(context: Context, node: number) {
    this.#context = context;
    this.#sketch = new NodeSketch(context.nodes);
    this.begin(node);
  }

  begin(node: number): this {
    this.#node = node;
    this.#sketch.reset(node);
    this.#ending = this.#context.index
      .on(node)
      .flatMap((unit) =>
        unit.run.endsAtMs === "never" ? [] : [[endOf(unit, this.#context.nowMs), unit] as const],
      )
      .toSorted((a, b) => (a[0] === b[0] ? 0 : a[0] - b[0]));
    return this;
  }

  /** When one more of this shape fits beside the members so far. */
  offer(shape: Shape): Offer | undefined {
    let count = this.#ended;
    while (!this.#sketch.fits(shape)) {
      const next = this.#ending[count];
      if (next === undefined) break;
      this.#sketch.change(next[1].run.placed, 1);
      count++;
    }
    const fits = this.#sketch.fits(shape);
    for (let i = this.#ended; i < count; i++) this.#change(i, -1);
    if (!fits) return undefined;
    return { atMs: this.#atMs(count), ended: count };
  }

  add(shape: Shape): void {
    for (; !this.#sketch.fits(shape) && this.#ended < this.#ending.length; this.#ended++)
      this.#change(this.#ended, 1);
    const member = { shape, devices: this.#sketch.devicesFor(shape) };
    this.#sketch.change(member, -1);
    this.#members.push(member);
  }

  /** What the members need of the room that is free now: all that will not come from what ends. */
  holds(): readonly Placed[] {
    const need = new NodeSketch(this.#context.nodes).reset(this.#node);
    const now = new NodeSketch(this.#context.nodes).reset(this.#node);
    for (let i = 0; i < this.#ended; i++) {
      const unit = this.#ending[i]?.[1];
      if (unit !== undefined) need.change(unit.run.placed, 1);
    }
    for (const member of this.#members) need.change(member, -1);
    const less = (before: number, after: number): number => Math.max(0, before - after);
    const amounts: Shape = {
      milliCpu: less(now.milliCpu, need.milliCpu),
      memoryBytes: less(now.memoryBytes, need.memoryBytes),
      diskBytes: less(now.diskBytes, need.diskBytes),
      gpuCount: 0,
      gpuMilli: 0,
    };
    const holds: Placed[] = [{ shape: amounts, node: this.#node, devices: new Int16Array(0) }];
    for (const [device, before] of now.gpu.entries()) {
      const gpuMilli = less(before, need.gpu[device] ?? 0);
      if (gpuMilli === 0) continue;
      const slice: Shape = { milliCpu: 0, memoryBytes: 0, diskBytes: 0, gpuCount: 1, gpuMilli };
      holds.push({ shape: slice, node: this.#node, devices: Int16Array.of(device) });
    }
    return holds;
  }

  #change(index: number, sign: 1 | -1): void {
    const unit = this.#ending[index]?.[1];
    if (unit !== undefined) this.#sketch.change(unit.run.placed, sign);
  }

  #atMs(ended: number): number {
    const last = ended > 0 ? this.#ending[ended - 1] : undefined;
    return Math.max(this.#context.nowMs, last?.[0] ?? this.#context.nowMs);
  }
}

/** What is late by its own estimate ends some day, as what has none. */
function endOf({ run }: Unit, nowMs: number): number {
  const { endsAtMs } = run;
  return typeof endsAtMs === "number" && endsAtMs > nowMs ? endsAtMs : Number.POSITIVE_INFINITY;
}
