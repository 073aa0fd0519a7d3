import { existsSync } from "node:fs";
import { join } from "node:path";
import { HubApi } from "./hub-api.ts";
import { ProgramProcess } from "./program-process.ts";
import { until } from "./until.ts";

export interface HubOptions {
  /** Folder of the bundles. */
  readonly programs: string;
  readonly folder: string;
  readonly name: string;
  readonly apiPort: number;
  readonly mqttPort: number;
  readonly artifactPort: number;
  readonly uploadPort: number;
  /** Where nodes are told that artifacts are, when something stands between them and the hub. */
  readonly advertisedArtifactPort?: number;
}

/** A hub as a process of its own, on ports that stay over restarts. */
export class HubProcess {
  readonly api: HubApi;
  readonly dataDir: string;
  readonly #options: HubOptions;
  #process: ProgramProcess | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
    this.dataDir = join(options.folder, options.name);
    this.api = new HubApi({ kubeconfig: this.kubeconfig });
  }

  get kubeconfig(): string {
    return join(this.dataDir, "kubeconfig");
  }

  get apiPort(): number {
    return this.#options.apiPort;
  }

  get mqttPort(): number {
    return this.#options.mqttPort;
  }

  get artifactPort(): number {
    return this.#options.artifactPort;
  }

  get database(): string {
    return join(this.dataDir, "hub.db");
  }

  get process(): ProgramProcess {
    if (this.#process === undefined) throw new Error("the hub was not started");
    return this.#process;
  }

  /** The program and its arguments. */
  get command(): readonly [string, ...string[]] {
    const { programs, apiPort, mqttPort, artifactPort, uploadPort } = this.#options;
    const { advertisedArtifactPort: advertised } = this.#options;
    return [
      process.execPath,
      join(programs, "flotilla-hub.mjs"),
      "--data-dir",
      this.dataDir,
      "--api-listen",
      `127.0.0.1:${apiPort}`,
      "--mqtt-listen",
      `127.0.0.1:${mqttPort}`,
      "--artifact-listen",
      `127.0.0.1:${artifactPort}`,
      "--upload-listen",
      `127.0.0.1:${uploadPort}`,
      ...(advertised === undefined ? [] : ["--artifact-advertise", `127.0.0.1:${advertised}`]),
    ];
  }

  /** Starts the process and does not wait for it. */
  spawn(
    prefix: readonly string[] = [],
    logFile: string = join(this.#options.folder, `${this.#options.name}.log`),
  ): void {
    const [program, ...rest] = [...prefix, ...this.command];
    this.#process = new ProgramProcess({
      command: [program ?? "", ...rest],
      cwd: this.#options.folder,
      logFile,
    });
  }

  /** Starts it and waits until it serves. */
  async start(): Promise<void> {
    this.spawn();
    await this.ready();
  }

  async ready(): Promise<void> {
    await until("the hub to be ready", async () => {
      if (!this.process.isRunning) throw new Error("the hub has ended");
      if (!existsSync(this.kubeconfig)) return undefined;
      return (await this.api.request("GET", "/readyz")).status === 200;
    });
  }

  /** Ends the process and what belongs to this test alone; for the end of a test. */
  async end(): Promise<void> {
    this.api.close();
    await this.#process?.kill9();
  }

  killNow(): void {
    this.#process?.killNow();
  }
}
