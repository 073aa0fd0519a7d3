import { spawn } from "node:child_process";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { resolve } from "node:path";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Container, Probe } from "@flotilla/shared/model/workload";
import type { ProbeContext, ProbeOutcome, ProbeRunner } from "../../app/reconcile/ports.ts";
import { findProgram } from "../runtime/find-program.ts";

/** Most bytes read of a probed page or of a probe command's output; the rest is not looked at. */
export const PROBE_BODY_BYTES_MAX: number = 10 * 1024;
/** How long the output of a probe command that has ended is waited for. */
const LAST_WORDS_MS = 50;
/** Longest message of an outcome, characters. */
const MESSAGE_LENGTH_MAX = 200;
/** Most redirects that are followed, all to the same host and port. */
const REDIRECTS_MAX = 5;

const PASSED: ProbeOutcome = { ok: true, message: "" };

type HttpGet = NonNullable<Probe["httpGet"]>;
type TcpSocket = NonNullable<Probe["tcpSocket"]>;

/** Runs health probes as the kubelet does: exec by exit code, httpGet by status 200–399, tcpSocket by connecting. */
export class HostProbeRunner implements ProbeRunner {
  readonly #workDir: string;

  constructor(
    options: {
      /** As the runtime's: where exec probes start whose container names no folder; default: the agent's. */
      readonly workDir?: string;
    } = {},
  ) {
    this.#workDir = options.workDir ?? process.cwd();
  }

