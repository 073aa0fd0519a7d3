import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, statSync } from "node:fs";
import { constants } from "node:os";
import { resolve } from "node:path";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import type {
  ExitStatus,
  FoundProcess,
  LogTail,
  ProcessRuntime,
  StartOutcome,
  StartRequest,
  WorkloadSignals,
} from "../../app/reconcile/ports.ts";
import type { ContainerProcess, ProcessIdentity } from "../../app/state/ports.ts";
import { findProgram } from "./find-program.ts";
import { InstanceFiles } from "./instance-files.ts";
import { allPids, environmentWith, isRunning, readStat, statOf } from "./proc.ts";

/** Most exits of own children that are kept until somebody asks. */
const EXITS_MAX = 4_096;

/** What a shell adds to a signal's number. */
const SIGNAL_EXIT_BASE = 128;

export interface ProcessRuntimeOptions {
  /** Folder for logs and exit records: `<state-dir>/instances`. */
  readonly root: string;
  readonly agentId: string;
  readonly bootId: string;
  /** Program and leading arguments of the exit recorder: the node binary and `main/exit-recorder`. */
  readonly exitRecorder: readonly [program: string, ...args: string[]];
  /** Folder in which containers start that name none, and from which a relative `workingDir` is taken; default: the agent's. */
  readonly workDir?: string;
  readonly logPartBytesMax?: number;
}

interface OwnChild {
  readonly identity: ProcessIdentity;
  readonly child: ChildProcess;
}

type OkProgram = { readonly file: string; readonly args: readonly string[]; readonly cwd: string };

/**
 * Runs containers as plain host processes: argument arrays, no shell, each the leader of its own session and group with
 * its output in a file, so that nothing ties it to this agent's life. Who is who is told by pid, start time and boot id.
 */
export class HostProcessRuntime implements ProcessRuntime, WorkloadSignals {
  readonly #options: ProcessRuntimeOptions;
  readonly #deps: { readonly clock: Clock; readonly log: Log; readonly onExit: () => void };
  readonly #files: InstanceFiles;
  readonly #children = new Map<number, OwnChild>();
  readonly #exits = new Map<string, ExitStatus>();
  /** Said once, not each second. */
  #logFailure = "";

  constructor(
    options: ProcessRuntimeOptions,
    deps: {
      readonly clock: Clock;
      readonly log: Log;
      /** A process that this agent started has ended. */
      readonly onExit: () => void;
    },
  ) {
    this.#options = options;
    this.#deps = deps;
    this.#files = new InstanceFiles(options);
  }

