import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server, type ServerOptions } from "node:https";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { parseNodeId } from "@flotilla/shared/kernel/ids";
import type { Log } from "@flotilla/shared/kernel/service";
import { nonceOfTimePath } from "@flotilla/shared/trust/time";
import { parseServedPath, type ServedPath } from "../../domain/artifact/served-path.ts";
import type { ArtifactLayout } from "../artifact-store/layout.ts";
import { openServed } from "../artifact-store/served-file.ts";
import { answerFile, refuse } from "./answer.ts";
import { Connections } from "./connections.ts";
import type { Counters } from "./counters.ts";
import { type Guest, Guests } from "./guests.ts";
import * as limits from "./limits.ts";
import type { ListenAddress, ServerLimits, ServerPorts, ServerTls } from "./messages.ts";
import { PieceCache } from "./pieces.ts";
import type { TusUploads } from "./tus.ts";

const PREFIX = "/v1/";
const UPLOADS = /^uploads(?:\/([0-9a-f]{64}))?$/;

export const SERVER_LIMITS: ServerLimits = {
  nodeConnectionsMax: limits.NODE_CONNECTIONS_MAX,
  pieceMsMax: limits.PIECE_MS_MAX,
  uploadIdleMsMax: limits.UPLOAD_IDLE_MS_MAX,
  headersTimeoutMs: limits.HEADERS_TIMEOUT_MS,
  admissionMs: limits.ADMISSION_MS,
};

interface Options {
  readonly nodes: ListenAddress;
  readonly administrators: ListenAddress;
  readonly tls: ServerTls;
  readonly tokenHashes: readonly string[];
  readonly layout: ArtifactLayout;
  readonly limits: ServerLimits;
}

interface Deps {
  readonly uploads: TusUploads;
  readonly counters: Counters;
  readonly admits: (nodeId: string, serial: string) => Promise<boolean>;
  /** The hub's signed word for the time, to this nonce. */
  readonly timeAnswer: (nonce: string) => Promise<Uint8Array>;
  readonly nowMs: () => number;
  readonly wallMs: () => number;
  readonly log: Log;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/**
 * Serves what nodes fetch, over mutual TLS, and on a port of its own takes uploads of administrators, who have tokens instead of
 * certificates. Knows a handful of paths, answers 404 to every other, and trusts no length, name or speed of who asks.
 */
export class ArtifactServer {
  readonly #options: Options;
  readonly #deps: Deps;
  readonly #nodes: Server;
  readonly #administrators: Server;
  readonly #connections: Connections;
  readonly #guests: Guests;
  readonly #cache = new PieceCache({ bytesMax: limits.CACHE_BYTES_MAX });

