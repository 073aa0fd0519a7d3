import { add, RESOURCES, type Vector } from "../amounts.ts";

/** Shares below this are the noise of floating point. */
const NOISE = 1e-12;

/** One who is filled. Levels and shares are of the dominant resource, 0 to 1 of the fleet. */
export interface Vessel {
  readonly weight: number;
  /** What one whole share takes of each resource. */
  readonly perShare: Vector;
  /** What it has before; its level begins there, counted from `base`. */
  share: number;
  /** Share from which its level is counted: 0, or what it has when only what comes on top is to be divided. */
  readonly base: number;
  /** Most it takes. */
  readonly shareMax: number;
}

/**
 * Weighted max-min fairness on dominant shares: raises the lowest levels (share from `base`, over weight) together until each
 * vessel is full or a resource that it takes is used up; `free` is taken from. Closed form by events, no steps of a guessed
 * size: each event ends one vessel, lets one in, or uses a resource up (progressive filling, Bertsekas and Gallager, 6.5.2;
 * on dominant shares: Ghodsi et al., "Dominant Resource Fairness", NSDI 2011).
 */
export function fill(vessels: readonly Vessel[], free: Vector): void {
  const waiting = vessels
    .filter((v) => v.shareMax > v.share + NOISE && v.weight > 0)
    .toSorted((a, b) => levelOf(a) - levelOf(b));
  let rising: Vessel[] = [];
  let next = 0;
  let level = 0;
  while (next < waiting.length || rising.length > 0) {
    const first = waiting[next];
    if (rising.length === 0 && first !== undefined) level = Math.max(level, levelOf(first));
    for (let v = waiting[next]; v !== undefined && levelOf(v) <= level + NOISE; v = waiting[++next])
      rising.push(v);
    level = raise(rising, free, { level, levelMax: levelOf(waiting[next]) });
    rising = rising.filter((v) => v.shareMax > v.share + NOISE && hasAll(v, free));
  }
}

/** Raises all to the next event; answers the level reached. */
function raise(
  rising: readonly Vessel[],
  free: Vector,
  { level, levelMax }: { readonly level: number; readonly levelMax: number },
): number {
  let rise = levelMax - level;
  for (let r = 0; r < RESOURCES.length; r++) {
    const rate = rising.reduce((sum, v) => sum + v.weight * (v.perShare[r] ?? 0), 0);
    if (rate > 0) rise = Math.min(rise, Math.max(0, free[r] ?? 0) / rate);
  }
  for (const v of rising) rise = Math.min(rise, (v.shareMax - v.share) / v.weight);
  for (const v of rising) {
    v.share += rise * v.weight;
    add(free, v.perShare, -rise * v.weight);
  }
  return level + rise;
}

function levelOf(vessel: Vessel | undefined): number {
  return vessel === undefined
    ? Number.POSITIVE_INFINITY
    : (vessel.share - vessel.base) / vessel.weight;
}

/** Whether there is something left of each resource that it takes. */
function hasAll(vessel: Vessel, free: Vector): boolean {
  return vessel.perShare.every((amount, r) => amount <= 0 || (free[r] ?? 0) > NOISE * amount);
}