  start(request: StartRequest): StartOutcome {
    const program = programOf(request, this.#options.workDir ?? process.cwd());
    if ("reason" in program) return program;
    this.#files.removeExits(request.instanceId, request.container.name);
    let log: number;
    try {
      log = this.#files.openLog(request.instanceId, request.container.name);
    } catch (error) {
      return startFailed(`the log cannot be opened: ${messageOf(error)}`);
    }
    try {
      return this.#spawn(request, program, log);
    } catch (error) {
      return startFailed(messageOf(error));
    } finally {
      closeSync(log);
    }
  }

  findAll(): readonly FoundProcess[] {
    const marker = `FLOTILLA_AGENT=${this.#options.agentId}`;
    return allPids().flatMap((pid) => {
      const environment = environmentWith(pid, marker);
      const found = environment === undefined ? undefined : this.#found(pid, environment);
      return found === undefined ? [] : [found];
    });
  }

  isAlive(identity: ProcessIdentity): boolean {
    // An own child is alive until its exit status is known: a zombie that nobody asked yet is about to tell it.
    const own = this.#children.get(identity.pid);
    if (own !== undefined && own.identity.startTicks === identity.startTicks) return true;
    return statOf(identity, this.#options.bootId) !== undefined;
  }

  signal(identities: readonly ProcessIdentity[], signal: "SIGTERM" | "SIGKILL"): void {
    const own = readStat(process.pid)?.processGroup;
    const groups = new Set(
      identities.flatMap((identity) => {
        const stat = statOf(identity, this.#options.bootId);
        return stat === undefined ? [] : [stat.processGroup];
      }),
    );
    for (const group of groups) if (group > 1 && group !== own) this.#signalGroup(group, signal);
  }

  tell(
    identities: readonly ProcessIdentity[],
    notice: { readonly signal: "SIGHUP" | "SIGUSR1" | "SIGUSR2"; readonly recordsExit: boolean },
  ): void {
    for (const identity of identities) {
      const stat = statOf(identity, this.#options.bootId);
      if (stat === undefined) continue;
      if (notice.recordsExit && stat.processGroup === identity.pid)
        this.#signalGroup(identity.pid, notice.signal);
      else this.#signalOne(identity.pid, notice.signal);
    }
  }

  exitOf(run: {
    readonly instanceId: string;
    readonly runId: string;
    readonly container: string;
  }): ExitStatus | undefined {
    return this.#exits.get(exitKey(run)) ?? this.#files.readExit(run);
  }

  forget(instanceId: string): void {
    for (const key of this.#exits.keys())
      if (key.startsWith(`${instanceId}\n`)) this.#exits.delete(key);
    try {
      this.#files.remove(instanceId);
    } catch (error) {
      this.#deps.log.warn({ instance: instanceId, err: error }, "files of an instance stay behind");
    }
  }

  boundLogs(): void {
    try {
      this.#files.boundLogs();
    } catch (error) {
      const failure = messageOf(error);
      if (failure !== this.#logFailure)
        this.#deps.log.warn({ err: error }, "a log could not be cut");
      this.#logFailure = failure;
    }
  }

  readLog(request: {
    readonly instanceId: string;
    readonly container?: string;
    readonly tailLines: number;
  }): LogTail | undefined {
    return this.#files.readLog(request);
  }

  #spawn(request: StartRequest, program: OkProgram, log: number): StartOutcome {
    const { file, args, env } = this.#commandLine(request, program);
    const child = spawn(file, args, {
      cwd: program.cwd,
      env,
      detached: true,
      shell: false,
      stdio: ["ignore", log, log],
    });
    const { pid } = child;
    if (pid === undefined) {
      child.once("error", (error) =>
        this.#deps.log.warn(
          { instance: request.instanceId, err: error },
          "a program did not start",
        ),
      );
      return startFailed(`the system refused to start ${file}`);
    }
    child.on("error", () => undefined);
    // Dead or alive it is not reaped before the next turn of the loop, so its entry is still there.
    const startTicks = readStat(pid)?.startTicks;
    if (startTicks === undefined) return startFailed(`${file} vanished while it was started`);
    const started: ContainerProcess = {
      container: request.container.name,
      pid,
      startTicks,
      bootId: this.#options.bootId,
    };
    this.#children.set(pid, { identity: started, child });
    child.once("exit", (code, signal) => this.#onExit(request, started, codeOf(code, signal)));
    child.unref();
    return { ok: true, process: started };
  }

  /** With a recorder in front when the status must outlive the agent. NODE_OPTIONS are the workload's, not the recorder's. */
  #commandLine(
    request: StartRequest,
    program: OkProgram,
  ): { readonly file: string; readonly args: string[]; readonly env: Record<string, string> } {
    const { environment, recordExit, instanceId, runId, container } = request;
    if (!recordExit)
      return { file: program.file, args: [...program.args], env: { ...environment } };
    const { NODE_OPTIONS: nodeOptions, ...env } = environment;
    const [file, ...first] = this.#options.exitRecorder;
    const exitPath = this.#files.exitPath({ instanceId, runId, container: container.name });
    return {
      file,
      args: [...first, exitPath, program.file, ...program.args],
      env: { ...env, ...(nodeOptions === undefined ? {} : { FLOTILLA_NODE_OPTIONS: nodeOptions }) },
    };
  }

  #onExit(request: StartRequest, started: ContainerProcess, exitCode: number): void {
    this.#children.delete(started.pid);
    // What a recorder has not written is not known: its own end says nothing of the workload's.
    if (!request.recordExit) {
      const oldest = this.#exits.keys().next();
      if (this.#exits.size >= EXITS_MAX && oldest.done !== true) this.#exits.delete(oldest.value);
      const { instanceId, runId } = request;
      this.#exits.set(exitKey({ instanceId, runId, container: started.container }), {
        exitCode,
        finishedWallMs: this.#deps.clock.wallMs(),
      });
    }
    this.#deps.onExit();
  }

  #found(pid: number, environment: ReadonlyMap<string, string>): FoundProcess | undefined {
    const stat = readStat(pid);
    const instanceId = environment.get("FLOTILLA_INSTANCE") ?? "";
    const runId = environment.get("FLOTILLA_RUN") ?? "";
    if (stat === undefined || !isRunning(stat) || instanceId === "" || runId === "")
      return undefined;
    return {
      pid,
      startTicks: stat.startTicks,
      bootId: this.#options.bootId,
      container: environment.get("FLOTILLA_CONTAINER") ?? "",
      instanceId,
      runId,
      specDigest: environment.get("FLOTILLA_SPEC") ?? "",
      leadsGroup: stat.processGroup === pid,
    };
  }

  #signalGroup(group: number, signal: NodeJS.Signals): void {
    this.#signalOne(-group, signal);
  }

  #signalOne(pid: number, signal: NodeJS.Signals): void {
    try {
      process.kill(pid, signal);
    } catch (error) {
      // Gone in the meantime, or not ours to signal: the next pass sees which.
      this.#deps.log.debug({ pid, signal, err: error }, "a process could not be signalled");
    }
  }
}

function programOf(
  request: StartRequest,
  workDir: string,
): OkProgram | Extract<StartOutcome, { readonly ok: false }> {
  const { command, args = [], workingDir } = request.container;
  const [name, ...rest] = command ?? [];
  if (name === undefined)
    return {
      ok: false,
      reason: "NoCommand",
      message: `container ${request.container.name}: the process runtime needs a command; an image alone needs a container runtime`,
    };
  const cwd = resolve(workDir, workingDir ?? ".");
  if (!isFolder(cwd))
    return {
      ok: false,
      reason: "BadWorkingDir",
      message: `container ${request.container.name}: workingDir ${cwd} is no folder on this node`,
    };
  const found = findProgram(name, { workingDir: cwd, path: request.environment["PATH"] });
  if (!found.ok)
    return { ...found, message: `container ${request.container.name}: ${found.message}` };
  return { file: found.path, args: [...rest, ...args], cwd };
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function startFailed(message: string): Extract<StartOutcome, { readonly ok: false }> {
  return { ok: false, reason: "StartFailed", message };
}

function codeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? SIGNAL_EXIT_BASE + (signal === null ? 0 : constants.signals[signal]);
}

function exitKey(run: {
  readonly instanceId: string;
  readonly runId: string;
  readonly container: string;
}): string {
  return `${run.instanceId}\n${run.runId}\n${run.container}`;
}