  async run(probe: Probe, context: ProbeContext, signal: AbortSignal): Promise<ProbeOutcome> {
    const timeout = AbortSignal.timeout(context.timeoutMs);
    const until = AbortSignal.any([signal, timeout]);
    try {
      const outcome = await runKind(
        probe,
        { ...context, workingDir: this.#workingDirOf(context) },
        until,
      );
      return timeout.aborted && !outcome.ok ? timedOut(context) : outcome;
    } catch (error) {
      return timeout.aborted ? timedOut(context) : failed(messageOf(error));
    }
  }

  #workingDirOf(context: ProbeContext): string {
    return resolve(this.#workDir, context.container.workingDir ?? ".");
  }
}

/** With the folder that exec starts in. */
type PlacedContext = ProbeContext & { readonly workingDir: string };

function runKind(probe: Probe, context: PlacedContext, signal: AbortSignal): Promise<ProbeOutcome> {
  if (probe.exec !== undefined) return runExec(probe.exec.command, context, signal);
  if (probe.httpGet !== undefined) return runHttp(probe.httpGet, context, signal);
  if (probe.tcpSocket !== undefined) return runTcp(probe.tcpSocket, context, signal);
  return Promise.resolve(failed("the probe has none of exec, httpGet and tcpSocket"));
}

/** The command in a process group of its own, so that at the time-out all that it started ends with it. */
function runExec(
  command: readonly string[],
  context: PlacedContext,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const [name = "", ...args] = command;
  const { workingDir } = context;
  const found = findProgram(name, { workingDir, path: context.environment["PATH"] });
  if (!found.ok) return Promise.resolve(failed(`exec ${found.message}`));
  return new Promise((resolve) => {
    const child = spawn(found.path, args, {
      cwd: workingDir,
      env: { ...context.environment },
      detached: true,
      shell: false,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = collectOutput(child.stdout, child.stderr);
    const onAbort = (): void => killGroup(child.pid);
    signal.addEventListener("abort", onAbort, { once: true });
    const end = (outcome: () => ProbeOutcome): void => {
      signal.removeEventListener("abort", onAbort);
      // Its last words are still in the pipes; a grandchild that holds them open must not hold the probe.
      const finish = (): void => {
        clearTimeout(timer);
        child.stdout.destroy();
        child.stderr.destroy();
        resolve(outcome());
      };
      const timer = setTimeout(finish, LAST_WORDS_MS);
      child.once("close", finish);
    };
    child.once("error", (error) => end(() => failed(`exec: ${error.message}`)));
    child.once("exit", (code, killedBy) => {
      const how = code === null ? String(killedBy) : `exit code ${code}`;
      end(() => (code === 0 ? PASSED : failed(`exec: ${how}${output()}`)));
    });
    if (signal.aborted) onAbort();
  });
}

function collectOutput(...streams: readonly NodeJS.ReadableStream[]): () => string {
  let text = "";
  for (const stream of streams)
    stream.on("data", (chunk: Buffer) => {
      if (text.length < PROBE_BODY_BYTES_MAX) text += chunk.toString("utf8");
    });
  return () => (text.trim() === "" ? "" : `: ${text.trim()}`);
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

async function runHttp(
  probe: HttpGet,
  context: ProbeContext,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const port = portOf(probe.port, context.container);
  if (port === undefined) return unknownPort(probe.port);
  const scheme = (probe.scheme ?? "HTTP").toLowerCase();
  const path = probe.path ?? "/";
  const first = URL.parse(
    `${scheme}://${bracketed(probe.host ?? context.host)}:${port}${path.startsWith("/") ? "" : "/"}${path}`,
  );
  if (first === null) return failed("httpGet: host and path make no URL");
  let url = first;
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
    const { status, location } = await get(url, probe, signal);
    if (status < 200 || status > 399) return failed(`httpGet ${url.pathname}: status ${status}`);
    const next = location === undefined ? null : URL.parse(location, url.href);
    // Another host's answer says nothing of this workload: the redirect itself counts as alive.
    if (status < 300 || next === null || next.origin !== first.origin) return PASSED;
    url = next;
  }
  return failed(`httpGet ${first.pathname}: more than ${REDIRECTS_MAX} redirects`);
}

function get(
  url: URL,
  probe: HttpGet,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly location: string | undefined }> {
  const headers = Object.fromEntries((probe.httpHeaders ?? []).map((h) => [h.name, h.value]));
  const options = {
    signal,
    headers: { "user-agent": "flotilla-probe", accept: "*/*", connection: "close", ...headers },
    agent: false,
  } as const;
  return new Promise((resolve, reject) => {
    const request =
      url.protocol === "https:"
        ? // The name may be any, for a probe goes to an address; the chain must be one that this node trusts.
          httpsRequest(url, { ...options, checkServerIdentity: () => undefined })
        : httpRequest(url, options);
    request.once("error", reject);
    request.once("response", (response) => {
      const { statusCode: status = 0, headers: answered } = response;
      let bytes = 0;
      const done = (): void => {
        resolve({ status, location: answered.location });
        response.destroy();
      };
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes >= PROBE_BODY_BYTES_MAX) done();
      });
      response.once("end", done);
      response.once("error", reject);
    });
    request.end();
  });
}

function runTcp(
  probe: TcpSocket,
  context: ProbeContext,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const port = portOf(probe.port, context.container);
  if (port === undefined) return Promise.resolve(unknownPort(probe.port));
  return new Promise((resolve) => {
    const socket = connect({ host: probe.host ?? context.host, port, signal });
    socket.once("connect", () => {
      socket.destroy();
      resolve(PASSED);
    });
    socket.once("error", (error) => resolve(failed(`tcpSocket ${port}: ${error.message}`)));
  });
}

/** A number, a number as text, or the name of one of the container's ports. */
function portOf(port: number | string, container: Container): number | undefined {
  const named = container.ports?.find((p) => p.name === port);
  const number = named?.containerPort ?? Number(port);
  return Number.isInteger(number) && number >= 1 && number <= 65_535 ? number : undefined;
}

function unknownPort(port: number | string): ProbeOutcome {
  return failed(`port "${port}" is no number and no name in the container's ports`);
}

function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

function timedOut(context: ProbeContext): ProbeOutcome {
  return failed(`no answer within ${context.timeoutMs} ms`);
}

function failed(message: string): ProbeOutcome {
  return { ok: false, message: message.slice(0, MESSAGE_LENGTH_MAX) };
}
