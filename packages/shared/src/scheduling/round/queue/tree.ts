import { QUEUE_WEIGHT_MAX } from "../../../model/resources/queue.ts";
import { add, limitsOf, RESOURCES, type Vector, zeros } from "../amounts.ts";
import { DEFAULT_QUEUE, type RoundQueue } from "../types.ts";

/** Index of the fleet itself, the parent of all. */
export const FLEET = 0;

/** A queue in a round: limits as vectors, and what is allocated below it. */
export interface QueueNode {
  readonly index: number;
  readonly name: string;
  readonly parent: number;
  readonly children: number[];
  readonly weight: number;
  readonly priority: number;
  readonly open: boolean;
  readonly reclaimable: boolean;
  readonly fifo: boolean;
  /** 0 where nothing is guaranteed. */
  readonly guarantee: Vector;
  /** NaN where it is not named; undefined: none is named, its weight decides. */
  readonly deserved: Vector | undefined;
  /** Infinity where there is no limit. */
  readonly capability: Vector;
  readonly allocated: Vector;
  /** What is guaranteed to it and those below and not allocated: kept free of others. */
  readonly unmet: Vector;
  /** The sum of `unmet` of its children. */
  readonly unmetBelow: Vector;
}

/** Why a queue cannot have so much more. */
export interface Refusal {
  readonly reason: "OverCapability" | "GuaranteedToOthers";
  /** Index in RESOURCES. */
  readonly resource: number;
  /** The queue whose limit it is. */
  readonly queue: number;
}

/**
 * The queues of a round, the fleet as their root, with what is allocated. Changes cost the depth of the queue, never the
 * number of queues.
 */
export class QueueTree {
  readonly nodes: readonly QueueNode[];
  readonly totals: Vector;
  readonly #byName = new Map<string, QueueNode>();

  constructor(queues: readonly RoundQueue[], totals: Vector) {
    this.totals = totals;
    const named = new Map(queues.toReversed().map((q) => [q.name, q]));
    if (!named.has(DEFAULT_QUEUE)) named.set(DEFAULT_QUEUE, plainQueue(DEFAULT_QUEUE));
    const sorted = [...named.values()].toSorted((a, b) => compareText(a.name, b.name));
    const indexes = new Map(sorted.map((q, i) => [q.name, i + 1]));
    const parents = sorted.map((q) => parentOf(q, named));
    const nodes = [nodeOf(plainQueue(""), FLEET, FLEET)];
    for (const [i, queue] of sorted.entries()) {
      const node = nodeOf(queue, i + 1, indexes.get(parents[i] ?? "") ?? FLEET);
      nodes.push(node);
      this.#byName.set(queue.name, node);
    }
    for (const node of nodes)
      if (node.index !== FLEET) nodes[node.parent]?.children.push(node.index);
    this.nodes = nodes;
    for (const node of nodes) this.#raiseUnmet(node);
  }

  find(name: string | undefined): QueueNode | undefined {
    return this.#byName.get(name ?? DEFAULT_QUEUE);
  }

  /** The queue of this index; the fleet for one that does not exist. */
  at(index: number): QueueNode {
    const node = this.nodes[index] ?? this.nodes[FLEET];
    if (node === undefined) throw new RangeError(`there is no queue ${index}`);
    return node;
  }

  /** Gives the queue so much (`sign` 1) or takes it back (-1), and those above it. */
  allocate(queue: number, amounts: Vector, sign: 1 | -1): void {
    for (const node of this.path(queue)) add(node.allocated, amounts, sign);
    add(this.at(FLEET).allocated, amounts, sign);
    this.#raiseUnmet(this.at(queue));
  }

  /** Why the queue cannot have so much more; undefined when it can. */
  refusal(queue: number, amounts: Vector): Refusal | undefined {
    for (let node = this.at(queue); node.index !== FLEET; node = this.at(node.parent)) {
      const resource = firstOver(node.allocated, amounts, node.capability);
      if (resource >= 0) return { reason: "OverCapability", resource, queue: node.index };
    }
    return this.#guaranteeRefusal(queue, amounts);
  }

  /** The queue and those above it, the fleet left out. */
  *path(queue: number): Generator<QueueNode> {
    for (let node = this.at(queue); node.index !== FLEET; node = this.at(node.parent)) yield node;
  }

