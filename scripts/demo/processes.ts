import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";

/** Root of the checkout. */
export const ROOT: string = join(import.meta.dirname, "../..");

/** Longest wait for one thing of the demo to come true. */
const WAIT_TIMEOUT_MS = 60_000;
const WAIT_POLL_MS = 100;

/** A bundled program of ours. */
export type Program = "flotilla-hub" | "flotilla-agent" | "flotilla";

/** Programs that the demo started and that must not outlive it. */
export class Processes {
  readonly #children = new Set<ChildProcess>();
  readonly #environment: NodeJS.ProcessEnv;
  #isClosed = false;

  constructor(options: { readonly environment: Readonly<Record<string, string>> }) {
    this.#environment = { ...process.env, ...options.environment };
  }

  /** Starts a program that stays; its output goes to a file. */
  start(program: Program, args: readonly string[], logFile: string): ChildProcess {
    this.#refuseWhenClosed();
    const log = openSync(logFile, "a");
    const child = spawn(process.execPath, [bundle(program), ...args], {
      cwd: ROOT,
      env: this.#environment,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    return this.#track(child);
  }

  /** Runs a program to its end and returns its standard output; a failure carries what it said. */
  run(program: Program, args: readonly string[]): Promise<string> {
    return this.#end(program, [bundle(program), ...args]);
  }

  /** Runs a script of the checkout to its end, likewise. */
  script(path: string, args: readonly string[]): Promise<string> {
    return this.#end(path, [join(ROOT, path), ...args]);
  }

  #end(name: string, args: readonly string[]): Promise<string> {
    this.#refuseWhenClosed();
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [...args], {
        cwd: ROOT,
        env: this.#environment,
        stdio: ["ignore", "pipe", "pipe"],
      });
      this.#track(child);
      let out = "";
      let err = "";
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => (out += chunk));
      child.stderr.setEncoding("utf8").on("data", (chunk: string) => (err += chunk));
      child.on("error", reject);
      child.on("close", (code) =>
        code === 0
          ? resolve(out)
          : reject(
              new Error(`${name} ${args.slice(1).join(" ")} ended with ${code}:\n${err}${out}`),
            ),
      );
    });
  }

  /** Ends what is still there, gently and then not. From here on nothing is started: the story may still be under way. */
  async stopAll(): Promise<void> {
    this.#isClosed = true;
    const ends = [...this.#children].map((child) => stop(child));
    await Promise.all(ends);
  }

  #track<T extends ChildProcess>(child: T): T {
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  #refuseWhenClosed(): void {
    if (this.#isClosed) throw new Error("the demo is over");
  }
}

function bundle(program: Program): string {
  return join(ROOT, "dist", `${program}.mjs`);
}

/** SIGTERM, and SIGKILL after five seconds. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await ended;
  clearTimeout(timer);
}

/** Polls until `check` gives a value; a failure names what was waited for and the last error. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined>,
  timeoutMs: number = WAIT_TIMEOUT_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last = "";
  while (performance.now() < deadline) {
    try {
      const value = await check();
      if (value !== undefined) return value;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, WAIT_POLL_MS));
  }
  throw new Error(
    `waited ${timeoutMs / 1000} s for ${what}${last === "" ? "" : `; last: ${last}`}`,
  );
}

/** Throws when one of these addresses cannot be listened on: what is placed there would fail for no reason that is seen. */
export async function refuseTaken(
  places: readonly { readonly host: string; readonly port: number }[],
): Promise<void> {
  for (const { host, port } of places) {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) =>
        reject(
          new Error(
            error.code === "EADDRINUSE"
              ? `${host}:${port} is taken by another program, perhaps another demo; end that first`
              : `${host}:${port} cannot be listened on (${error.code}); the demo needs Linux's loopback addresses`,
          ),
        ),
      );
      server.listen({ host, port }, resolve);
    });
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Ports that are free now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Processes whose environment holds this entry: workloads outlive their agents, so the demo finds its own this way. */
export function processesWithEnvironment(entry: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(entry);
      } catch {
        return false;
      }
    });
}

/** Kills a process if it is there. */
export function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself: that is what was wanted.
  }
}
