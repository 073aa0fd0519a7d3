import type { Random } from "./random.ts";

/** How long to wait before the n-th try again. */
export interface RetrySchedule {
  readonly baseMs: number;
  readonly capMs: number;
}

/**
 * Full jitter: uniform in [0, min(cap, base·2^attempt)), as in AWS "Exponential Backoff And Jitter". `attempt` counts from 0.
 * Spreads a fleet that lost the hub at one instant over the whole window.
 */
export function fullJitterMs(schedule: RetrySchedule, attempt: number, random: Random): number {
  const ceiling = exponentialMs(schedule, attempt);
  return Math.floor(random.unit("retry.jitter") * ceiling);
}

/** min(cap, base·2^attempt), without jitter; for waits that only one party does. */
export function exponentialMs(schedule: RetrySchedule, attempt: number): number {
  return Math.min(schedule.capMs, schedule.baseMs * 2 ** Math.min(attempt, 52));
}
