import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Static, type TSchema, Type } from "typebox";
import { Compile } from "typebox/compile";
import type { EnrolmentAnswer, EnrolmentApi } from "../../app/enrolment/ports.ts";
import { EnrolmentError } from "../../domain/enrolment/enrolment-error.ts";
import { bodyOf } from "./api-request.ts";
import { decodeJson } from "./bodies.ts";
import { ENROLMENT_BODY_BYTES_MAX } from "./limits.ts";
import type { RateLimiter } from "./rate-limit.ts";

const Pem = Type.String({ minLength: 1, maxLength: 8_192 });

/** Body of POST /enrolment/v1/join. */
const JoinBody = Type.Object({
  token: Type.String({ minLength: 1, maxLength: 512 }),
  nodeName: Type.String({ minLength: 1, maxLength: 63 }),
  csr: Pem,
});

/** Body of POST /enrolment/v1/renew. */
const RenewBody = Type.Object({
  certificate: Pem,
  csr: Pem,
  message: Type.String({ minLength: 1, maxLength: 512 }),
  signature: Type.String({ minLength: 1, maxLength: 1_024 }),
});

interface EnrolmentDeps {
  readonly enrolment: EnrolmentApi;
  readonly limiter: RateLimiter;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Enrolment: the only writes without a bearer token. Small bodies, few requests per address, and errors as
 * `{code, message, mend}`, which an agent prints as they are.
 */
export function enrolmentRoutes(app: FastifyInstance, deps: EnrolmentDeps): void {
  const { enrolment } = deps;
  const options = { bodyLimit: ENROLMENT_BODY_BYTES_MAX };
  app.post(
    "/enrolment/v1/join",
    options,
    handler(JoinBody, (b, from) => enrolment.join(b, from), deps),
  );
  app.post(
    "/enrolment/v1/renew",
    options,
    handler(RenewBody, (b, from) => enrolment.renew(b, from), deps),
  );
}

function handler<T extends TSchema>(
  schema: T,
  enrol: (body: Static<T>, remoteAddress: string) => Promise<EnrolmentAnswer>,
  deps: EnrolmentDeps,
) {
  const checker = Compile(schema);
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const waitSeconds = deps.limiter.take(request.ip);
    if (waitSeconds > 0) {
      deps.metrics.count("flotilla_hub_http_rate_limited_total");
      reply.header("retry-after", String(waitSeconds));
      const message = "too many enrolment requests from this address";
      return refuse(reply, 429, { code: "rate-limited", message, mend: `Wait ${waitSeconds} s.` });
    }
    try {
      const body: unknown = decodeJson(bodyOf(request) ?? new Uint8Array());
      if (!checker.Check(body)) return refuse(reply, 400, badBody(checker.Errors(body)[0]));
      return await reply.code(200).send(await enrol(body, request.ip));
    } catch (error) {
      return refuseError(reply, error, deps.log);
    }
  };
}

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly mend?: string;
}

function refuse(reply: FastifyReply, statusCode: number, refusal: Refusal): FastifyReply {
  return reply.code(statusCode).send(refusal);
}

function badBody(
  error: { readonly instancePath: string; readonly message: string } | undefined,
): Refusal {
  const field = error?.instancePath.replace(/^\//, "") ?? "";
  const message = `${field === "" ? "body" : field}: ${error?.message ?? "invalid"}`;
  return { code: "bad-request", message, mend: "Update the agent to the hub's version." };
}

function refuseError(reply: FastifyReply, error: unknown, log: Log): FastifyReply {
  if (error instanceof EnrolmentError) {
    const { code, message, mend, httpStatus } = error;
    return refuse(reply, httpStatus, { code, message, ...(mend === undefined ? {} : { mend }) });
  }
  const statusCode = statusOf(error);
  if (statusCode < 500)
    return refuse(reply, statusCode, { code: "bad-request", message: messageOf(error) });
  log.error({ error }, "an enrolment failed");
  return refuse(reply, 500, {
    code: "internal",
    message: "the hub could not enrol; try again later",
  });
}

function statusOf(error: unknown): number {
  const code = error instanceof Error && "statusCode" in error ? error.statusCode : undefined;
  return typeof code === "number" ? code : 500;
}
