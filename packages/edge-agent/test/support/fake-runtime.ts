import { must } from "@flotilla/shared/kernel/assert";
import type {
  ExitStatus,
  FoundProcess,
  LogTail,
  ProcessRuntime,
  StartOutcome,
  StartRequest,
  WorkloadSignals,
} from "../../src/app/reconcile/ports.ts";
import type { ProcessIdentity } from "../../src/app/state/ports.ts";
import { devicesOfRun } from "../../src/domain/reconcile/devices.ts";

interface FakeProcess extends FoundProcess {
  readonly group: number;
  readonly program: string;
  readonly recordExit: boolean;
  readonly exitCode: number;
}

/**
 * A machine with made-up processes. `command[0]` says what a program does: `serve` stays, `stubborn` stays and ignores
 * SIGTERM, `fork` stays with a child in the same group, `exit` ends with the code in `command[1]` at the next `settle`,
 * `missing` is not there. Outlives every agent; `reboot` ends them all.
 */
export class FakeRuntime implements ProcessRuntime, WorkloadSignals {
  readonly #processes = new Map<number, FakeProcess>();
  readonly #durableExits = new Map<string, ExitStatus>();
  readonly #memoryExits = new Map<string, ExitStatus>();
  #nextPid = 100;
  #bootId: string;
  #bootCount = 1;
  /** Called before each deed; throws to play an agent's death. */
  beforeDeed: () => void = () => undefined;
  /** Boot clock for start times. */
  readonly #bootMs: () => number;
  readonly #logs = new Set<string>();
  /** Every start that succeeded, as `instance/container`. */
  readonly starts: string[] = [];
  /** What must never be: two live copies of one container, a device that is used beyond its whole. */
  readonly violations: string[] = [];

  constructor(options: { readonly bootMs: () => number }) {
    this.#bootMs = options.bootMs;
    this.#bootId = "boot-1";
  }

  get bootId(): string {
    return this.#bootId;
  }

  start(request: StartRequest): StartOutcome {
    this.beforeDeed();
    const [program = "", code = "0"] = request.container.command ?? [];
    if (program === "missing")
      return { ok: false, reason: "CommandNotFound", message: "command: missing was not found" };
    const leader = this.#add(request, program, Number(code), undefined);
    if (program === "fork") this.#add(request, "serve", 0, leader.pid);
    this.#logs.add(request.instanceId);
    this.starts.push(`${request.instanceId}/${request.container.name}`);
    this.#checkCopies(request);
    this.#checkDevices();
    const { pid, startTicks, bootId, container } = leader;
    return { ok: true, process: { pid, startTicks, bootId, container } };
  }

  findAll(): readonly FoundProcess[] {
    return [...this.#processes.values()];
  }

  isAlive(identity: ProcessIdentity): boolean {
    const process = this.#processes.get(identity.pid);
    return process?.startTicks === identity.startTicks && process.bootId === identity.bootId;
  }

  signal(identities: readonly ProcessIdentity[], signal: "SIGTERM" | "SIGKILL"): void {
    this.beforeDeed();
    const alive = identities.filter((i) => this.isAlive(i));
    const groups = new Set(alive.map((i) => must(this.#processes.get(i.pid), "alive").group));
    for (const process of this.#processes.values())
      if (groups.has(process.group) && (signal === "SIGKILL" || process.program !== "stubborn"))
        this.#end(process, signal === "SIGKILL" ? 137 : 143);
  }

  /** Signals that were told, as `instance/container signal`. */
  readonly told: string[] = [];

  tell(identities: readonly ProcessIdentity[], notice: { readonly signal: string }): void {
    this.beforeDeed();
    for (const identity of identities) {
      const process = this.isAlive(identity) ? this.#processes.get(identity.pid) : undefined;
      if (process !== undefined)
        this.told.push(`${process.instanceId}/${process.container} ${notice.signal}`);
    }
  }

  exitOf(run: {
    readonly instanceId: string;
    readonly runId: string;
    readonly container: string;
  }): ExitStatus | undefined {
    const key = `${run.runId}/${run.container}`;
    return this.#memoryExits.get(key) ?? this.#durableExits.get(key);
  }

  forget(instanceId: string): void {
    this.#logs.delete(instanceId);
  }

  boundLogs(): void {}

  readLog(request: { readonly instanceId: string }): LogTail | undefined {
    return this.#logs.has(request.instanceId) ? { text: "a line\n", truncated: false } : undefined;
  }

  /** Programs that end by themselves do. */
  settle(): void {
    for (const process of this.#processes.values())
      if (process.program === "exit") this.#end(process, process.exitCode);
  }

  /** SIGKILL from outside to one process of an instance, chosen by `choice`. */
  killOne(instanceId: string, choice: number): void {
    const all = [...this.#processes.values()].filter((p) => p.instanceId === instanceId);
    const victim = all[choice % Math.max(1, all.length)];
    if (victim !== undefined) this.#end(victim, 137);
  }

  /** The agent's process is gone, and with it what only it knew. */
  loseAgent(): void {
    this.#memoryExits.clear();
  }

  reboot(): void {
    this.#processes.clear();
    this.#memoryExits.clear();
    this.#bootCount++;
    this.#bootId = `boot-${this.#bootCount}`;
  }

  /** Live first processes, as `instance@specDigest`, sorted. */
  running(): readonly string[] {
    return [...this.#processes.values()]
      .filter((p) => p.leadsGroup)
      .map((p) => `${p.instanceId}@${p.specDigest}`)
      .sort();
  }

  #add(
    request: StartRequest,
    program: string,
    exitCode: number,
    group: number | undefined,
  ): FakeProcess {
    const pid = this.#nextPid++;
    const process: FakeProcess = {
      pid,
      startTicks: Math.floor(this.#bootMs() / 10),
      bootId: this.#bootId,
      container: request.container.name,
      instanceId: request.instanceId,
      runId: request.runId,
      specDigest: request.environment["FLOTILLA_SPEC"] ?? "",
      leadsGroup: group === undefined,
      group: group ?? pid,
      program,
      recordExit: request.recordExit,
      exitCode,
    };
    this.#processes.set(pid, process);
    return process;
  }

  #end(process: FakeProcess, exitCode: number): void {
    this.#processes.delete(process.pid);
    if (!process.leadsGroup) return;
    const exits = process.recordExit ? this.#durableExits : this.#memoryExits;
    exits.set(`${process.runId}/${process.container}`, { exitCode, finishedWallMs: 1 });
  }

  #checkDevices(): void {
    const runs = new Map([...this.#processes.values()].map((p) => [p.runId, p.specDigest]));
    const used = new Map<string, number>();
    for (const { uuid, milli } of [...runs.values()].flatMap(devicesOfRun))
      used.set(uuid, (used.get(uuid) ?? 0) + milli);
    for (const [uuid, milli] of used)
      if (milli > 1_000) this.violations.push(`${milli} milli of device ${uuid} are in use`);
  }

  #checkCopies(request: StartRequest): void {
    const copies = [...this.#processes.values()].filter(
      (p) =>
        p.leadsGroup &&
        p.instanceId === request.instanceId &&
        p.container === request.container.name,
    );
    if (copies.length > 1)
      this.violations.push(
        `${copies.length} copies of ${request.instanceId}/${request.container.name}`,
      );
  }
}
