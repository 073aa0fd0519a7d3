import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { PeerProgress, PeerServing, ServedPayloads } from "../../app/delivery/ports.ts";
import type { CredentialStore } from "../../app/link/ports.ts";
import { AVAILABLE_HEADER, RECEIVED_HEADER } from "./get.ts";
import { RANGE_BYTES_MAX } from "./http-sources.ts";

/** Connections at a time; one more is closed. */
export const PEER_CONNECTIONS_MAX = 128;
/** Requests that are worked on at a time, waiting ones left out; one more is answered 503. */
export const PEER_REQUESTS_MAX = 32;
/** Of one node, waiting ones included. */
export const PEER_REQUESTS_PER_NODE_MAX = 8;
/** Longest that a request waits for bytes that are being fetched. */
export const PEER_WAIT_MS_MAX = 20_000;
/** A connection on which nothing moves is closed. */
const IDLE_TIMEOUT_MS = 60_000;
/** Until request line and headers are there. */
const HEADERS_TIMEOUT_MS = 10_000;
/** The certificate is looked at this often: a renewed one is used for new connections. */
const CERTIFICATE_CHECK_MS = 60_000;

/** Why other nodes cannot be served. */
export type PeerServerErrorCode = "peer-port-unusable";

export interface PeerServerOptions {
  readonly host: string;
  /** 0: any. */
  readonly port: number;
}

export interface PeerServerDeps {
  readonly payloads: ServedPayloads;
  readonly serving: PeerServing;
  readonly credentials: Pick<CredentialStore, "load">;
  readonly clock: Pick<Clock, "sleep">;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Serves payloads and manifests to other nodes of the fleet: whoever has a certificate of the CA and knows the digest of a manifest.
 * Nothing is listed. What is served is what a transfer of this node has checked.
 */
export class PeerServer implements Service {
  readonly name = "peer-server";
  readonly #options: PeerServerOptions;
  readonly #deps: PeerServerDeps;
  readonly #perNode = new Map<string, number>();
  #working = 0;
  #port = 0;

