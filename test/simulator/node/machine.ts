import type { SlotName } from "@flotilla/edge-agent/app/artifact/ports";
import type { ProcessIdentity } from "@flotilla/edge-agent/app/state/ports";
import { randomHex } from "@flotilla/shared/kernel/random";
import type { Capacity, Gpu } from "@flotilla/shared/model/capacity";
import type { DeviceShare } from "@flotilla/shared/model/desired-state";
import type { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { ArtifactDisk } from "../artifact/artifact-disk.ts";
import type { Road } from "../net/network.ts";
import type { EventLoop, Owner, Timer } from "../world/event-loop.ts";
import type { MachineTime } from "../world/process-life.ts";
import { AgentDisk } from "./agent-disk.ts";

/** Programs of others that a machine starts when it boots; they take pids that workloads had before. */
const STRANGERS_MAX = 8;
/** Pids are few, so that they come again soon. */
const PID_MIN = 100;
const PID_COUNT = 24;

/** A program that runs on the machine. */
export interface SimProcess extends ProcessIdentity {
  readonly instanceId: string;
  readonly runId: string;
  readonly container: string;
  readonly specDigest: string;
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** What its environment says that it may use. */
  readonly devices: readonly DeviceShare[];
  /** A wrapper writes the exit status to the disk. */
  readonly recordExit: boolean;
  /** The agent that started it; hears of its end while it lives. */
  readonly parent: { readonly isAlive: boolean };
  readonly startedMs: number;
  /** False: its probes fail. */
  isHealthy: boolean;
  /** The artifacts that it found are such that it is never ready. */
  isSpoiled: boolean;
  /** It was told where its artifacts are. */
  readonly hasArtifacts: boolean;
  /** It was asked to end, with good reason; what follows needs none. */
  isDoomed: boolean;
  exit: Timer | undefined;
  /** The agent has lost its record of this run. */
  isForgotten: boolean;
}

/** How a process ended, as the wrapper that recorded it wrote it down. */
export interface ExitRecord {
  readonly exitCode: number;
  readonly finishedWallMs: number;
}

/** What the checks want to see of a machine. */
export interface MachineWitness {
  started(machine: Machine, process: SimProcess): void;
  signalled(machine: Machine, process: SimProcess, signal: "SIGTERM" | "SIGKILL"): void;
  /** The agent signals a program that it has not started. */
  struckStranger(machine: Machine, pid: number): void;
  /** `current` of an instance leads to another half. */
  switched(machine: Machine, id: string, slot: SlotName): void;
  /** Ended by itself with exit code 0. */
  succeeded(machine: Machine, process: SimProcess): void;
}

/** One node's hardware and kernel: clocks, disk, process table, power. Everything that outlives the agent. */
export class Machine implements MachineTime, Owner {
  readonly name: string;
  readonly machine: string;
  readonly road: Road;
  readonly disk: AgentDisk = new AgentDisk();
  readonly artifacts: ArtifactDisk = new ArtifactDisk();
  readonly processes = new Map<number, SimProcess>();
  /** Pids of programs that are none of the agent's business. */
  readonly strangers = new Set<number>();
  /** Exit records, which lie on the disk. */
  readonly exits = new Map<string, ExitRecord>();
  readonly witness: MachineWitness;
  readonly loop: EventLoop;
  readonly random: SeededRandom;
  readonly capacity: Capacity;
  readonly cards: readonly Gpu[];
  bootId = "";
  isPowered = false;
  isAsleep = false;
  bootCount = 0;
  #bootedMs = 0;
  #wallOffsetMs = 1_764_000_000_000;
  #nextPid = 0;

  constructor(
    name: string,
    deps: {
      readonly road: Road;
      readonly loop: EventLoop;
      readonly random: SeededRandom;
      readonly witness: MachineWitness;
      readonly capacity: Capacity;
      readonly cards: readonly Gpu[];
    },
  ) {
    this.name = name;
    this.machine = name;
    this.road = deps.road;
    this.loop = deps.loop;
    this.random = deps.random;
    this.witness = deps.witness;
    this.capacity = deps.capacity;
    this.cards = deps.cards;
  }

  get isAlive(): boolean {
    return this.isPowered;
  }

  bootMs(): number {
    return Math.floor(this.loop.nowMs - this.#bootedMs);
  }

  wallMs(): number {
    return Math.floor(Math.max(0, this.#wallOffsetMs + this.loop.nowMs));
  }

  setWall(wallMs: number): void {
    this.#wallOffsetMs = wallMs - this.loop.nowMs;
  }

  powerOn(): void {
    this.isPowered = true;
    this.bootCount++;
    // The firmware and the kernel have taken a moment before the first program runs.
    this.#bootedMs = this.loop.nowMs - 2_000;
    this.bootId = randomHex(this.random, 8, "boot-id");
    this.#nextPid = 0;
    const strangerCount = Math.floor(this.random.unit("strangers") * (STRANGERS_MAX + 1));
    for (let i = 0; i < strangerCount; i++)
      this.strangers.add(PID_MIN + Math.floor(this.random.unit("strangers") * PID_COUNT));
    this.loop.trace.say(`${this.name}: boots`);
  }

  /** Every program is gone at once; what was written stays. */
  powerOff(): void {
    this.isPowered = false;
    for (const process of this.processes.values()) process.exit?.cancel();
    this.processes.clear();
    this.strangers.clear();
    this.loop.trace.say(`${this.name}: the power fails`);
  }

  spawn(
    facts: Omit<
      SimProcess,
      | "pid"
      | "startTicks"
      | "bootId"
      | "startedMs"
      | "isHealthy"
      | "isSpoiled"
      | "isDoomed"
      | "exit"
      | "isForgotten"
    >,
  ): SimProcess {
    const process: SimProcess = {
      ...facts,
      pid: this.#freePid(),
      startTicks: Math.floor(this.bootMs() / 10),
      bootId: this.bootId,
      startedMs: this.loop.nowMs,
      isHealthy: true,
      isSpoiled: false,
      isDoomed: false,
      exit: undefined,
      isForgotten: false,
    };
    this.processes.set(process.pid, process);
    this.loop.trace.say(
      `${this.name}: ${process.instanceId} starts as ${process.pid}, run ${process.runId}, spec ${process.specDigest.slice(0, 8)}`,
    );
    this.witness.started(this, process);
    return process;
  }

  /** The process ends after `delayMs`, sooner if something else was planned. */
  endAfter(process: SimProcess, delayMs: number, end: () => void): void {
    process.exit?.cancel();
    process.exit = this.loop.schedule(delayMs, this, `pid ${process.pid} ends`, () => {
      this.end(process);
      end();
    });
  }

  end(process: SimProcess): void {
    process.exit?.cancel();
    if (this.processes.get(process.pid) === process) this.processes.delete(process.pid);
  }

  /** What the wrapper around a program writes when it ends. */
  recordExit(process: SimProcess, exitCode: number): void {
    this.exits.set(exitKey(process), { exitCode, finishedWallMs: this.wallMs() });
  }

  #freePid(): number {
    for (let i = 0; i < PID_COUNT * 4; i++) {
      const pid = PID_MIN + (this.#nextPid++ % (i < PID_COUNT ? PID_COUNT : PID_COUNT * 4));
      if (!this.processes.has(pid) && !this.strangers.has(pid)) return pid;
    }
    throw new Error(`${this.name} has no free pid`);
  }
}

/** Names the exit of one container of one run. */
export function exitKey(run: {
  readonly instanceId: string;
  readonly runId: string;
  readonly container: string;
}): string {
  return `${run.instanceId} ${run.runId} ${run.container}`;
}
