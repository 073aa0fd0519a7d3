import type { ReportedArtifact, ReportedArtifacts } from "@flotilla/shared/model/artifact";
import type { DesiredInstance, DesiredState } from "@flotilla/shared/model/desired-state";
import type { Container, Probe } from "@flotilla/shared/model/workload";
import type { ArtifactPaths } from "../../domain/reconcile/expand.ts";
import type { ExitStatus, FoundProcess, Hold, PlanInput } from "../../domain/reconcile/step.ts";
import type { ContainerProcess, InstanceRecord, ProcessIdentity } from "../state/ports.ts";

/** Runs containers as host processes. They are leaders of their own process groups and outlive the agent. */
export interface ProcessRuntime {
  /**
   * Starts one container of an instance. The program is found before anything is started: a missing one is an outcome,
   * not an exception. Output goes to the instance's bounded log.
   */
  start(request: StartRequest): StartOutcome;
  /** Every live process that carries this agent's id in its environment, whoever started it: containers and their children. */
  findAll(): readonly FoundProcess[];
  /** True while this very process lives (same pid, start time and boot); a zombie is dead. */
  isAlive(identity: ProcessIdentity): boolean;
  /** Sends a signal to the process groups of these processes, once to each. A process that is gone is no error. */
  signal(identities: readonly ProcessIdentity[], signal: "SIGTERM" | "SIGKILL"): void;
  /** Exit status of a run that has ended, when it is known (see docs/decisions on exit status). */
  exitOf(request: {
    readonly instanceId: string;
    readonly runId: string;
    readonly container: string;
  }): ExitStatus | undefined;
  /** Removes the files of an instance that is gone: logs and exit records. Never throws. */
  forget(instanceId: string): void;
  /** Cuts logs that have grown over their limit. */
  boundLogs(): void;
  readLog(request: {
    readonly instanceId: string;
    readonly container?: string;
    readonly tailLines: number;
  }): LogTail | undefined;
}

/** Tells running workloads that their files are others now. */
export interface WorkloadSignals {
  /**
   * Tells these processes, and nobody else, that something has changed; those whose exits are recorded with all that they
   * started, since a recorder stands before the program. A process that is gone is no error.
   */
  tell(
    identities: readonly ProcessIdentity[],
    notice: { readonly signal: "SIGHUP" | "SIGUSR1" | "SIGUSR2"; readonly recordsExit: boolean },
  ): void;
}

export interface StartRequest {
  readonly instanceId: string;
  readonly runId: string;
  readonly container: Container;
  /** True: record the exit status in a way that outlives the agent. */
  readonly recordExit: boolean;
  /** The whole environment of the process; `command` is looked up on its PATH. */
  readonly environment: Readonly<Record<string, string>>;
}

export type StartOutcome =
  | { readonly ok: true; readonly process: ContainerProcess }
  | {
      readonly ok: false;
      readonly reason:
        | "CommandNotFound"
        | "NotExecutable"
        | "NoCommand"
        | "BadWorkingDir"
        | "StartFailed";
      readonly message: string;
    };

export type { ExitStatus, FoundProcess };

export interface LogTail {
  readonly text: string;
  readonly truncated: boolean;
}

/** Runs one health probe. Never throws; a time-out is a failure with a message. */
export interface ProbeRunner {
  run(probe: Probe, context: ProbeContext, signal: AbortSignal): Promise<ProbeOutcome>;
}

export interface ProbeContext {
  /** Host for httpGet and tcpSocket without one: the node's workload address. */
  readonly host: string;
  readonly container: Container;
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export interface ProbeOutcome {
  readonly ok: boolean;
  readonly message: string;
}

/**
 * Where the reconciler meets artifacts: what of the desired state can be carried out now, and the switch right before a start.
 * Nothing here waits for anything; a node without artifacts is told what it was told.
 */
export interface ArtifactGate {
  /** Judges what is on trial and notes what came of it, durably. Once a pass, before anything is planned. */
  settle(seen: Seen, desired: DesiredState | undefined): void;
  /** The accepted desired state as it can be carried out now. Changes nothing. */
  effective(desired: DesiredState, seen: Seen): Effective;
  /**
   * Leads `current` to the files that this is to be started with. Throws when it cannot: then nothing is started. Called only
   * for what no start hold names.
   */
  beforeStart(desired: DesiredInstance, before: InstanceRecord | undefined): void;
  /** Where a workload finds its files, and where it says "not now". */
  pathsOf(instanceId: string): ArtifactPaths;
  /** What is told of the artifacts of an instance; undefined: it has none. */
  reportOf(desired: DesiredInstance): readonly ReportedArtifact[] | undefined;
  /** What is told of the node's; undefined: nothing of artifacts was ever here. */
  report(): ReportedArtifacts | undefined;
  /** A pass has ended: there may be something to do. */
  wake(): void;
}

export type Seen = Pick<PlanInput, "records" | "observed" | "health" | "now">;

export interface Effective {
  readonly desired: DesiredState;
  readonly holds: ReadonlyMap<string, Hold>;
  readonly startHolds: ReadonlyMap<string, Hold>;
}
