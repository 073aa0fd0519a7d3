import type {
  ExitStatus,
  FoundProcess,
  LogTail,
  ProbeContext,
  ProbeOutcome,
  ProbeRunner,
  ProcessRuntime,
  StartOutcome,
  StartRequest,
  WorkloadSignals,
} from "@flotilla/edge-agent/app/reconcile/ports";
import type { ProcessIdentity } from "@flotilla/edge-agent/app/state/ports";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { DeviceShare } from "@flotilla/shared/model/desired-state";
import type { Probe } from "@flotilla/shared/model/workload";
import type { Depot } from "../artifact/depot.ts";
import type { Bugs } from "../bugs.ts";
import type { ProcessLife } from "../world/process-life.ts";
import type { Dice } from "../world/seeds.ts";
import { exitKey, type Machine, type SimProcess } from "./machine.ts";

/** Exit code of a process that a signal ended: 128 + number. */
const EXIT_TERM = 143;
const EXIT_KILL = 137;

export interface RuntimeDeps {
  readonly machine: Machine;
  readonly life: ProcessLife;
  readonly dice: Dice;
  readonly bugs: Bugs;
  readonly depot: Pick<Depot, "flawOf">;
}

/**
 * Host processes of one machine as the agent sees them. Programs: `service` runs on, `job <ms> <failure ratio>` ends by
 * itself, `stubborn` ignores SIGTERM; anything else is not found.
 */
export class SimRuntime implements ProcessRuntime, WorkloadSignals {
  readonly #deps: RuntimeDeps;
  /** Exit codes that only their parent knows. */
  readonly #children = new Map<string, ExitStatus>();

  constructor(deps: RuntimeDeps) {
    this.#deps = deps;
    if (deps.bugs.has("forget-exit-records")) deps.machine.exits.clear();
  }

