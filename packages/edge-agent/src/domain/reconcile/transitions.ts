import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import { runDigest } from "./devices.ts";
import type { ContainerProcess, InstanceRecord } from "./instance-record.ts";
import { backoffMs, STABLE_RUN_MS } from "./restart.ts";
import type { ExitStatus, Now } from "./step.ts";

/** The record after each deed. Pure: the executors write what these return. */

/** Clock ticks a second in /proc/<pid>/stat: USER_HZ, 100 on every Linux that we run on. */
export const TICKS_PER_SECOND = 100;

/** Reasons of a stop that was not the workload's failure: the next start follows without back-off. */
const BLAMELESS = new Set(["IncompleteStart", "SpecChanged"]);

/** How a run ended. */
export interface RunEnd {
  readonly succeeded: boolean;
  readonly exitCode?: number;
  readonly finishedWallMs: number;
  readonly reason: string;
  readonly message: string;
}

/** Written before the first process is started. Counters go on for the same spec and begin anew for another. */
export function startingRecord(
  desired: DesiredInstance,
  before: InstanceRecord | undefined,
  runId: string,
  now: Now,
): InstanceRecord {
  const same =
    before !== undefined && runDigest(before.desired) === runDigest(desired) ? before : undefined;
  // `starting` was counted when it was written; a start that failed was none.
  const wasStart = same?.startedWallMs !== undefined && same.intent !== "starting";
  return {
    id: desired.id,
    desired,
    intent: "starting",
    runId,
    processes: [],
    restartCount: (same?.restartCount ?? 0) + (wasStart ? 1 : 0),
    failureCount: same?.failureCount ?? 0,
    bootId: now.bootId,
    ...(same?.startedWallMs === undefined ? {} : { startedWallMs: same.startedWallMs }),
    ...(same?.activeBeforeMs === undefined ? {} : { activeBeforeMs: same.activeBeforeMs }),
  };
}

/** The run lives. Its start is what the kernel says, so that adoption by a later agent changes nothing. */
export function runningRecord(
  record: InstanceRecord,
  run: { readonly runId: string; readonly processes: readonly ContainerProcess[] },
  now: Now,
): InstanceRecord {
  const startedBootMs = Math.min(
    now.bootMs,
    ...run.processes.map((p) => (p.startTicks * 1000) / TICKS_PER_SECOND),
  );
  return {
    ...lasting(record),
    intent: "running",
    runId: run.runId,
    processes: run.processes,
    bootId: now.bootId,
    startedBootMs,
    startedWallMs: now.wallMs - (now.bootMs - startedBootMs),
  };
}

/** Written before SIGTERM. A crash keeps the time of the SIGKILL. */
export function stoppingRecord(
  record: InstanceRecord,
  stop: {
    readonly reason: string;
    readonly message: string;
    readonly graceMs: number;
    readonly exitCode?: number;
    readonly processes: readonly ContainerProcess[];
  },
  now: Now,
): InstanceRecord {
  return {
    ...record,
    intent: "stopping",
    processes: stop.processes,
    bootId: now.bootId,
    killAtBootMs: now.bootMs + stop.graceMs,
    reason: stop.reason,
    message: stop.message,
    ...(stop.exitCode === undefined ? {} : { exitCode: stop.exitCode }),
  };
}

