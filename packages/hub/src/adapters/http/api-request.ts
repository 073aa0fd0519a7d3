import type { FastifyReply, FastifyRequest } from "fastify";
import type { User } from "../../app/resources/ports.ts";
import { ApiError, unauthorized } from "../../domain/resources/api-error.ts";
import { WARNING_LENGTH_MAX, WARNINGS_MAX } from "./limits.ts";
import { negotiateForm } from "./media-types.ts";
import { includeObject, type Presentation, type Presented, render } from "./presenter.ts";
import { flag } from "./query.ts";

/** What handlers need of a request beyond fastify: set by the hooks in server.ts. */
declare module "fastify" {
  interface FastifyRequest {
    user: User | undefined;
    /** Verb for metrics, from a closed set. */
    verb: string;
    startedMs: number;
  }
}

/** Path of a request without its query. */
export function pathOf(request: FastifyRequest): string {
  return (request.raw.url ?? "/").split("?", 1)[0] ?? "/";
}

/** Query of a request. */
export function queryOf(request: FastifyRequest): URLSearchParams {
  const url = request.raw.url ?? "/";
  const at = url.indexOf("?");
  return new URLSearchParams(at < 0 ? "" : url.slice(at + 1));
}

/** Who asks; the hook has refused everybody else. */
export function userOf(request: FastifyRequest): User {
  if (request.user === undefined) throw unauthorized();
  return request.user;
}

/** The body's bytes; undefined when there is none. */
export function bodyOf(request: FastifyRequest): Uint8Array | undefined {
  return request.body instanceof Uint8Array ? request.body : undefined;
}

/** The form in which the client wants its answer. Throws 406 when we have none of those it names. */
export function presentationOf(request: FastifyRequest): Presentation {
  const form = negotiateForm(request.headers.accept);
  if (form === undefined)
    throw new ApiError(
      "NotAcceptable",
      "only the following media types are accepted: application/json, application/yaml",
    );
  const query = queryOf(request);
  return { form, includeObject: includeObject(query), pretty: flag(query, "pretty") };
}

/** Sends a presented value. As bytes: fastify adds a charset to the content type of a text, which Kubernetes has not. */
export function send(reply: FastifyReply, statusCode: number, body: Presented): FastifyReply {
  return reply
    .code(statusCode)
    .header("content-type", body.contentType)
    .send(Buffer.from(body.text));
}

/** Sends any value as JSON, or as YAML when that is what was asked for. */
export function sendValue(
  request: FastifyRequest,
  reply: FastifyReply,
  statusCode: number,
  value: unknown,
): FastifyReply {
  const form = negotiateForm(request.headers.accept);
  const yaml = form?.as === "object" && form.yaml;
  const pretty = flag(queryOf(request), "pretty");
  return send(reply, statusCode, render(value, { form: { as: "object", yaml }, pretty }));
}

/** Puts warnings into headers (RFC 7234 §5.5, code 299), which kubectl prints. */
export function warn(reply: FastifyReply, warnings: readonly string[]): void {
  if (warnings.length === 0) return;
  const headers = warnings.slice(0, WARNINGS_MAX).map((text) => {
    // Header values are visible ASCII; quoting as RFC 9110 §5.6.4.
    const plain = text.slice(0, WARNING_LENGTH_MAX).replace(/[^\x20-\x7e]/g, "?");
    return `299 - "${plain.replace(/["\\]/g, "\\$&")}"`;
  });
  reply.header("warning", headers);
}
