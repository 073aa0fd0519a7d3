import type { InstanceRecord } from "../reconcile/instance-record.ts";
import type { Health } from "../reconcile/step.ts";
import { healthWindowMs } from "./artifact-sets.ts";
import { currentContents, type Failure, type SlotRecord, type Trial } from "./slot-record.ts";
import type { SlotNow } from "./slot-transitions.ts";

/** Whether a set of artifacts that was just switched to is good. */

/** Ends of the instance, one after the other, after which a set on trial has failed. */
export const ACTIVATION_TRIES_MAX = 3;
/** Boots of the machine during one trial, after which the set has failed: it may be what brings the machine down. */
export const ACTIVATION_BOOTS_MAX = 3;

/**
 * Most time between two looks that counts as time of being ready: what happened in a longer one, such as while the machine slept,
 * nobody has seen.
 */
export const READY_GAP_MS_MAX = 5_000;
/** After a longer gap the time of a trial counts anew. */
export const TRIAL_GAP_MS_MAX = 60_000;

/** What is seen of an instance whose set is on trial. */
export interface TrialView {
  readonly record: InstanceRecord | undefined;
  readonly health: Health | undefined;
  /** How long this run has been ready without a break with this set; undefined: it is not, or was not told of it. */
  readonly readyMs: number | undefined;
}

export type TrialVerdict =
  | { readonly kind: "proved" }
  | { readonly kind: "failed"; readonly failure: Failure };

/** Judges the trial of a record; undefined: it goes on. */
export function judgeTrial(
  slots: SlotRecord,
  view: TrialView,
  now: SlotNow,
): TrialVerdict | undefined {
  const { trial } = slots;
  const contents = currentContents(slots);
  const { record, readyMs } = view;
  if (trial === undefined || contents === undefined || record === undefined) return undefined;
  if (record.intent === "finished" && record.outcome === "succeeded") return { kind: "proved" };
  const windowMs = healthWindowMs(contents.desired);
  if (readyMs !== undefined && readyMs >= windowMs) return { kind: "proved" };
  // What failed with nothing to go back to is tried on, and has failed once.
  if (trial.failing !== undefined) return undefined;
  const failure = failureOf({ ...view, record }, trial, now);
  return failure === undefined ? undefined : { kind: "failed", failure };
}

function failureOf(
  view: TrialView & { readonly record: InstanceRecord },
  trial: Trial,
  now: SlotNow,
): Failure | undefined {
  const { health, record } = view;
  if (record.intent === "finished")
    return { reason: record.reason ?? "Failed", message: record.message ?? "it ended" };
  if (record.intent === "running" && health?.unhealthy !== undefined) return health.unhealthy;
  const ends = endsOf(record, trial);
  if (ends >= ACTIVATION_TRIES_MAX)
    return {
      reason: "CrashLoop",
      message: `ended ${ends} times in a row: ${record.message ?? ""}`,
    };
  if (trial.boots >= ACTIVATION_BOOTS_MAX)
    return { reason: "BootLoop", message: `the machine started ${trial.boots} times meanwhile` };
  const isLate = trial.bootId === now.bootId && now.bootMs >= trial.deadlineBootMs;
  // What is ready is given the rest of its window.
  if (isLate && view.readyMs === undefined)
    return {
      reason: "NotReady",
      message: health?.message ?? record.message ?? "it was not ready for long enough",
    };
  return undefined;
}

/** A run that stayed up clears the count, and with it those before the trial. */
function endsOf({ failureCount }: InstanceRecord, { failuresBefore }: Trial): number {
  return failureCount >= failuresBefore ? failureCount - failuresBefore : failureCount;
}
