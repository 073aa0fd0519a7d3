import { CodedError, hasCode } from "@flotilla/shared/kernel/errors";
import type { ArtifactOffer } from "@flotilla/shared/protocol/down/artifact-offer";
import type { Bytes } from "@flotilla/shared/protocol/down/bytes";
import { BYTES_ANSWER_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import type { ArtifactGet } from "@flotilla/shared/protocol/up/artifact-get";
import { type BytesGet } from "@flotilla/shared/protocol/up/bytes-get";
import type { ArtifactLink, ByteRequest } from "../artifact/ports.ts";
import type { ByteSourceErrorCode, RangeSource } from "./ports.ts";

/** Until the hub has answered what files there are. It may have to look, not to make. */
export const OFFER_TIMEOUT_MS = 30_000;
/** Until it has answered with bytes. */
export const BYTES_TIMEOUT_MS = 60_000;
/** Questions for bytes that are under way at a time: the hub takes four of one node, and one may be for an offer. */
export const LINK_RANGES_AT_A_TIME = 3;

/** The link's questions, as far as artifacts need them. */
export interface ArtifactQuestions {
  ask(
    question: { readonly kind: "artifact-get"; readonly body: ArtifactGet },
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<ArtifactOffer>;
  ask(
    question: { readonly kind: "bytes-get"; readonly body: BytesGet },
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<Bytes>;
}

/** What the hub is asked over the MQTT link: offers always, bytes where its own port does not pass. */
export class LinkSource implements ArtifactLink, RangeSource {
  readonly name = "link";
  readonly rangeBytesMax = BYTES_ANSWER_BYTES_MAX;
  readonly rangesAtATime = LINK_RANGES_AT_A_TIME;
  readonly #questions: ArtifactQuestions;

  constructor(deps: { readonly questions: ArtifactQuestions }) {
    this.#questions = deps.questions;
  }

  offer(request: ArtifactGet, signal: AbortSignal): Promise<ArtifactOffer> {
    const question = { kind: "artifact-get", body: request } as const;
    return this.#questions.ask(question, { timeoutMs: OFFER_TIMEOUT_MS, signal });
  }

  async read(request: ByteRequest): Promise<Uint8Array> {
    const { path, offset, length, signal } = request;
    const { bytes } = await this.#ask({ path, offset, length }, signal);
    if (bytes.length !== length)
      throw failed("source-misbehaves", path, `${bytes.length} of ${length} bytes came`);
    return bytes;
  }

  async readWhole(request: {
    readonly path: string;
    readonly bytesMax: number;
    readonly signal: AbortSignal;
  }): Promise<Uint8Array | "absent"> {
    const { path, bytesMax, signal } = request;
    try {
      const first = await this.#ask({ path, offset: 0, length: BYTES_ANSWER_BYTES_MAX }, signal);
      const { totalBytes } = first;
      if (totalBytes > bytesMax)
        throw failed("source-misbehaves", path, `${totalBytes} bytes, at most ${bytesMax} may be`);
      const whole = new Uint8Array(totalBytes);
      let at = 0;
      for (let part = first; ; ) {
        if (part.bytes.length > totalBytes - at || part.totalBytes !== totalBytes)
          throw failed("source-misbehaves", path, "the file is another one than before");
        whole.set(part.bytes, at);
        at += part.bytes.length;
        if (at === totalBytes) return whole;
        if (part.bytes.length === 0)
          throw failed("source-misbehaves", path, `nothing came of ${totalBytes - at} bytes`);
        const length = Math.min(BYTES_ANSWER_BYTES_MAX, totalBytes - at);
        part = await this.#ask({ path, offset: at, length }, signal);
      }
    } catch (error) {
      if (hasCode(error, "source-absent")) return "absent";
      throw error;
    }
  }

  async #ask(
    body: BytesGet,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly totalBytes: number }> {
    const { data, totalBytes, error } = await this.#answer(body, signal);
    if (error === "not-found") throw failed("source-absent", body.path, "the hub has it not");
    if (error === "busy") throw failed("source-busy", body.path, "the hub has too much to do");
    if (error !== undefined) throw failed("source-unreachable", body.path, "the hub failed");
    const bytes = bytesOfBase64(data);
    if (bytes === undefined || bytes.length > body.length)
      throw failed("source-misbehaves", body.path, "the answer is not what was asked for");
    return { bytes, totalBytes };
  }

  async #answer(body: BytesGet, signal: AbortSignal): Promise<Bytes> {
    try {
      const question = { kind: "bytes-get", body } as const;
      return await this.#questions.ask(question, { timeoutMs: BYTES_TIMEOUT_MS, signal });
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const code = error.code === "link-busy" ? "source-busy" : "source-unreachable";
      throw failed(code, body.path, error.message, error);
    }
  }
}

function failed(
  code: ByteSourceErrorCode,
  path: string,
  what: string,
  cause?: unknown,
): CodedError<ByteSourceErrorCode> {
  return new CodedError(code, `link, ${path}: ${what}`, {
    fields: { source: "link", path },
    mend: "Another source, or this one later, is tried by itself.",
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Undefined when it is no base64. */
export function bytesOfBase64(text: string): Uint8Array | undefined {
  try {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  } catch {
    return undefined;
  }
}
