import { chmodSync, lstatSync, rmSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import { connect } from "node:net";
import { CodedError, hasCode, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Service } from "@flotilla/shared/kernel/service";
import { systemCode } from "@flotilla/shared/platform/files";
import type { LocalApi, LocalOperations } from "../../app/local-api/ports.ts";

/** Longest path of a Unix socket: sun_path is 108 bytes with its closing NUL (unix(7)). */
export const SOCKET_PATH_BYTES_MAX = 107;
/** Most callers at once; more are turned away. */
export const LOCAL_CONNECTIONS_MAX = 16;
/** Largest request head. */
export const LOCAL_HEAD_BYTES_MAX: number = 8 * 1024;
/** Longest time for a request to arrive. */
export const LOCAL_REQUEST_TIMEOUT_MS = 5_000;
/** Lines of a log when the caller names no number, and at most. */
export const LOG_LINES_DEFAULT = 100;
export const LOG_LINES_MAX = 10_000;

/** Owner and group: who may read the state directory may ask. */
const SOCKET_MODE = 0o660;

/** Prometheus' text exposition format. */
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Failures of the local socket. */
export type LocalSocketErrorCode = "socket-in-use" | "socket-path-too-long" | "socket-unusable";

interface LocalServerDeps {
  readonly api: LocalApi;
  readonly operations: LocalOperations;
  /** The whole exposition. */
  readonly metricsText: () => Promise<string>;
  readonly log: Log;
}

/** Codes of what an operator asks for and does not get. */
const REFUSALS = ["not-found", "lock-duration-refused", "too-many-locks"] as const;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/**
 * HTTP over a Unix socket in the state directory: `GET /v1/status`, `/v1/plan`, `/v1/artifacts`, `/v1/instances/<id>`,
 * `/v1/instances/<id>/log?container=&tailLines=`, and `GET /metrics` in Prometheus' text format. Who may ask may also hold updates
 * back, and let what failed be tried again: `POST` and `DELETE /v1/locks?instance=&reason=&forMs=`, `POST /v1/instances/<id>/retry`.
 * Nothing can be started, stopped or installed here, and no request has a body.
 */
export class LocalServer implements Service {
  readonly name = "local-api";
  readonly #path: string;
  readonly #deps: LocalServerDeps;

  constructor(options: { readonly socketPath: string }, deps: LocalServerDeps) {
    this.#path = options.socketPath;
    this.#deps = deps;
  }

  /** Throws CodedError when the socket cannot be had. */
  async run(signal: AbortSignal): Promise<void> {
    await makeRoom(this.#path);
    const server = createServer(
      {
        maxHeaderSize: LOCAL_HEAD_BYTES_MAX,
        requestTimeout: LOCAL_REQUEST_TIMEOUT_MS,
        headersTimeout: LOCAL_REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: 1_000,
      },
      (request, response) => this.#serve(request, response),
    );
    server.maxConnections = LOCAL_CONNECTIONS_MAX;
    await listen(server, this.#path);
    chmodSync(this.#path, SOCKET_MODE);
    await untilAborted(signal);
    server.closeAllConnections();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    if (request.method === "GET" && request.url === "/metrics") {
      void this.#serveMetrics(response);
      return;
    }
    let answer: Answer;
    try {
      answer = this.#answer(request);
    } catch (error) {
      answer = this.#failed(error, request);
    }
    response.writeHead(answer.status, STATUS_CODES[answer.status] ?? "", {
      "content-type": "application/json",
      connection: "close",
    });
    response.end(`${JSON.stringify(answer.body)}\n`);
    // No request has a body; one that comes all the same is not read.
    request.resume();
    request.once("data", () => request.destroy());
  }

  /** What was refused is the asker's matter; everything else is the agent's. */
  #failed(error: unknown, request: IncomingMessage): Answer {
    const refused = REFUSALS.find((code) => hasCode(error, code));
    if (refused === "not-found") return refusal(404, refused, messageOf(error));
    if (refused !== undefined) return refusal(400, "usage", messageOf(error));
    this.#deps.log.warn({ err: error, path: request.url }, "a local request failed");
    return refusal(500, "failed", messageOf(error));
  }

  async #serveMetrics(response: ServerResponse): Promise<void> {
    try {
      const text = await this.#deps.metricsText();
      response.writeHead(200, { "content-type": METRICS_TYPE, connection: "close" });
      response.end(text);
    } catch (error) {
      this.#deps.log.warn({ err: error }, "the metrics could not be told");
      response.destroy();
    }
  }

  #answer(request: IncomingMessage): Answer {
    const url = URL.parse(request.url ?? "", "http://agent");
    if (url === null) return refusal(400, "usage", "the path is malformed");
    const parts = url.pathname.split("/").slice(1).map(decoded);
    if (parts.includes(undefined)) return refusal(400, "usage", "the path is malformed");
    const [version, what, id = "", part, ...more] = parts;
    if (version !== "v1" || more.length > 0) return notFound(url.pathname);
    if (request.method !== "GET")
      return this.#operate([request.method, what, part].join(" "), id, url.searchParams);
    if (parts.length === 2 && what === "status") return ok(this.#deps.api.status());
    if (parts.length === 2 && what === "plan") return ok(this.#deps.api.plan());
    if (parts.length === 2 && what === "artifacts") return ok(this.#deps.operations.artifacts());
    if (what !== "instances" || id === "") return notFound(url.pathname);
    if (part === undefined) return found(this.#deps.api.why(id), `instance "${id}"`);
    return part === "log" ? this.#log(id, url.searchParams) : notFound(url.pathname);
  }

  #operate(operation: string, id: string, query: URLSearchParams): Answer {
    const { operations } = this.#deps;
    const named = query.get("instance") ?? undefined;
    const instance = named === undefined ? {} : { instance: named };
    const reason = query.get("reason") ?? "";
    switch (operation) {
      case "POST locks ":
        if (reason === "") return refusal(400, "usage", "reason: a lock says why");
        return ok(operations.lock({ ...instance, reason, forMs: Number(query.get("forMs")) }));
      case "DELETE locks ":
        return ok({ wasLocked: operations.unlock(named) });
      case "POST instances retry":
        return ok({ sets: operations.retry(id) });
      default:
        return refusal(405, "usage", "only GET is served here");
    }
  }

  #log(instanceId: string, query: URLSearchParams): Answer {
    const container = query.get("container");
    const tailLines = Number(query.get("tailLines") ?? LOG_LINES_DEFAULT);
    if (!Number.isInteger(tailLines) || tailLines < 1 || tailLines > LOG_LINES_MAX)
      return refusal(400, "usage", `tailLines must be a number from 1 to ${LOG_LINES_MAX}`);
    const tail = this.#deps.api.log({
      instanceId,
      tailLines,
      ...(container === null ? {} : { container }),
    });
    return found(tail, `log of instance "${instanceId}"`);
  }
}

function ok(body: unknown): Answer {
  return { status: 200, body };
}

function found(body: unknown, what: string): Answer {
  return body === undefined
    ? refusal(404, "not-found", `this node has no ${what}`)
    : { status: 200, body };
}

function notFound(path: string): Answer {
  return refusal(404, "not-found", `${path} is not served here`);
}

function refusal(status: number, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } };
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

/** Throws CodedError for a path that Linux takes for no socket. Asked before an agent is enrolled or run with it. */
export function refuseLongPath(path: string): void {
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return;
  throw new CodedError<LocalSocketErrorCode>(
    "socket-path-too-long",
    `the socket path ${path} is longer than ${SOCKET_PATH_BYTES_MAX} bytes`,
    { mend: "Choose a state directory with a shorter path (--state-dir)." },
  );
}

/** Takes away the socket that a dead agent left; one that answers is another agent's. */
async function makeRoom(path: string): Promise<void> {
  refuseLongPath(path);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket())
    throw new CodedError<LocalSocketErrorCode>("socket-unusable", `${path} is no socket`, {
      mend: `Move ${path} away.`,
    });
  if (await answers(path))
    throw new CodedError<LocalSocketErrorCode>("socket-in-use", `an agent already serves ${path}`, {
      mend: "Stop the other agent, or give this one its own --state-dir.",
    });
  rmSync(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new CodedError<LocalSocketErrorCode>(
          "socket-unusable",
          `the socket ${path} cannot be opened (${systemCode(error) ?? "unknown"})`,
          { mend: "Give this user write access to the state directory.", cause: error },
        ),
      ),
    );
    server.listen(path, () => resolve());
  });
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
