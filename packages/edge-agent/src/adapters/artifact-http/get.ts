/** One GET or HEAD for bytes of which nothing is believed but that they came. What they are is checked by whoever asked. */
import type { IncomingMessage } from "node:http";
import { type Agent, request as httpsRequest } from "node:https";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { RETRIEVAL_WINDOW_MS } from "@flotilla/shared/trust/limits";
import { judgeRetrieval } from "@flotilla/shared/trust/retrieval";
import type { ByteSourceErrorCode, PeerProgress } from "../../app/delivery/ports.ts";

/** Header by which a node says how many bytes of a payload, from its begin, it has. */
export const AVAILABLE_HEADER = "flotilla-available";
/** … and how many have come, of which the last are not checked yet. */
export const RECEIVED_HEADER = "flotilla-received";
/** Statuses that mean something here. */
const STATUS = { ok: 200, partial: 206, tooEarly: 425, tooMany: 429, unavailable: 503 } as const;
const ABSENT: readonly number[] = [404, 410];

/** Least speed of a body: bytes per second on the mean of a window. */
export interface Pace {
  readonly windowMs: number;
  readonly bytesPerSecondMin: number;
}

export interface GetCall {
  /** Of whom it is asked, for messages: `hub`, `peer NODE`. */
  readonly source: string;
  readonly url: URL;
  readonly agent: Agent;
  readonly method: "GET" | "HEAD";
  readonly headers: Readonly<Record<string, string>>;
  /** A range, which must be answered with exactly it, or the whole, at most so long. */
  readonly expect:
    | { readonly kind: "range"; readonly offset: number; readonly length: number }
    | { readonly kind: "whole"; readonly bytesMax: number };
  /** Until the answer begins. */
  readonly answerTimeoutMs: number;
  /** Besides what `judgeRetrieval` asks of every source. */
  readonly pace?: Pace;
  readonly signal: AbortSignal;
}

export interface GetAnswer {
  readonly bytes: Uint8Array;
  readonly etag: string | undefined;
  /** Of the whole, as the answer to a range says. */
  readonly totalBytes: number | undefined;
  readonly progress: PeerProgress;
}

/** Rejects with a CodedError of ByteSourceErrorCode, or the reason of `signal`. */
export async function get(call: GetCall, deps: { readonly clock: Clock }): Promise<GetAnswer> {
  call.signal.throwIfAborted();
  const stop = new AbortController();
  const done = new AbortController();
  const progress = { bytes: 0, hasAnswer: false };
  void watchPace(call, { ...deps, progress, stop, done: done.signal });
  try {
    const request = httpsRequest(call.url, {
      agent: call.agent,
      method: call.method,
      headers: { ...call.headers, "accept-encoding": "identity" },
      signal: AbortSignal.any([call.signal, stop.signal]),
    });
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.on("response", resolve);
      request.on("error", reject);
      request.end();
    });
    progress.hasAnswer = true;
    return await readAnswer(call, response, (bytes) => {
      progress.bytes += bytes;
    });
  } catch (error) {
    call.signal.throwIfAborted();
    if (stop.signal.aborted) throw stop.signal.reason;
    throw error instanceof CodedError
      ? error
      : sourceError("source-unreachable", call, messageOf(error), { cause: error });
  } finally {
    done.abort();
  }
}

/** An error of a source, with what was asked of whom. */
export function sourceError(
  code: ByteSourceErrorCode,
  { source, url }: Pick<GetCall, "source" | "url">,
  what: string,
  details: { readonly cause?: unknown; readonly fields?: Readonly<Record<string, unknown>> } = {},
): CodedError<ByteSourceErrorCode> {
  return new CodedError(code, `${source}, ${url.pathname}: ${what}`, {
    fields: { source, path: url.pathname, ...details.fields },
    mend: "Another source, or this one later, is tried by itself.",
    ...(details.cause === undefined ? {} : { cause: details.cause }),
  });
}

async function readAnswer(
  call: GetCall,
  response: IncomingMessage,
  came: (bytes: number) => void,
): Promise<GetAnswer> {
  const { expect, method } = call;
  try {
    refuseStatus(call, response);
    if (response.headers["content-encoding"] !== undefined)
      throw sourceError("source-misbehaves", call, "it answers with an encoding");
    const totalBytes = expect.kind === "range" ? checkedTotal(call, expect, response) : undefined;
    const progress = progressOf(response);
    const bytes = method === "HEAD" ? new Uint8Array(0) : await readBody(call, response, came);
    response.resume();
    return { bytes, etag: response.headers.etag, totalBytes, progress };
  } catch (error) {
    // Nothing more of it is wanted; a connection with a rest in it is not used again.
    response.destroy();
    throw error;
  }
}

