import { exponentialMs, type RetrySchedule } from "@flotilla/shared/kernel/retry";

/** How long a failed workload waits before its next start: 1 s, 2 s, 4 s … 5 min, without jitter: it is alone on its node. */
export const RESTART_BACKOFF: RetrySchedule = { baseMs: 1_000, capMs: 300_000 };

/** A run of this length clears the failures before it. */
export const STABLE_RUN_MS = 600_000;

/** Wait after the n-th failure in a row, n ≥ 1, in milliseconds. */
export function backoffMs(failureCount: number): number {
  return exponentialMs(RESTART_BACKOFF, Math.max(0, failureCount - 1));
}
