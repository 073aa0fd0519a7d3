import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import type { ObjectOf } from "@flotilla/shared/model/kinds";

/** How long what was written waits for company before it is scheduled, milliseconds. */
export const BATCH_DELAY_MS = 20;
/** A longer delay than this is cut: a minute of silence looks like a hub that hangs. */
export const BATCH_DELAY_MS_MAX = 60_000;
/** Instances that one round places at most. */
export const BATCH_INSTANCES = 1_000;

/** How the scheduler gathers work. */
export interface Batching {
  readonly delayMs: number;
  readonly instancesMax: number;
}

/**
 * `scheduler.delay` and `scheduler.batch` of the PerformanceProfile named `default`, else of the first by name. There is one
 * scheduler, so only one profile can count.
 */
export function batchingOf(profiles: readonly ObjectOf<"PerformanceProfile">[]): Batching {
  const profile = profiles.find((p) => p.metadata.name === "default") ?? profiles[0];
  const { delay, batch } = profile?.spec.scheduler ?? {};
  const delayMs = delay === undefined ? BATCH_DELAY_MS : (parseDurationMs(delay) ?? BATCH_DELAY_MS);
  return {
    delayMs: Math.min(delayMs, BATCH_DELAY_MS_MAX),
    instancesMax: batch ?? BATCH_INSTANCES,
  };
}