/** A run, or the try to start one, is over: finished, or idle until the back-off ends. */
export function endedRecord(
  record: InstanceRecord,
  desired: DesiredInstance,
  end: RunEnd,
  now: Now,
): InstanceRecord {
  const ranMs =
    record.startedBootMs === undefined || record.bootId !== now.bootId
      ? 0
      : Math.max(0, now.bootMs - record.startedBootMs);
  const activeMs = (record.activeBeforeMs ?? 0) + ranMs;
  const base: InstanceRecord = {
    ...lasting(record),
    intent: "idle",
    desired,
    bootId: now.bootId,
    finishedWallMs: end.finishedWallMs,
    reason: end.reason,
    message: end.message,
    ...(end.exitCode === undefined ? {} : { exitCode: end.exitCode }),
    ...(desired.kind === "Job" ? { activeBeforeMs: activeMs } : {}),
  };
  if (end.succeeded && (desired.kind === "Job" || desired.restartPolicy !== "Always"))
    return { ...base, intent: "finished", outcome: "succeeded", reason: "Completed" };
  const kept = desired.kind === "Deployment" && ranMs >= STABLE_RUN_MS ? 0 : record.failureCount;
  const failureCount = kept + 1;
  const final = finalFailure(desired, { failureCount, activeMs, reason: end.reason });
  if (final !== undefined)
    return { ...base, failureCount, intent: "finished", outcome: "failed", reason: final };
  return { ...base, failureCount, retryAtBootMs: now.bootMs + backoffMs(failureCount) };
}

/** Reason of the end for good; undefined when the run is tried again. */
function finalFailure(
  desired: DesiredInstance,
  run: { readonly failureCount: number; readonly activeMs: number; readonly reason: string },
): string | undefined {
  if (desired.kind === "Deployment")
    return desired.restartPolicy === "Never" ? "Failed" : undefined;
  if (run.reason === "DeadlineExceeded" || run.activeMs >= deadlineMs(desired))
    return "DeadlineExceeded";
  return run.failureCount > desired.backoffLimit ? "BackoffLimitExceeded" : undefined;
}

/** Longest running time of a Job's instance; without one, infinite. */
export function deadlineMs(desired: DesiredInstance): number {
  return desired.kind === "Job" && desired.activeDeadlineSeconds !== undefined
    ? desired.activeDeadlineSeconds * 1000
    : Number.POSITIVE_INFINITY;
}

/** True when the stop that this record names says nothing against the workload. */
export function isBlamelessStop(record: InstanceRecord): boolean {
  return record.reason !== undefined && BLAMELESS.has(record.reason);
}

/** True when the exit status must outlive the agent: its value decides what comes next. */
export function recordsExit(desired: DesiredInstance): boolean {
  return desired.kind === "Job" || desired.restartPolicy !== "Always";
}

/** Judges a run of which no process is left. */
export function runEnd(
  record: InstanceRecord,
  exits: ReadonlyMap<string, ExitStatus>,
  now: Now,
): RunEnd {
  const all = record.desired.containers.map((c) => ({ name: c.name, exit: exits.get(c.name) }));
  const culprit = all.find((c) => c.exit?.exitCode !== 0);
  const finished = all.flatMap((c) => (c.exit === undefined ? [] : [c.exit.finishedWallMs]));
  const finishedWallMs = finished.length === 0 ? now.wallMs : Math.max(...finished);
  if (culprit === undefined)
    return {
      succeeded: true,
      exitCode: 0,
      finishedWallMs,
      reason: "Exited",
      message: "every container exited with code 0",
    };
  const exitCode = culprit.exit?.exitCode;
  return {
    succeeded: false,
    finishedWallMs,
    ...(exitCode === undefined
      ? {
          reason: "ExitUnknown",
          message: `container ${culprit.name} ended, its exit code is not known`,
        }
      : {
          exitCode,
          reason: "Exited",
          message: `container ${culprit.name} exited with code ${exitCode}`,
        }),
  };
}

/** What outlives a run: the rest of a record speaks of one run only. */
function lasting(record: InstanceRecord): InstanceRecord {
  return {
    id: record.id,
    desired: record.desired,
    intent: record.intent,
    processes: [],
    restartCount: record.restartCount,
    failureCount: record.failureCount,
    bootId: record.bootId,
    ...(record.startedWallMs === undefined ? {} : { startedWallMs: record.startedWallMs }),
    ...(record.activeBeforeMs === undefined ? {} : { activeBeforeMs: record.activeBeforeMs }),
  };
}