function refuseStatus(call: GetCall, response: IncomingMessage): void {
  const status = response.statusCode ?? 0;
  if (status === (call.expect.kind === "range" ? STATUS.partial : STATUS.ok)) return;
  const what = `it answers ${status}`;
  if (ABSENT.includes(status)) throw sourceError("source-absent", call, what);
  if (status === STATUS.tooEarly)
    throw sourceError("source-not-yet", call, what, { fields: { ...progressOf(response) } });
  if (status === STATUS.tooMany || status === STATUS.unavailable)
    throw sourceError("source-busy", call, what);
  // 200 to a range would be the whole file, and a redirect leads to somebody that nobody has named.
  const isAnswer = status < 400 || status === 416;
  throw sourceError(isAnswer ? "source-misbehaves" : "source-unreachable", call, what);
}

function checkedTotal(
  call: GetCall,
  { offset, length }: { readonly offset: number; readonly length: number },
  response: IncomingMessage,
): number | undefined {
  const text = response.headers["content-range"] ?? "none";
  const [, from, to, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(text) ?? [];
  if (Number(from) !== offset || Number(to) !== offset + length - 1)
    throw sourceError(
      "source-misbehaves",
      call,
      `asked for bytes ${offset}-${offset + length - 1}, it answers the range ${text.slice(0, 64)}`,
    );
  return countOf(total);
}

async function readBody(
  call: GetCall,
  response: IncomingMessage,
  came: (bytes: number) => void,
): Promise<Uint8Array> {
  const { expect } = call;
  const bytesMax = expect.kind === "range" ? expect.length : expect.bytesMax;
  const chunks: Uint8Array[] = [];
  let byteCount = 0;
  for await (const chunk of response) {
    const bytes: Uint8Array = Buffer.from(chunk);
    byteCount += bytes.length;
    came(bytes.length);
    if (byteCount > bytesMax)
      throw sourceError("source-misbehaves", call, `it sends more than ${bytesMax} bytes`);
    chunks.push(bytes);
  }
  if (expect.kind === "range" && byteCount < expect.length)
    throw sourceError("source-misbehaves", call, `it sends ${byteCount} of ${bytesMax} bytes`);
  return chunks.length === 1 ? (chunks[0] ?? new Uint8Array(0)) : Buffer.concat(chunks);
}

interface Watch {
  readonly clock: Clock;
  readonly progress: { readonly bytes: number; readonly hasAnswer: boolean };
  /** Ends the request, with the reason. */
  readonly stop: AbortController;
  /** The request is over. */
  readonly done: AbortSignal;
}

/** Ends a request that does not begin to answer in time, or that comes in below the least speed. Never rejects. */
async function watchPace(call: GetCall, watch: Watch): Promise<void> {
  const { clock, progress, stop, done } = watch;
  const sleep = (ms: number): Promise<boolean> =>
    clock.sleep(ms, done).then(
      () => true,
      () => false,
    );
  if (!(await sleep(call.answerTimeoutMs))) return;
  if (!progress.hasAnswer) {
    const what = `no answer within ${call.answerTimeoutMs} ms`;
    stop.abort(sourceError("source-unreachable", call, what));
    return;
  }
  const windowMs = Math.min(RETRIEVAL_WINDOW_MS, call.pace?.windowMs ?? RETRIEVAL_WINDOW_MS);
  let window = { atMs: clock.bootMs(), bytes: 0 };
  let retrieval = window;
  while (await sleep(windowMs)) {
    const nowMs = clock.bootMs();
    const came = progress.bytes - window.bytes;
    const leastBytes = ((call.pace?.bytesPerSecondMin ?? 0) * (nowMs - window.atMs)) / 1000;
    const verdict = judgeRetrieval({
      subject: call.url.pathname,
      bytesMax: call.expect.kind === "range" ? call.expect.length : call.expect.bytesMax,
      bytes: progress.bytes,
      windowStartBytes: retrieval.bytes,
      windowMs: nowMs - retrieval.atMs,
    });
    if (verdict.kind !== "ok" || came < leastBytes) {
      const what = `${came} bytes came in the last ${Math.round((nowMs - window.atMs) / 1000)} s`;
      stop.abort(sourceError("source-too-slow", call, what));
      return;
    }
    window = { atMs: nowMs, bytes: progress.bytes };
    if (nowMs - retrieval.atMs >= RETRIEVAL_WINDOW_MS) retrieval = window;
  }
}

function progressOf({ headers }: IncomingMessage): PeerProgress {
  const availableBytes = countOf(headers[AVAILABLE_HEADER]) ?? 0;
  return { availableBytes, receivedBytes: countOf(headers[RECEIVED_HEADER]) ?? availableBytes };
}

function countOf(text: string | readonly string[] | undefined): number | undefined {
  return typeof text === "string" && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
