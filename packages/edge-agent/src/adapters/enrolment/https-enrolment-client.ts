import { createHash, X509Certificate } from "node:crypto";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { type Static, type TSchema, Type } from "typebox";
import { Check } from "typebox/value";
import type {
  EnrolmentAnswer,
  EnrolmentClient,
  EnrolmentErrorCode,
  JoinString,
} from "../../app/enrolment/ports.ts";
import {
  ANSWER_TIMEOUT_MS,
  badAnswer,
  getPlain,
  type HttpAnswer,
  postJson,
} from "./http-client.ts";

const Pem = Type.String({ minLength: 1, maxLength: 16_384 });

const Answer = Type.Object({
  nodeId: Type.String({ minLength: 1, maxLength: 63 }),
  shard: Type.String({ minLength: 1, maxLength: 63 }),
  certificate: Pem,
  caCertificate: Pem,
  signingKey: Pem,
  mqttUrl: Type.String({ pattern: "^mqtts://", maxLength: 512 }),
});

const Refusal = Type.Object({
  code: Type.String({ maxLength: 64 }),
  message: Type.String({ maxLength: 1_024 }),
  mend: Type.Optional(Type.String({ maxLength: 1_024 })),
});

/** Enrolment over HTTPS with the CA that the join string names. */
export class HttpsEnrolmentClient implements EnrolmentClient {
  readonly #timeoutMs: number;

  constructor(options: { readonly timeoutMs?: number } = {}) {
    this.#timeoutMs = options.timeoutMs ?? ANSWER_TIMEOUT_MS;
  }

  async join(request: {
    readonly join: JoinString;
    readonly nodeName: string;
    readonly csr: string;
  }): Promise<EnrolmentAnswer> {
    const { join, nodeName, csr } = request;
    const caCertificate = await this.#fetchCa(join);
    const body = { token: join.token, nodeName, csr };
    const answer = await this.#post(join.apiUrl, "join", body, caCertificate);
    if (fingerprintOf(answer.caCertificate) !== join.caFingerprint)
      throw caMismatch(join, "the answer names another CA than the join string");
    return answer;
  }

  renew(request: {
    readonly apiUrl: string;
    readonly caCertificate: string;
    readonly certificate: string;
    readonly csr: string;
    readonly message: string;
    readonly signature: string;
  }): Promise<EnrolmentAnswer> {
    const { apiUrl, caCertificate, certificate, csr, message, signature } = request;
    const body = { certificate, csr, message, signature };
    return this.#post(apiUrl, "renew", body, caCertificate);
  }

  /** In the clear, and worth nothing until its fingerprint is the one that was carried here by hand. */
  async #fetchCa(join: JoinString): Promise<string> {
    const url = new URL("/ca.pem", join.apiUrl);
    url.protocol = "http:";
    const answer = await getPlain(url, { timeoutMs: this.#timeoutMs });
    if (answer.status !== 200) throw badAnswer(`${url.href} answered ${answer.status}`);
    if (fingerprintOf(answer.text) !== join.caFingerprint)
      throw caMismatch(join, "the hub's CA certificate is not the one of the join string");
    return answer.text;
  }

  async #post(
    apiUrl: string,
    operation: "join" | "renew",
    body: unknown,
    caCertificate: string,
  ): Promise<EnrolmentAnswer> {
    const url = new URL(`/enrolment/v1/${operation}`, apiUrl);
    const answer = await postJson(url, body, { caCertificate, timeoutMs: this.#timeoutMs });
    if (answer.status !== 200) throw refused(answer);
    return decode(Answer, answer.text) ?? raise(badAnswer(`${url.href} answered no enrolment`));
  }
}

function raise(error: Error): never {
  throw error;
}

function decode<T extends TSchema>(schema: T, text: string): Static<T> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Check(schema, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Lower-case hexadecimal SHA-256 of the DER of the one certificate in the text; undefined for anything else. */
function fingerprintOf(pem: string): string | undefined {
  if (pem.split("-----BEGIN").length !== 2) return undefined;
  try {
    return createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
  } catch {
    return undefined;
  }
}

function caMismatch(join: JoinString, message: string): CodedError<EnrolmentErrorCode> {
  return new CodedError("ca-mismatch", `${join.apiUrl}: ${message}`, {
    fields: { apiUrl: join.apiUrl },
    mend: "Make a new join string at the hub; if it persists, somebody else answers at this address.",
  });
}

function refused(answer: HttpAnswer): CodedError<EnrolmentErrorCode> {
  const refusal = decode(Refusal, answer.text);
  if (refusal === undefined)
    return new CodedError("enrolment-refused", `the hub answered ${answer.status}`, {
      fields: { status: answer.status },
    });
  return new CodedError("enrolment-refused", refusal.message, {
    fields: { status: answer.status, hubCode: refusal.code },
    ...(refusal.mend === undefined ? {} : { mend: refusal.mend }),
  });
}
