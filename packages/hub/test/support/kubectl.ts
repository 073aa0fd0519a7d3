import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";
import { kubeconfigText } from "../../src/adapters/http/kubeconfig.ts";
import { TEST_TOKEN, type TestServer } from "./http-server.ts";

/** A kubectl that was found, by version. */
export interface FoundKubectl {
  /** `1.29`. */
  readonly version: string;
  readonly path: string;
}

/** Oldest minor version that is served; older ones need OpenAPI v2. */
const MINOR_MIN = 29;

/** Every kubectl of a served version beside the one on the PATH, oldest first; else that one, if it is new enough. */
export async function findKubectls(): Promise<readonly FoundKubectl[]> {
  const onPath = (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((dir) => join(dir, "kubectl"))
    .find((path) => existsSync(path));
  if (onPath === undefined) return [];
  const real = realpathSync(onPath);
  const minors = readdirSync(dirname(real))
    .map((file) => Number(/^kubectl\.1\.(\d+)$/.exec(file)?.[1] ?? 0))
    .filter((minor) => minor >= MINOR_MIN)
    .sort((a, b) => a - b);
  if (minors.length > 0)
    return minors.map((minor) => ({
      version: `1.${minor}`,
      path: `${dirname(real)}/kubectl.1.${minor}`,
    }));
  const minor = await minorOf(real);
  return minor >= MINOR_MIN ? [{ version: `1.${minor}`, path: real }] : [];
}

/** Minor version of a kubectl; 0 when it does not say. */
async function minorOf(path: string): Promise<number> {
  const { stdout } = await promisify(execFile)(path, ["version", "--client", "-o", "json"]);
  return Number(/"gitVersion": *"v1\.(\d+)\./.exec(stdout)?.[1] ?? 0);
}

export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** kubectl against a test server, with a kubeconfig and caches of its own. */
export class Kubectl {
  readonly #path: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(found: FoundKubectl, hub: TestServer) {
    const dir = mkdtempSync(join(tmpdir(), "flotilla-kubectl-"));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    const kubeconfig = join(dir, "kubeconfig");
    writeFileSync(
      kubeconfig,
      kubeconfigText({
        name: "flotilla",
        server: `https://127.0.0.1:${hub.port}`,
        caCertificate: hub.tls.caCertificate,
        token: TEST_TOKEN,
      }),
      { mode: 0o600 },
    );
    this.#path = found.path;
    this.#env = {
      PATH: "/usr/bin:/bin",
      HOME: dir,
      KUBECONFIG: kubeconfig,
      KUBECACHEDIR: dir,
      LC_ALL: "C",
    };
  }

  /** Runs to its end. `stdin` goes in whole. */
  async run(args: readonly string[], stdin = ""): Promise<KubectlResult> {
    const child = this.start(args);
    const out = collect(child);
    child.stdin?.end(stdin);
    const code = await new Promise<number>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (exit) => resolve(exit ?? -1));
    });
    return { code, ...out };
  }

  /** The standard output of a run that must succeed. */
  async ok(args: readonly string[], stdin = ""): Promise<string> {
    const result = await this.run(args, stdin);
    if (result.code !== 0)
      throw new Error(
        `kubectl ${args.join(" ")} ended with ${result.code}: ${result.stderr}${result.stdout}`,
      );
    return result.stdout;
  }

  /** Starts it and leaves it running; killed after the test. */
  start(args: readonly string[]): ChildProcess {
    const child = spawn(this.#path, args, {
      env: this.#env,
      timeout: 30_000,
      killSignal: "SIGKILL",
    });
    onTestFinished(() => {
      child.kill("SIGKILL");
    });
    return child;
  }
}

/** Text of both streams as it grows. */
export function collect(child: ChildProcess): { stdout: string; stderr: string } {
  const out = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk: Buffer) => {
    out.stdout += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    out.stderr += chunk.toString();
  });
  return out;
}
