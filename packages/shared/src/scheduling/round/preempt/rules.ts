import { RESOURCES, type Vector } from "../amounts.ts";
import { FLEET, type QueueNode, type QueueTree } from "../queue/tree.ts";
import type { EvictionReason } from "../types.ts";
import type { Unit } from "./running-index.ts";

/** Who wants room that others have. */
export interface Claim {
  readonly jobId: string;
  readonly queue: number;
  readonly priority: number;
  /** What it needs at once. */
  readonly amounts: Vector;
}

/**
 * Whether a unit may be evicted for a claim, as things stand now; undefined: it may not.
 *
 * In its own queue the lower priority yields. Across queues nobody loses what the queue deserves, on any level: a queue yields
 * only what it has above that, to one that is still within what it deserves (reclaim), or to a greater priority. So a
 * reclaim brings one queue nearer to what it deserves and takes none below: it cannot go round in a circle.
 */
export function evictionReason(
  { tree, deserved }: { readonly tree: QueueTree; readonly deserved: readonly Vector[] },
  claim: Claim,
  unit: Unit,
): EvictionReason | undefined {
  if (!unit.run.evictable || unit.run.jobId === claim.jobId) return undefined;
  const isLower = unit.priority < claim.priority;
  if (unit.queue === claim.queue) return isLower ? "Preempted" : undefined;
  for (const node of below(tree, unit.queue, claim.queue))
    if (!node.reclaimable || !hasAbove(node, deserved[node.index], { unit, tree }))
      return undefined;
  for (const node of below(tree, claim.queue, unit.queue))
    if (!staysWithin(node, deserved[node.index], claim.amounts))
      return isLower ? "Preempted" : undefined;
  return "Reclaimed";
}

/** The queue and those above it, as far as they are not above the other too. */
function* below(tree: QueueTree, queue: number, other: number): Generator<QueueNode> {
  if (queue === FLEET) return;
  for (const node of tree.path(queue)) {
    if (tree.isWithin(other, node.index)) return;
    yield node;
  }
}

/** Whether the queue still has what it deserves without the unit: in the resource, of those named, that the unit takes most of. */
function hasAbove(
  node: QueueNode,
  deserved: Vector | undefined,
  { unit, tree }: { readonly unit: Unit; readonly tree: QueueTree },
): boolean {
  let most = 0;
  let judged = -1;
  for (let r = 0; r < RESOURCES.length; r++) {
    const part = (unit.amounts[r] ?? 0) / (tree.totals[r] || 1);
    if (part <= most || Number.isNaN(deserved?.[r] ?? Number.NaN)) continue;
    most = part;
    judged = r;
  }
  if (judged < 0) return true;
  return (node.allocated[judged] ?? 0) - (unit.amounts[judged] ?? 0) >= (deserved?.[judged] ?? 0);
}

/** Whether with so much more the queue has no more than it deserves of anything, and deserves some of it at all. */
function staysWithin(node: QueueNode, deserved: Vector | undefined, amounts: Vector): boolean {
  let isNamed = false;
  for (let r = 0; r < RESOURCES.length; r++) {
    const amount = amounts[r] ?? 0;
    const limit = deserved?.[r] ?? Number.NaN;
    if (amount === 0 || Number.isNaN(limit)) continue;
    if ((node.allocated[r] ?? 0) + amount > limit) return false;
    isNamed = true;
  }
  return isNamed;
}
