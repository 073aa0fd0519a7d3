/** Two small HTTP calls with a cap and a time-out on everything that comes back: the hub is not trusted before it is known. */
import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { EnrolmentErrorCode } from "../../app/enrolment/ports.ts";

/** Longest wait for a whole answer. */
export const ANSWER_TIMEOUT_MS = 15_000;
/** Largest answer in bytes. */
export const ANSWER_BYTES_MAX: number = 64 * 1024;

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

interface Limits {
  readonly timeoutMs: number;
}

/** GET in the clear; for the CA certificate only, which is checked by its fingerprint. */
export function getPlain(url: URL, limits: Limits): Promise<HttpAnswer> {
  return exchange(url, limits, (signal) => requestPlain(url, { agent: false, signal }));
}

/** POST of JSON to a server that has a certificate of this CA, and for this host. */
export function postJson(
  url: URL,
  body: unknown,
  options: Limits & { readonly caCertificate: string },
): Promise<HttpAnswer> {
  const text = JSON.stringify(body);
  return exchange(
    url,
    options,
    (signal) =>
      requestTls(url, {
        method: "POST",
        agent: false,
        signal,
        ca: options.caCertificate,
        rejectUnauthorized: true,
        minVersion: "TLSv1.2",
        headers: {
          "content-type": "application/json",
          "content-length": Buffer.byteLength(text),
          accept: "application/json",
        },
      }),
    text,
  );
}

async function exchange(
  url: URL,
  limits: Limits,
  begin: (signal: AbortSignal) => ReturnType<typeof requestPlain>,
  body?: string,
): Promise<HttpAnswer> {
  const signal = AbortSignal.timeout(limits.timeoutMs);
  try {
    const request = begin(signal);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.on("response", resolve);
      request.on("error", reject);
      request.end(body);
    });
    return { status: response.statusCode ?? 0, text: await readCapped(response) };
  } catch (error) {
    if (error instanceof CodedError) throw error;
    const reason = signal.aborted ? `no answer within ${limits.timeoutMs} ms` : messageOf(error);
    throw new CodedError<EnrolmentErrorCode>("hub-unreachable", `${url.origin}: ${reason}`, {
      fields: { url: url.origin },
      mend: "Check the hub's address, that it runs, and that this device can reach it.",
      cause: error,
    });
  }
}

async function readCapped(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  for await (const chunk of response) {
    const bytes = Buffer.from(chunk);
    byteCount += bytes.length;
    if (byteCount > ANSWER_BYTES_MAX) {
      response.destroy();
      throw badAnswer(`an answer of more than ${ANSWER_BYTES_MAX} bytes`);
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The hub answered something that is no answer. */
export function badAnswer(message: string): CodedError<EnrolmentErrorCode> {
  return new CodedError("bad-answer", message, {
    mend: "Check that the address is a Flotilla hub's API port, and its version.",
  });
}
