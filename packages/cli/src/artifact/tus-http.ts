import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { type Agent, request } from "node:https";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { HttpRequest, HttpResponse, HttpStack } from "tus-js-client";

/** Longest silence of the server. */
const SILENCE_MS_MAX = 60_000;
/** Longest answer that is read: one of an upload has no body, an error a few lines. */
const ANSWER_BYTES_MAX = 64 * 1024;

/** HTTPS for tus-js-client, whose own stack reads addresses by what Node has deprecated, and loses an answer that comes early. */
export class HttpsStack implements HttpStack {
  readonly #agent: Agent;

  constructor(deps: { readonly agent: Agent }) {
    this.#agent = deps.agent;
  }

  createRequest(method: string, url: string): HttpRequest {
    return new HttpsRequest({ method, url, agent: this.#agent });
  }

  getName(): string {
    return "HttpsStack";
  }
}

class HttpsRequest implements HttpRequest {
  readonly #what: { readonly method: string; readonly url: string; readonly agent: Agent };
  readonly #headers = new Map<string, string>();
  readonly #aborting = new AbortController();
  #onProgress: (bytesSent: number) => void = () => {};

  constructor(what: { readonly method: string; readonly url: string; readonly agent: Agent }) {
    this.#what = what;
  }

  getMethod(): string {
    return this.#what.method;
  }

  getURL(): string {
    return this.#what.url;
  }

  setHeader(name: string, value: string): void {
    this.#headers.set(name.toLowerCase(), value);
  }

  getHeader(name: string): string | undefined {
    return this.#headers.get(name.toLowerCase());
  }

  setProgressHandler(handler: (bytesSent: number) => void): void {
    this.#onProgress = handler;
  }

  /** `body` is null or a stream that knows its `size`. */
  send(body: unknown): Promise<HttpResponse> {
    const { method, url, agent } = this.#what;
    const headers: OutgoingHttpHeaders = Object.fromEntries(this.#headers);
    const stream = body instanceof Readable ? body : undefined;
    if (stream !== undefined && "size" in stream) headers["content-length"] = Number(stream.size);
    return new Promise((resolve, reject) => {
      const { signal } = this.#aborting;
      const asked = request(url, { method, agent, headers, signal, timeout: SILENCE_MS_MAX });
      let isAnswered = false;
      asked.on("response", (response) => {
        isAnswered = true;
        readAnswer(response).then(resolve, reject);
      });
      asked.on("timeout", () => asked.destroy(new Error("the server is silent")));
      // A server that refuses an upload answers and closes before it has read all of it: then the answer counts.
      asked.on("error", (error) => {
        if (!isAnswered) reject(error);
      });
      if (stream === undefined) asked.end();
      else
        pipeline(stream, this.#counting(), asked).catch((error: unknown) => {
          if (!isAnswered) reject(error instanceof Error ? error : new Error(String(error)));
        });
    });
  }

  abort(): Promise<void> {
    this.#aborting.abort();
    return Promise.resolve();
  }

  getUnderlyingObject(): undefined {
    return undefined;
  }

  #counting(): Transform {
    let sent = 0;
    return new Transform({
      transform: (piece: Buffer, _encoding, done) => {
        sent += piece.length;
        this.#onProgress(sent);
        done(null, piece);
      },
    });
  }
}

async function readAnswer(response: IncomingMessage): Promise<HttpResponse> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of response) {
    if (!Buffer.isBuffer(piece)) continue;
    length += piece.length;
    if (length <= ANSWER_BYTES_MAX) pieces.push(piece);
  }
  const body = Buffer.concat(pieces).toString("utf8");
  return {
    getStatus: () => response.statusCode ?? 500,
    getHeader: (name) => {
      const value = response.headers[name.toLowerCase()];
      return Array.isArray(value) ? value.join(", ") : value;
    },
    getBody: () => body,
    getUnderlyingObject: () => undefined,
  };
}
