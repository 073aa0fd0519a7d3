import type { DesiredInstance } from "@flotilla/shared/model/desired-state";

/** Tells one process from every other that ever had its pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: start in clock ticks after boot. */
  readonly startTicks: number;
  readonly bootId: string;
}

/** The process that stands for one container: leader of its own process group. */
export interface ContainerProcess extends ProcessIdentity {
  readonly container: string;
}

/**
 * What the agent knows of one instance beyond what it can see. `intent` is written before the deed, so that a crash
 * between the two is found again: `starting` with a run id that the processes carry in their environment.
 */
export interface InstanceRecord {
  readonly id: string;
  /** What this record runs, or ran: kept so that it can be stopped and shown when no longer desired. */
  readonly desired: DesiredInstance;
  readonly intent: "idle" | "starting" | "running" | "stopping" | "finished";
  /** Names the present run; in the environment of its processes as FLOTILLA_RUN. */
  readonly runId?: string;
  readonly processes: readonly ContainerProcess[];
  /** Starts after the first of this specDigest. */
  readonly restartCount: number;
  /** Failures in a row, for the back-off; cleared by a run that stayed up. Jobs: failures in all. */
  readonly failureCount: number;
  /** Boot clock of the start of the present run, valid with `bootId` only. */
  readonly startedBootMs?: number;
  readonly startedWallMs?: number;
  readonly finishedWallMs?: number;
  /** Not before this boot clock, valid with `bootId` only: back-off. */
  readonly retryAtBootMs?: number;
  /** While stopping: SIGKILL follows at this boot clock, valid with `bootId` only. */
  readonly killAtBootMs?: number;
  /** Jobs: running time of earlier runs, which counts against `activeDeadlineSeconds`. */
  readonly activeBeforeMs?: number;
  readonly bootId: string;
  readonly exitCode?: number;
  readonly outcome?: "succeeded" | "failed";
  readonly reason?: string;
  readonly message?: string;
}