  constructor(options: PeerServerOptions, deps: PeerServerDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Port that is listened on; 0 while none is. */
  get port(): number {
    return this.#port;
  }

  /** Rejects with `peer-port-unusable`. */
  async run(signal: AbortSignal): Promise<void> {
    const { credentials, clock, log } = this.#deps;
    let own = credentials.load();
    while (own === undefined && !signal.aborted) {
      await clock.sleep(CERTIFICATE_CHECK_MS, signal).catch(() => undefined);
      own = credentials.load();
    }
    if (own === undefined) return;
    const server = createServer({
      ...tlsOf(own),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HEADERS_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
    });
    server.maxConnections = PEER_CONNECTIONS_MAX;
    server.on("secureConnection", (socket) => socket.setTimeout(IDLE_TIMEOUT_MS));
    server.on("timeout", (socket: Socket) => socket.destroy());
    server.on("request", (request, response) => void this.#serve(request, response));
    await listen(server, this.#options);
    const address = server.address();
    this.#port = typeof address === "object" ? (address?.port ?? 0) : 0;
    log.info({ host: this.#options.host, port: this.#port }, "other nodes of the site are served");
    try {
      while (!signal.aborted) {
        await clock.sleep(CERTIFICATE_CHECK_MS, signal).catch(() => undefined);
        const present = credentials.load();
        if (present === undefined || present.certificate === own.certificate) continue;
        own = present;
        server.setSecureContext(tlsOf(own));
      }
    } finally {
      this.#port = 0;
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    }
  }

  /** Never rejects. */
  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const node = nodeOf(request);
    const count = (this.#perNode.get(node) ?? 0) + 1;
    this.#perNode.set(node, count);
    let outcome = "failed";
    try {
      outcome =
        count > PEER_REQUESTS_PER_NODE_MAX
          ? busy(response)
          : await this.#answer(request, response, gone.signal);
    } catch (error) {
      this.#deps.log.warn({ node, error: messageOf(error) }, "a peer could not be served");
      if (response.headersSent) response.destroy();
      else end(response, 500);
    } finally {
      const left = (this.#perNode.get(node) ?? 1) - 1;
      if (left <= 0) this.#perNode.delete(node);
      else this.#perNode.set(node, left);
      this.#deps.metrics.count("flotilla_agent_peer_requests_total", { outcome });
    }
  }

  /** Returns the outcome, of a closed set. */
  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<string> {
    const [, kind, sha256 = ""] =
      /^\/v1\/(payloads|manifests)\/([0-9a-f]{64})$/.exec(request.url ?? "") ?? [];
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (kind === undefined || !isRead) return end(response, isRead ? 404 : 405);
    if (kind === "manifests") return this.#answerManifest(sha256, response);
    const found = this.#deps.payloads.find(sha256);
    if (found === undefined) return end(response, 404);
    if (request.method === "HEAD") return end(response, 200, progressHeaders(found));
    const range = rangeOf(request.headers.range);
    if (range === undefined) return end(response, 416);
    await this.#deps.payloads.grown(sha256, {
      bytes: range.end,
      waitMs: waitMsOf(request.headers.prefer),
      signal,
    });
    return this.#answerRange(sha256, range, { response, signal });
  }

  async #answerRange(
    sha256: string,
    range: { readonly start: number; readonly end: number },
    to: { readonly response: ServerResponse; readonly signal: AbortSignal },
  ): Promise<string> {
    const { payloads, serving } = this.#deps;
    const { response, signal } = to;
    const found = payloads.find(sha256);
    if (signal.aborted) return "left";
    if (found === undefined) return end(response, 404);
    const headers = progressHeaders(found);
    if (range.end > found.availableBytes)
      return end(response, found.isGrowing ? 425 : 416, headers);
    if (this.#working >= PEER_REQUESTS_MAX) return busy(response);
    this.#working += 1;
    try {
      const length = range.end - range.start;
      await serving.share(length, signal);
      const bytes = await payloads.read(sha256, range.start, length);
      response.writeHead(206, {
        ...headers,
        "content-type": "application/octet-stream",
        "content-length": bytes.length,
        "content-range": `bytes ${range.start}-${range.end - 1}/*`,
      });
      await sent(response, bytes);
      serving.served(bytes.length);
      return "served";
    } finally {
      this.#working -= 1;
    }
  }

  async #answerManifest(sha256: string, response: ServerResponse): Promise<string> {
    const bytes = await this.#deps.payloads.manifest(sha256);
    if (bytes === undefined) return end(response, 404);
    response.writeHead(200, {
      "content-type": "application/octet-stream",
      "content-length": bytes.length,
    });
    await sent(response, bytes);
    return "served";
  }
}

function tlsOf(own: {
  readonly certificate: string;
  readonly privateKey: string;
  readonly caCertificate: string;
}) {
  return {
    cert: own.certificate,
    key: own.privateKey,
    ca: own.caCertificate,
    minVersion: "TLSv1.3",
  } as const;
}

function listen(server: Server, { host, port }: PeerServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new CodedError<PeerServerErrorCode>(
          "peer-port-unusable",
          `other nodes cannot be served on ${host}:${port}: ${messageOf(error)}`,
          {
            fields: { host, port },
            mend: "Set peerListen to an address of this machine and a port that is free, or to off.",
            cause: error,
          },
        ),
      ),
    );
    server.listen(port, host, () => resolve());
  });
}

/** The subject of the certificate, which the handshake has verified. */
function nodeOf(request: IncomingMessage): string {
  const { socket } = request;
  return socket instanceof TLSSocket ? (socket.getPeerX509Certificate()?.subject ?? "") : "";
}

/** `bytes=a-b` of at most RANGE_BYTES_MAX; `end` is the byte after. */
function rangeOf(
  header: string | undefined,
): { readonly start: number; readonly end: number } | undefined {
  const [, from, to] = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(header ?? "") ?? [];
  const start = Number(from);
  const afterEnd = Number(to) + 1;
  const length = afterEnd - start;
  return from !== undefined && length > 0 && length <= RANGE_BYTES_MAX
    ? { start, end: afterEnd }
    : undefined;
}

/** `Prefer: wait=10` of RFC 7240, in seconds. */
function waitMsOf(header: string | string[] | undefined): number {
  const [, seconds = "0"] = /^wait=(\d{1,4})$/.exec(String(header ?? "")) ?? [];
  return Math.min(PEER_WAIT_MS_MAX, Number(seconds) * 1000);
}

function progressHeaders(found: PeerProgress): Readonly<Record<string, string>> {
  return {
    [AVAILABLE_HEADER]: String(found.availableBytes),
    [RECEIVED_HEADER]: String(found.receivedBytes),
  };
}

const OUTCOMES: Readonly<Record<number, string>> = {
  200: "served",
  404: "absent",
  405: "refused",
  416: "refused",
  425: "not-yet",
  500: "failed",
};

function end(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): string {
  response.writeHead(status, { ...headers, "content-length": 0 });
  response.end();
  return OUTCOMES[status] ?? "failed";
}

function busy(response: ServerResponse): string {
  response.writeHead(503, { "retry-after": "1", "content-length": 0 });
  response.end();
  return "busy";
}

/** Resolves when the bytes have left, or the connection is gone. */
function sent(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    response.once("close", resolve);
    response.end(bytes, () => resolve());
  });
}
