import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";

/** SIGTERM is followed by SIGKILL after this long, which then fails the test by its exit status. */
const STOP_TIMEOUT_MS = 20_000;

export interface ProgramOptions {
  readonly command: readonly [string, ...string[]];
  readonly logFile: string;
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** One real process of ours, with its output in a file. */
export class ProgramProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number>;
  readonly #logFile: string;

  constructor(options: ProgramOptions) {
    const log = openSync(options.logFile, "a");
    const [program, ...args] = options.command;
    this.#child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, NO_COLOR: "1", ...options.env },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#logFile = options.logFile;
    this.#ended = new Promise((resolve) => {
      // `exit`, not `close`: nothing is read from it here.
      this.#child.once("exit", (code) => resolve(code ?? -1));
      this.#child.once("error", () => resolve(-1));
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Exit status; -1 for a signal. */
  get ended(): Promise<number> {
    return this.#ended;
  }

  /** What it has written so far. */
  get output(): string {
    return readFileSync(this.#logFile, "utf8");
  }

  async kill9(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  /** SIGTERM; answers the exit status, -1 when it had to be killed. */
  async terminate(): Promise<number> {
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    const status = await this.#ended;
    clearTimeout(timer);
    return status;
  }

  /** Without a wait, for a test process that is about to end. */
  killNow(): void {
    this.#child.kill("SIGKILL");
  }
}
