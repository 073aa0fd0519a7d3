/** Share of a Deployment's instances that may be not ready at a time because of us. */
export const UNAVAILABLE_RATIO_MAX = 0.25;

/** Most instances of so many that may be not ready at a time because of us. */
export function unavailableMaxOf(count: number): number {
  return Math.max(1, Math.floor(count * UNAVAILABLE_RATIO_MAX));
}

/** An instance as a rolling update sees it. */
export interface Updatable {
  readonly index: number;
  /** It has to be restarted or moved, and it is for us to choose when. */
  readonly waiting: boolean;
  readonly available: boolean;
  /** On a node that is heard of. What is elsewhere is neither made unavailable by us nor waited for. */
  readonly reachable: boolean;
}

/**
 * Which of the waiting instances may be disrupted now. Those that serve nobody (not available, or on a node that is away)
 * at once; of the others only as many as keep the reachable ones that are not available within max(1, a quarter).
 */
export function nextUpdates(instances: readonly Updatable[]): ReadonlySet<number> {
  const reachable = instances.filter((i) => i.reachable);
  const allowed = unavailableMaxOf(reachable.length);
  const unavailable = reachable.filter((i) => !i.available).length;
  const serving = reachable
    .filter((i) => i.waiting && i.available)
    .toSorted((a, b) => a.index - b.index);
  const harmless = instances.filter((i) => i.waiting && !(i.reachable && i.available));
  const chosen = [...harmless, ...serving.slice(0, Math.max(0, allowed - unavailable))];
  return new Set(chosen.map((i) => i.index));
}
