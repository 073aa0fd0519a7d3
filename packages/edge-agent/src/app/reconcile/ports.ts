import type { Container, Probe } from "@flotilla/shared/model/workload";
import type { ExitStatus, FoundProcess } from "../../domain/reconcile/step.ts";
import type { ContainerProcess, ProcessIdentity } from "../state/ports.ts";

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