  constructor(options: Options, deps: Deps) {
    this.#options = options;
    this.#deps = deps;
    const { admissionMs, nodeConnectionsMax, headersTimeoutMs } = options.limits;
    this.#guests = new Guests({ tokenHashes: options.tokenHashes, admissionMs }, deps);
    this.#connections = new Connections(
      { nodeMax: nodeConnectionsMax },
      {
        met: (socket) => this.#guests.met(socket),
        refused: (reason) => deps.counters.refused(reason),
      },
    );
    const { ca, ...ownTls } = secureOptions(options.tls);
    this.#nodes = makeServer(
      { ...ownTls, ca, requestCert: true, rejectUnauthorized: true, headersTimeoutMs },
      (exchange) => this.#answer(exchange, () => this.#guests.node(exchange.request)),
    );
    this.#nodes.maxConnections = limits.CONNECTIONS_MAX;
    this.#administrators = makeServer({ ...ownTls, headersTimeoutMs }, (exchange) =>
      this.#answer(exchange, () => this.#guests.administrator(exchange.request)),
    );
    this.#administrators.maxConnections = limits.ADMIN_CONNECTIONS_MAX;
    this.#connections.watch(this.#nodes, "nodes");
    this.#connections.watch(this.#administrators, "administrators");
  }

  get connectionCount(): number {
    return this.#connections.count;
  }

  /** Rejects when a port cannot be had; then nothing listens. */
  async listen(): Promise<ServerPorts> {
    const { nodes, administrators } = this.#options;
    const nodesPort = await this.#listen(this.#nodes, nodes);
    try {
      return {
        nodes: nodesPort,
        administrators: await this.#listen(this.#administrators, administrators),
      };
    } catch (error) {
      this.#nodes.close();
      throw error;
    }
  }

  /** Connections to come get this certificate. */
  setTls(tls: ServerTls): void {
    const { ca, ...ownTls } = secureOptions(tls);
    this.#nodes.setSecureContext({ ...ownTls, ca });
    this.#administrators.setSecureContext(ownTls);
  }

  /** Whether this node may ask is asked anew, and what it has open is cut. */
  refuseNode(name: string): void {
    const nodeId = parseNodeId(name);
    if (nodeId === undefined) return;
    this.#guests.forget(nodeId);
    this.#connections.cut(nodeId);
  }

  /** Takes no more connections; resolves when the last has ended or was cut. */
  async close(): Promise<void> {
    const closed = [this.#nodes, this.#administrators].map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    const timer = setTimeout(() => this.#connections.cutAll(), limits.DRAIN_MS_MAX);
    await Promise.all(closed);
    clearTimeout(timer);
  }

  #listen(server: Server, { host, port }: ListenAddress): Promise<number> {
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => {
        server.off("error", reject);
        server.on("error", (error) =>
          this.#deps.log.error({ reason: messageOf(error) }, "artifact server's listener failed"),
        );
        const address = server.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  async #answer(exchange: Exchange, whoAsks: () => Guest | Promise<Guest>): Promise<void> {
    const { request, response } = exchange;
    response.on("error", () => undefined);
    request.on("error", () => undefined);
    response.setHeader("x-content-type-options", "nosniff");
    try {
      const guest = await whoAsks();
      if (guest.kind === "nobody") this.#turnAway(response, guest.reason);
      else await this.#route(exchange, guest);
    } catch (error) {
      this.#deps.log.error({ reason: messageOf(error) }, "a request could not be answered");
      this.#deps.counters.served("none", "failed", 0);
      if (response.headersSent) response.destroy();
      else refuse(response, 500, { code: "failed", message: "the hub could not do it" }, CLOSE);
    }
  }

  async #route(exchange: Exchange, guest: Guest): Promise<void> {
    const { request, response } = exchange;
    const url = request.url ?? "";
    const path = url.startsWith(PREFIX) ? url.slice(PREFIX.length) : "";
    const upload = UPLOADS.exec(path);
    if (upload !== null && guest.kind === "administrator")
      return this.#deps.uploads.answer(exchange, upload[1]);
    const nonce = nonceOfTimePath(path);
    if (nonce !== undefined && request.method === "GET") return this.#tellTime(response, nonce);
    const served = parseServedPath(path);
    const isTheirs = guest.kind === "administrator" || served?.kind !== "blobs";
    if (served === undefined || !isTheirs) return this.#notFound(response);
    if (request.method !== "GET" && request.method !== "HEAD") {
      this.#deps.counters.served(served.kind, "bad-request", 0);
      return refuse(response, 405, NOT_ALLOWED, { ...CLOSE, allow: "GET, HEAD" });
    }
    if (hasBody(request)) {
      this.#deps.counters.served(served.kind, "bad-request", 0);
      return refuse(response, 400, NO_BODY, CLOSE);
    }
    await this.#serve(exchange, served);
  }

  async #serve({ request, response }: Exchange, path: ServedPath): Promise<void> {
    const file = openServed(this.#options.layout, path);
    if (file === undefined) return this.#notFound(response, path.kind);
    try {
      const { outcome, bytes } = await answerFile(
        { request, response },
        { path, file },
        { cache: this.#cache, pieceMsMax: this.#options.limits.pieceMsMax },
      );
      this.#deps.counters.served(path.kind, outcome, bytes);
    } finally {
      file.close();
    }
  }

  async #tellTime(response: ServerResponse, nonce: string): Promise<void> {
    const answer = await this.#deps.timeAnswer(nonce);
    const headers = { "content-type": "application/json", "cache-control": "no-store" };
    response.writeHead(200, { ...headers, "content-length": answer.length }).end(answer);
    this.#deps.counters.served("time", "whole", answer.length);
  }

  #notFound(response: ServerResponse, kind: ServedPath["kind"] | "none" = "none"): void {
    this.#deps.counters.served(kind, "not-found", 0);
    refuse(response, 404, { code: "not-found", message: "there is nothing of this name" });
  }

  #turnAway(response: ServerResponse, message: string): void {
    this.#deps.counters.served("none", "refused", 0);
    const mend =
      "Nodes come with the certificate of their enrolment, administrators with the token.";
    const headers = { ...CLOSE, "www-authenticate": "Bearer" };
    refuse(response, 401, { code: "unauthorized", message, mend }, headers);
  }
}

const CLOSE = { connection: "close" } as const;

/** A server that waits for nobody: for no handshake, no headers and no idle connection. */
function makeServer(
  options: ServerOptions & Pick<ServerLimits, "headersTimeoutMs">,
  answer: (exchange: Exchange) => Promise<void>,
): Server {
  const { headersTimeoutMs, ...tls } = options;
  const server = createServer(
    {
      ...tls,
      handshakeTimeout: limits.HANDSHAKE_TIMEOUT_MS,
      headersTimeout: headersTimeoutMs,
      // Uploads last; they end when nothing comes.
      requestTimeout: 0,
      keepAliveTimeout: limits.KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs),
      maxHeaderSize: limits.HEADER_BYTES_MAX,
      noDelay: true,
    },
    (request, response) => void answer({ request, response }),
  );
  server.maxHeadersCount = limits.HEADERS_MAX;
  server.maxRequestsPerSocket = limits.REQUESTS_PER_CONNECTION_MAX;
  server.on("clientError", (_error, socket) => {
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    else socket.destroy();
  });
  return server;
}

/** Who only reads has nothing to send; what it sends would have to be read to its end. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}

const NO_BODY = { code: "bad-request", message: "a request that reads has no body" };
const NOT_ALLOWED = { code: "method-not-allowed", message: "this is read with GET and HEAD" };

function secureOptions(tls: ServerTls) {
  return {
    key: tls.privateKey,
    cert: tls.certificate,
    ca: tls.caCertificate,
    minVersion: "TLSv1.2",
  } as const;
}
