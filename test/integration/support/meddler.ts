import { readFileSync } from "node:fs";
import type {
  IncomingHttpHeaders,
  IncomingMessage,
  OutgoingHttpHeaders,
  ServerResponse,
} from "node:http";
import { createServer, request as httpsRequest, type Server } from "node:https";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import type { AgentProcess } from "./agent-process.ts";
import type { HubProcess } from "./hub-process.ts";

/** What the hub's artifact server answered. */
export interface Answered {
  /** Without `/v1/`. */
  readonly path: string;
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer;
}

/** What becomes of an answer. */
export type Meddling = (answered: Answered) => Partial<Answered>;

/**
 * Stands between nodes and the hub's artifact server, with the server's own key: the worst that a hub, or whoever holds its disk, can
 * do to what it serves. MQTT goes past it.
 */
export class Meddler {
  meddle: Meddling = () => ({});
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** `port` is the one that the hub advertises; `as` is the node in whose name the hub is asked. */
  static async start(port: number, hub: HubProcess, as: AgentProcess): Promise<Meddler> {
    const pki = (name: string): string => readFileSync(join(hub.dataDir, "pki", name), "utf8");
    const ca = pki("ca.crt");
    const server = createServer({
      cert: pki("artifacts.crt"),
      key: pki("artifacts.key"),
      ca,
      requestCert: true,
    });
    const meddler = new Meddler(server);
    const own: { readonly certificate: string; readonly privateKey: string } = JSON.parse(
      readFileSync(join(as.stateDir, "credentials.json"), "utf8"),
    );
    const tls = { ca, cert: own.certificate, key: own.privateKey };
    server.on("request", (request, response) => {
      const { headers, method = "GET", url: path = "/" } = request;
      const where = { host: "127.0.0.1", port: hub.artifactPort, path, method };
      const upstream = httpsRequest({ ...where, headers: headersOf(headers), ...tls });
      upstream.on("response", (answer) => void meddler.#pass(path, answer, response));
      upstream.on("error", () => response.destroy());
      upstream.end();
    });
    await new Promise<void>((resolve) => {
      server.listen(port, "127.0.0.1", resolve);
    });
    return meddler;
  }

  async #pass(path: string, answer: IncomingMessage, response: ServerResponse): Promise<void> {
    const answered: Answered = {
      path: path.replace(/^\/v1\//, ""),
      status: answer.statusCode ?? 500,
      headers: headersOf(answer.headers),
      body: await buffer(answer),
    };
    const { status, headers, body } = { ...answered, ...this.meddle(answered) };
    response.writeHead(status, headers).end(body);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Belong to a connection, or change with the body. */
const NOT_PASSED: readonly string[] = ["connection", "host", "content-length", "transfer-encoding"];

function headersOf(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !NOT_PASSED.includes(name)));
}
