import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { LocalStatus } from "@flotilla/edge-agent/app/local-api/ports";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { textIfThere } from "./hub-api.ts";
import { ProgramProcess } from "./program-process.ts";
import { until } from "./until.ts";
import { killWorkloads, type WorkloadProcess, workloadProcesses } from "./workload-processes.ts";

export interface AgentOptions {
  readonly programs: string;
  readonly folder: string;
  readonly node: string;
  /** Name of the state directory below the folder; default: the node's name. */
  readonly directory?: string;
  readonly nodeAddress?: string;
}

/** What a command of the agent's program did. */
export interface CommandRun {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** An agent as a process of its own, with its state directory and the workloads that it leaves behind. */
export class AgentProcess {
  readonly node: string;
  readonly stateDir: string;
  readonly #options: AgentOptions;
  #process: ProgramProcess | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.node = options.node;
    this.stateDir = join(options.folder, options.directory ?? options.node);
  }

  get process(): ProgramProcess {
    if (this.#process === undefined) throw new Error(`the agent of ${this.node} was not started`);
    return this.#process;
  }

  get database(): string {
    return join(this.stateDir, "agent.db");
  }

  get runCommand(): readonly [string, ...string[]] {
    return [
      process.execPath,
      this.#program,
      "run",
      "--state-dir",
      this.stateDir,
      "--node-address",
      this.#options.nodeAddress ?? "127.0.0.1",
    ];
  }

  /** Starts `flotilla-agent run`; a prefix is a program that runs it. */
  start(
    given: {
      readonly prefix?: readonly string[];
      readonly env?: Readonly<Record<string, string>>;
      readonly logFile?: string;
      /** More flags. */
      readonly args?: readonly string[];
    } = {},
  ): ProgramProcess {
    const [program, ...rest] = [...(given.prefix ?? []), ...this.runCommand, ...(given.args ?? [])];
    this.#process = this.#spawn([program ?? "", ...rest], given);
    return this.#process;
  }

  /** Starts `flotilla-agent join`. */
  startJoin(joinString: string, env?: Readonly<Record<string, string>>): ProgramProcess {
    return this.#spawn(
      [
        process.execPath,
        this.#program,
        "join",
        joinString,
        "--state-dir",
        this.stateDir,
        "--node-name",
        this.node,
      ],
      env === undefined ? {} : { env },
    );
  }

  /** Runs `flotilla-agent join` to its end. */
  async join(joinString: string, env?: Readonly<Record<string, string>>): Promise<void> {
    const status = await this.startJoin(joinString, env).ended;
    if (status !== 0) throw new Error(`join ended with ${status}:\n${this.output}`);
  }

  /** Runs `flotilla-agent join` and answers what it said. */
  tryJoin(joinString: string): Promise<CommandRun> {
    return this.#command("join", joinString, "--node-name", this.node);
  }

  /** `flotilla-agent status|plan|why|logs …` of the running agent. */
  ask(...args: readonly string[]): Promise<CommandRun> {
    return this.#command(...args);
  }

  /** What the running agent says of itself. */
  async status(): Promise<LocalStatus> {
    const { status, out, err } = await this.#command("status", "-o", "json");
    if (status !== 0) throw new Error(err);
    return JSON.parse(out);
  }

  /** Waits until the agent has a session with the hub. */
  async online(): Promise<LocalStatus> {
    return until(`${this.node} to be connected`, async () => {
      if (!this.process.isRunning) throw new Error("the agent has ended");
      const status = await this.status();
      return status.link.connected && status;
    });
  }

  get output(): string {
    return textIfThere(this.#logFile);
  }

  /** Durable name that its workloads carry; empty before the first run. */
  get agentId(): string {
    return textIfThere(join(this.stateDir, "agent-id")).trim();
  }

  /** Copies of workloads that live now, by instance and pid. */
  copies(): readonly WorkloadProcess[] {
    return this.agentId === "" ? [] : workloadProcesses(this.agentId).filter((p) => p.leadsGroup);
  }

  /** Kills the agent and everything that it has started. */
  async end(): Promise<void> {
    await this.#process?.kill9();
    this.killNow();
  }

  killNow(): void {
    this.#process?.killNow();
    if (this.agentId !== "") killWorkloads(this.agentId);
  }

  get #program(): string {
    return join(this.#options.programs, "flotilla-agent.mjs");
  }

  get #logFile(): string {
    return `${this.stateDir}.log`;
  }

  #spawn(
    command: readonly [string, ...string[]],
    given: { readonly env?: Readonly<Record<string, string>>; readonly logFile?: string },
  ): ProgramProcess {
    return new ProgramProcess({
      command,
      cwd: this.#options.folder,
      logFile: given.logFile ?? this.#logFile,
      ...(given.env === undefined ? {} : { env: given.env }),
    });
  }

  async #command(...args: readonly string[]): Promise<CommandRun> {
    try {
      const { stdout, stderr } = await promisify(execFile)(
        process.execPath,
        [this.#program, ...args, "--state-dir", this.stateDir],
        { timeout: 30_000 },
      );
      return { status: 0, out: stdout, err: stderr };
    } catch (error) {
      const failed: { code?: unknown; stdout?: string; stderr?: string } = Object(error);
      return {
        status: typeof failed.code === "number" ? failed.code : -1,
        out: failed.stdout ?? "",
        err: failed.stderr ?? messageOf(error),
      };
    }
  }
}