  start(request: StartRequest): StartOutcome {
    const program = request.container.command?.[0] ?? "";
    return this.#deps.life.call((): StartOutcome => {
      if (!["service", "job", "stubborn"].includes(program))
        return { ok: false, reason: "CommandNotFound", message: `${program} was not found` };
      const { machine } = this.#deps;
      const process = machine.spawn({
        instanceId: request.instanceId,
        runId: request.runId,
        container: request.container.name,
        specDigest: request.environment["FLOTILLA_SPEC"] ?? "",
        command: request.container.command ?? [],
        devices: devicesOf(request.environment),
        recordExit: request.recordExit,
        hasArtifacts: request.environment["FLOTILLA_ARTIFACTS"] !== undefined,
        parent: this.#deps.life,
      });
      if (program === "job") this.#planEnd(process);
      if (process.hasArtifacts) this.#looksAtFiles(process);
      const { pid, startTicks, bootId } = process;
      return {
        ok: true,
        process: { pid, startTicks, bootId, container: request.container.name },
      };
    });
  }

  findAll(): readonly FoundProcess[] {
    return this.#deps.life.call(() => {
      if (this.#deps.bugs.has("blind-to-orphans")) return [];
      return [...this.#deps.machine.processes.values()].map((p) => ({
        pid: p.pid,
        startTicks: p.startTicks,
        bootId: p.bootId,
        container: p.container,
        instanceId: p.instanceId,
        runId: p.runId,
        specDigest: p.specDigest,
        leadsGroup: true,
      }));
    });
  }

  isAlive(identity: ProcessIdentity): boolean {
    return this.#deps.life.call(
      () => this.#find(identity) !== undefined || this.#isStranger(identity.pid),
    );
  }

  signal(identities: readonly ProcessIdentity[], signal: "SIGTERM" | "SIGKILL"): void {
    this.#deps.life.call(() => {
      for (const identity of identities) {
        const { machine } = this.#deps;
        if (this.#isStranger(identity.pid)) machine.witness.struckStranger(machine, identity.pid);
        const process = this.#find(identity);
        if (process !== undefined && !this.#deps.bugs.has("lose-signals"))
          this.#send(process, signal);
      }
    });
  }

  tell(): void {
    this.#deps.life.call(() => undefined);
  }

  /** What runs finds other files from now on. */
  filesChanged(instanceId: string): void {
    for (const process of this.#deps.machine.processes.values())
      if (process.instanceId === instanceId && process.hasArtifacts) this.#looksAtFiles(process);
  }

  /** A program does as its files are. */
  #looksAtFiles(process: SimProcess): void {
    const { depot, dice, machine } = this.#deps;
    const half = machine.artifacts.current(process.instanceId) ?? [];
    const flaw = depot.flawOf(half.map((file) => file.data));
    process.isSpoiled = flaw === "never-ready";
    if (flaw === "exits")
      machine.endAfter(process, dice.between(50, 2_000), () => this.#ended(process, 1));
  }

  exitOf(request: {
    readonly instanceId: string;
    readonly runId: string;
    readonly container: string;
  }): ExitStatus | undefined {
    const key = exitKey(request);
    return this.#deps.life.call(() => this.#deps.machine.exits.get(key) ?? this.#children.get(key));
  }

  forget(instanceId: string): void {
    this.#deps.life.call(() => {
      const { exits } = this.#deps.machine;
      for (const key of exits.keys()) if (key.startsWith(`${instanceId} `)) exits.delete(key);
    });
  }

  boundLogs(): void {
    this.#deps.life.call(() => undefined);
  }

  readLog(): LogTail | undefined {
    return { text: "log\n", truncated: false };
  }

  /** Only who goes by pids alone takes a stranger for a workload. */
  #isStranger(pid: number): boolean {
    return this.#deps.bugs.has("adopt-without-start-time") && this.#deps.machine.strangers.has(pid);
  }

  #find(identity: ProcessIdentity): SimProcess | undefined {
    const process = this.#deps.machine.processes.get(identity.pid);
    if (process === undefined || this.#deps.bugs.has("adopt-without-start-time")) return process;
    const same = process.startTicks === identity.startTicks && process.bootId === identity.bootId;
    return same ? process : undefined;
  }

  #send(process: SimProcess, signal: "SIGTERM" | "SIGKILL"): void {
    const { machine, dice } = this.#deps;
    machine.loop.trace.say(`${machine.name}: ${signal} to ${process.pid} ${process.instanceId}`);
    machine.witness.signalled(machine, process, signal);
    if (signal === "SIGKILL") {
      machine.endAfter(process, dice.between(0.1, 5), () => this.#ended(process, EXIT_KILL));
      return;
    }
    const delayMs = process.command[0] === "stubborn" ? 3_600_000 : dice.exponential(300);
    machine.endAfter(process, delayMs, () => this.#ended(process, EXIT_TERM));
  }

  #planEnd(process: SimProcess): void {
    const { machine, dice } = this.#deps;
    const [, runsMs = "5000", failureRatio = "0"] = process.command;
    const exitCode = dice.chance(Number(failureRatio)) ? 1 : 0;
    machine.endAfter(process, Number(runsMs), () => this.#ended(process, exitCode));
  }

  /** Recorded by the wrapper around the program, if it was asked to; else the parent hears of it, if it lives. */
  #ended(process: SimProcess, exitCode: number): void {
    const { machine } = this.#deps;
    if (exitCode === 0) machine.witness.succeeded(machine, process);
    machine.loop.trace.say(
      `${machine.name}: ${process.instanceId} pid ${process.pid} ends with ${exitCode}`,
    );
    if (process.recordExit) machine.recordExit(process, exitCode);
    else if (process.parent.isAlive)
      this.#children.set(exitKey(process), { exitCode, finishedWallMs: machine.wallMs() });
  }
}

/** As a program reads them. */
function devicesOf(environment: StartRequest["environment"]): readonly DeviceShare[] {
  const milli = Number(environment["FLOTILLA_GPU_MILLI"] ?? 0);
  const uuids = environment["NVIDIA_VISIBLE_DEVICES"]?.split(",") ?? [];
  return uuids.map((uuid) => ({ uuid, milli }));
}

/** Probes look at the process itself: alive and healthy. */
export class SimProbeRunner implements ProbeRunner {
  readonly #machine: Machine;
  readonly #clock: Clock;
  readonly #dice: Dice;

  constructor(deps: { readonly machine: Machine; readonly clock: Clock; readonly dice: Dice }) {
    this.#machine = deps.machine;
    this.#clock = deps.clock;
    this.#dice = deps.dice;
  }

  async run(_probe: Probe, context: ProbeContext, signal: AbortSignal): Promise<ProbeOutcome> {
    await this.#clock.sleep(this.#dice.between(1, 40), signal).catch(() => undefined);
    const runId = context.environment["FLOTILLA_RUN"];
    const process = [...this.#machine.processes.values()].find(
      (p) => p.runId === runId && p.container === context.container.name,
    );
    if (process === undefined) return { ok: false, message: "connection refused" };
    return process.isHealthy && !process.isSpoiled
      ? { ok: true, message: "" }
      : { ok: false, message: "no answer" };
  }
}
