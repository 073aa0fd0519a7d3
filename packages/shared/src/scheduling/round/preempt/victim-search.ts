import type { NodeTable } from "../../engine/node-table.ts";
import type { Shape } from "../../engine/shape.ts";
import { NodeSketch, passesClass } from "../nodes.ts";
import { compareCost, compareUnits, type RunningIndex, type Unit } from "./running-index.ts";

/** Most nodes of one search on which several victims are combined; the nodes with the fewest candidates come first. */
export const COMBINED_NODES_MAX = 500;

/** Up to so many candidates of a node all pairs are tried, so that two victims are found whenever two are enough. */
export const PAIRED_UNITS_MAX = 24;

/** Units whose end makes room for one member on one node. */
export interface VictimSet {
  readonly node: number;
  /** With the rest of each gang that would be broken. */
  readonly units: readonly Unit[];
}

/**
 * Victim sets for one member of this shape, the best first: the fewest units (with the gangs that they break), then the lowest price, then the lowest
 * priority, then the first node. One or two victims are found whenever they are enough on a node; of more the
 * fewest that two ways of picking find (the cheapest left out last; the largest taken first), none of them to spare.
 */
export function victimSets(
  { nodes, index }: { readonly nodes: NodeTable; readonly index: RunningIndex },
  shape: Shape,
  mayGo: (unit: Unit) => boolean,
): readonly VictimSet[] {
  const sketch = new NodeSketch(nodes);
  const found: VictimSet[] = [];
  const hard: OnNode[] = [];
  for (const node of index.nodes) {
    if (!passesClass(nodes, shape, node)) continue;
    const on = { node, shape, units: index.on(node).filter(mayGo) };
    if (on.units.length === 0) continue;
    const single = bestSingle(sketch, on, index);
    if (single !== undefined) found.push(single);
    if (single?.units.length !== 1 && on.units.length > 1) hard.push(on);
  }
  if (!found.some((set) => set.units.length === 1)) {
    const possible = hard.filter((on) => fitsWithout(sketch.reset(on.node), shape, on.units));
    const ordered = possible.toSorted((a, b) => a.units.length - b.units.length || a.node - b.node);
    for (const on of ordered.slice(0, COMBINED_NODES_MAX))
      for (const picked of combinations(sketch, on))
        found.push({ node: on.node, units: index.withGangs(picked) });
  }
  return found.toSorted(compareSets);
}

/** The best set that one unit begins. */
function bestSingle(
  sketch: NodeSketch,
  { node, shape, units }: OnNode,
  index: RunningIndex,
): VictimSet | undefined {
  sketch.reset(node);
  let best: VictimSet | undefined;
  for (const unit of units) {
    if (!fitsWithout(sketch, shape, [unit])) continue;
    const set = { node, units: index.withGangs([unit]) };
    if (best === undefined || compareSets(set, best) < 0) best = set;
  }
  return best;
}

interface OnNode {
  readonly node: number;
  readonly shape: Shape;
  readonly units: readonly Unit[];
}

function combinations(sketch: NodeSketch, on: OnNode): readonly (readonly Unit[])[] {
  const pairs = pairsOf(sketch, on);
  if (pairs.length > 0) return pairs;
  const size = ({ amounts }: Unit): number => amounts.reduce((sum, amount) => sum + amount, 0);
  const bySize = on.units.toSorted(
    (a, b) => (b.amounts[3] ?? 0) - (a.amounts[3] ?? 0) || size(b) - size(a) || compareUnits(a, b),
  );
  return [leaveOut(sketch, on, on.units), leaveOut(sketch, on, upToFit(sketch, on, bySize))];
}

function pairsOf(sketch: NodeSketch, { node, shape, units }: OnNode): readonly (readonly Unit[])[] {
  const found: (readonly Unit[])[] = [];
  if (units.length > PAIRED_UNITS_MAX) return found;
  sketch.reset(node);
  for (const [i, one] of units.entries())
    for (const other of units.slice(i + 1))
      if (fitsWithout(sketch, shape, [one, other])) found.push([one, other]);
  return found;
}

/** The first units, until the shape fits. */
function upToFit(
  sketch: NodeSketch,
  { node, shape }: OnNode,
  units: readonly Unit[],
): readonly Unit[] {
  sketch.reset(node);
  const taken: Unit[] = [];
  for (const unit of units) {
    if (sketch.fits(shape)) break;
    sketch.change(unit.run.placed, 1);
    taken.push(unit);
  }
  return taken;
}

/** Leaves out what is not needed, the most valuable first. */
function leaveOut(
  sketch: NodeSketch,
  { node, shape }: OnNode,
  units: readonly Unit[],
): readonly Unit[] {
  sketch.reset(node);
  for (const unit of units) sketch.change(unit.run.placed, 1);
  const needed = new Set(units);
  for (const unit of units.toSorted(compareUnits).toReversed()) {
    sketch.change(unit.run.placed, -1);
    if (sketch.fits(shape)) needed.delete(unit);
    else sketch.change(unit.run.placed, 1);
  }
  return [...needed];
}

function fitsWithout(sketch: NodeSketch, shape: Shape, units: readonly Unit[]): boolean {
  for (const unit of units) sketch.change(unit.run.placed, 1);
  const fits = sketch.fits(shape);
  for (const unit of units) sketch.change(unit.run.placed, -1);
  return fits;
}

function compareSets(a: VictimSet, b: VictimSet): number {
  return (
    a.units.length - b.units.length ||
    compareCost(priceOf(a), priceOf(b)) ||
    topPriority(a) - topPriority(b) ||
    a.node - b.node
  );
}

function priceOf({ units }: VictimSet): number {
  return units.reduce((sum, unit) => sum + unit.cost, 0);
}

function topPriority({ units }: VictimSet): number {
  return units.reduce((top, unit) => Math.max(top, unit.priority), Number.NEGATIVE_INFINITY);
}
