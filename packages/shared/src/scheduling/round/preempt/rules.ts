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

/** Distances that differ by less are equal: sums of floating point. */
const NOISE = 1e-9;

interface Context {
  readonly tree: QueueTree;
  readonly deserved: readonly Vector[];
}

/** A queue's distance from what it deserves, as parts of the fleet; above 0 before, on its own side of the line. */
interface Move {
  readonly before: number;
  /** Less than 0: it crosses the line. */
  readonly after: number;
  /** Whether its amounts were said; those by weight are seldom a whole number of units. */
  readonly isExplicit: boolean;
}

/**
 * Whether a unit may be evicted for a claim, as things stand now; undefined: it may not.
 *
 * In its own queue the lower priority yields. Across queues a queue yields what it has above what it deserves, on any level: to one that
 * has less than it deserves (reclaim), or to a greater priority. Nobody crosses the line that was said for it. What is deserved by weight
 * is seldom a whole number of units: there a reclaim may cross it, as long as the greatest distance of the two from what they deserve
 * becomes smaller. So shares come within one unit of fair, and reclaims cannot go round in a circle: each makes the sorted
 * list of distances smaller.
 */
export function evictionReason(
  context: Context,
  claim: Claim,
  unit: Unit,
): EvictionReason | undefined {
  if (!unit.run.evictable || unit.run.jobId === claim.jobId) return undefined;
  const isLower = unit.priority < claim.priority;
  if (unit.queue === claim.queue) return isLower ? "Preempted" : undefined;
  const { tree, deserved } = context;
  const gives: Move[] = [];
  for (const node of below(tree, unit.queue, claim.queue)) {
    if (!node.reclaimable) return undefined;
    const move = giving(node, deserved[node.index], { unit, tree });
    if (move === undefined) continue;
    if (!(move.before > 0) || (move.after < 0 && move.isExplicit)) return undefined;
    gives.push(move);
  }
  const takes: Move[] = [];
  for (const node of below(tree, claim.queue, unit.queue))
    takes.push(taking(node, deserved[node.index], { claim, tree }));
  if (isReclaim(takes, gives)) return "Reclaimed";
  return isLower && gives.every((move) => move.after >= 0) ? "Preempted" : undefined;
}

function isReclaim(takes: readonly Move[], gives: readonly Move[]): boolean {
  if (!takes.every((m) => m.before > 0 && (m.after >= 0 || !m.isExplicit))) return false;
  const least = (moves: readonly Move[]): number =>
    moves.reduce((min, m) => Math.min(min, m.before), Number.POSITIVE_INFINITY);
  const isSmaller = Math.max(least(takes), least(gives));
  return [...takes, ...gives].every((m) => m.after >= 0 || -m.after < isSmaller - NOISE);
}

/** The queue and those above it, as far as they are not above the other too. */
function* below(tree: QueueTree, queue: number, other: number): Generator<QueueNode> {
  if (queue === FLEET) return;
  for (const node of tree.path(queue)) {
    if (tree.isWithin(other, node.index)) return;
    yield node;
  }
}

/**
 * What a queue has above what it deserves, now and without the unit: in the resource, of those named, that the unit takes most of;
 * undefined: it takes none of those. A guarantee is no line to cross: without the unit it must still be met.
 */
function giving(
  node: QueueNode,
  deserved: Vector | undefined,
  { unit, tree }: { readonly unit: Unit; readonly tree: QueueTree },
): Move | undefined {
  let most = 0;
  let judged = -1;
  for (let r = 0; r < RESOURCES.length; r++) {
    const part = (unit.amounts[r] ?? 0) / (tree.totals[r] || 1);
    if (part <= most || Number.isNaN(deserved?.[r] ?? Number.NaN)) continue;
    most = part;
    judged = r;
  }
  if (judged < 0) return undefined;
  const allocated = node.allocated[judged] ?? 0;
  const above = allocated - (deserved?.[judged] ?? 0);
  const left = above - (unit.amounts[judged] ?? 0);
  const total = tree.totals[judged] || 1;
  const breaksGuarantee = allocated - (unit.amounts[judged] ?? 0) < (node.guarantee[judged] ?? 0);
  return {
    before: above / total,
    after: left / total,
    isExplicit: node.deserved !== undefined || breaksGuarantee,
  };
}

/** What a queue lacks of what it deserves, now and with the claim: of what the claim asks for and is named, where it lacks least. */
function taking(
  node: QueueNode,
  deserved: Vector | undefined,
  { claim, tree }: { readonly claim: Claim; readonly tree: QueueTree },
): Move {
  let before = Number.POSITIVE_INFINITY;
  let after = Number.POSITIVE_INFINITY;
  for (let r = 0; r < RESOURCES.length; r++) {
    const amount = claim.amounts[r] ?? 0;
    const limit = deserved?.[r] ?? Number.NaN;
    if (amount === 0 || Number.isNaN(limit)) continue;
    const lack = limit - (node.allocated[r] ?? 0);
    before = Math.min(before, lack / (tree.totals[r] || 1));
    after = Math.min(after, (lack - amount) / (tree.totals[r] || 1));
  }
  // It deserves nothing of the kind: there is nothing to take back.
  if (before === Number.POSITIVE_INFINITY) return { before: 0, after: 0, isExplicit: true };
  return { before, after, isExplicit: node.deserved !== undefined };
}