  /** Whether the queue is this one or below it. */
  isWithin(queue: number, ancestor: number): boolean {
    for (let node = this.at(queue); node.index !== FLEET; node = this.at(node.parent))
      if (node.index === ancestor) return true;
    return ancestor === FLEET;
  }

  /** The highest queue above `queue` that is not above `other` too: what competes with the other side. */
  competitorOf(queue: number, other: number): number {
    let node = this.at(queue);
    while (!this.isWithin(other, node.parent)) node = this.at(node.parent);
    return node.index;
  }

  /** What is guaranteed to others must stay free; what was not free before this is not held against it. */
  #guaranteeRefusal(queue: number, amounts: Vector): Refusal | undefined {
    const fleet = this.at(FLEET);
    if (!fleet.unmet.some((amount) => amount > 0)) return undefined;
    const before = fleet.unmet.slice();
    this.allocate(queue, amounts, 1);
    const resource = RESOURCES.findIndex((_, r) => {
      if (!((amounts[r] ?? 0) > 0)) return false;
      const kept = fleet.unmet[r] ?? 0;
      const grows = (amounts[r] ?? 0) > (before[r] ?? 0) - kept;
      return kept > 0 && grows && (fleet.allocated[r] ?? 0) + kept > (this.totals[r] ?? 0);
    });
    this.allocate(queue, amounts, -1);
    return resource < 0 ? undefined : { reason: "GuaranteedToOthers", resource, queue: FLEET };
  }

  /** Brings `unmet` of the node up to date, and what is above it as far as it changes. */
  #raiseUnmet(changed: QueueNode): void {
    for (let node = changed; ; node = this.at(node.parent)) {
      const above = node.index === FLEET ? undefined : this.at(node.parent);
      for (let r = 0; r < RESOURCES.length; r++) {
        const own = (node.guarantee[r] ?? 0) - (node.allocated[r] ?? 0);
        const unmet = Math.max(own, node.unmetBelow[r] ?? 0, 0);
        const change = unmet - (node.unmet[r] ?? 0);
        node.unmet[r] = unmet;
        if (above !== undefined) above.unmetBelow[r] = (above.unmetBelow[r] ?? 0) + change;
      }
      if (above === undefined) return;
    }
  }
}

/** The order of names is that of their code units: the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The parent that counts: none when the queue is above itself. */
function parentOf(queue: RoundQueue, named: ReadonlyMap<string, RoundQueue>): string | undefined {
  const seen = new Set<string>();
  for (let above = queue.parent; above !== undefined && !seen.has(above); ) {
    if (above === queue.name) return undefined;
    seen.add(above);
    above = named.get(above)?.parent;
  }
  return queue.parent;
}

function plainQueue(name: string): RoundQueue {
  return {
    name,
    weight: 1,
    priority: 0,
    open: true,
    reclaimable: true,
    dequeueStrategy: "traverse",
  };
}

function nodeOf(queue: RoundQueue, index: number, parent: number): QueueNode {
  const deserved = limitsOf(queue.deserved, Number.NaN);
  return {
    index,
    name: queue.name,
    parent,
    children: [],
    weight: queue.weight > 0 && queue.weight <= QUEUE_WEIGHT_MAX ? queue.weight : 1,
    priority: Number.isFinite(queue.priority) ? queue.priority : 0,
    open: queue.open,
    reclaimable: queue.reclaimable,
    fifo: queue.dequeueStrategy === "fifo",
    guarantee: limitsOf(queue.guarantee, 0),
    deserved: deserved.every((value) => Number.isNaN(value)) ? undefined : deserved,
    capability: limitsOf(queue.capability, Number.POSITIVE_INFINITY),
    allocated: zeros(),
    unmet: zeros(),
    unmetBelow: zeros(),
  };
}

/** The first resource of which it would have more than the limit; -1 when there is none. What asks for nothing of it passes. */
function firstOver(allocated: Vector, more: Vector, limit: Vector): number {
  for (let r = 0; r < limit.length; r++) {
    const amount = more[r] ?? 0;
    if (amount > 0 && (allocated[r] ?? 0) + amount > (limit[r] ?? 0)) return r;
  }
  return -1;
}
