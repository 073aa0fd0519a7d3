import { createHash } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { systemClock } from "@flotilla/shared/platform/clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { onTestFinished } from "vitest";
import { tokenAuthenticator } from "../../src/adapters/http/bearer-tokens.ts";
import {
  createHttpServer,
  type HttpServer,
  type HttpServerDeps,
  type HttpServerOptions,
} from "../../src/adapters/http/server.ts";
import { serviceUnavailable } from "../../src/domain/resources/api-error.ts";
import { FakeResources } from "./fake-resources.ts";
import { makeTestTls, type TestTls } from "./tls.ts";

export const TEST_TOKEN = "test-token-that-nobody-else-has";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface TestServer {
  readonly server: HttpServer;
  readonly port: number;
  readonly tls: TestTls;
  readonly metrics: RecordingMetrics;
  readonly log: RecordingLog;
  /** One request with the token, unless `authorization` is given; `null` leaves it out. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Begins a request and hands over the answer's stream. */
  open(method: string, path: string, options?: CallOptions): Promise<IncomingMessage>;
}

interface CallOptions {
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly authorization?: string | null;
}

/** The real server on a free port of 127.0.0.1, with fakes behind it unless given; closed after the test. */
export async function startTestServer(
  deps: Partial<HttpServerDeps> = {},
  options: Partial<HttpServerOptions> = {},
): Promise<TestServer> {
  const tls = await makeTestTls();
  const metrics = new RecordingMetrics();
  const log = new RecordingLog();
  const server = createHttpServer(
    {
      host: "127.0.0.1",
      port: 0,
      ...tls,
      authenticate: tokenAuthenticator([
        {
          sha256: createHash("sha256").update(TEST_TOKEN).digest("hex"),
          user: { name: "admin", groups: ["flotilla:admins"] },
        },
      ]),
      version: "0.0.0-test",
      ...options,
    },
    {
      resources: new FakeResources(),
      enrolment: noEnrolment(),
      logs: { tail: () => Promise.reject(serviceUnavailable("no node")) },
      placement: {
        explain: () => {
          throw serviceUnavailable("no scheduler");
        },
        plan: () => {
          throw serviceUnavailable("no scheduler");
        },
      },
      artifacts: noArtifacts(),
      metricsText: () => Promise.resolve("# nothing\n"),
      readiness: () => ({ ready: true, checks: [{ name: "store", ok: true }] }),
      log,
      clock: systemClock(),
      metrics,
      ...deps,
    },
  );
  const { port } = await server.listen();
  onTestFinished(() => server.close());
  const open = opener(port, tls);
  return {
    server,
    port,
    tls,
    metrics,
    log,
    open,
    call: async (...args) => whole(await open(...args)),
  };
}

function opener(port: number, tls: TestTls): TestServer["open"] {
  return (method, path, options = {}) => {
    const { body, headers = {}, authorization = `Bearer ${TEST_TOKEN}` } = options;
    const request: RequestOptions = {
      host: "127.0.0.1",
      port,
      ca: tls.caCertificate,
      method,
      path,
      agent: false,
      headers: {
        ...(authorization === null ? {} : { authorization }),
        ...(body === undefined
          ? {}
          : {
              "content-type": "application/json",
              "content-length": String(Buffer.byteLength(body)),
            }),
        ...headers,
      },
    };
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest(request, resolve);
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  };
}

/** The whole answer. */
export async function whole(message: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(Buffer.from(chunk));
  return {
    status: message.statusCode ?? 0,
    headers: message.headers,
    text: Buffer.concat(chunks).toString(),
  };
}

/** The JSON of an answer, for `toMatchObject`. */
export function json(answer: Answer): unknown {
  return JSON.parse(answer.text);
}

function noArtifacts(): HttpServerDeps["artifacts"] {
  const refuse = (): never => {
    throw serviceUnavailable("no artifacts in this test");
  };
  return { status: refuse, delta: refuse, publish: async () => refuse() };
}

function noEnrolment(): HttpServerDeps["enrolment"] {
  const refuse = (): never => {
    throw serviceUnavailable("no enrolment in this test");
  };
  return {
    join: async () => refuse(),
    renew: async () => refuse(),
    mintSecret: refuse,
    joinString: refuse,
  };
}
