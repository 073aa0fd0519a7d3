import type { Socket } from "node:net";
import { hasCode, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import {
  ApiError,
  badRequest,
  internalError,
  serviceUnavailable,
  tooLarge,
  unsupportedMediaType,
} from "../../domain/resources/api-error.ts";
import { pathOf, sendValue } from "./api-request.ts";
import { OBJECT_TYPES } from "./bodies.ts";
import { BODY_BYTES_MAX } from "./limits.ts";

/** Everything that goes wrong is answered as a Status; what is ours to mend goes to the log, and no stack to the client. */
export function errorReplies(app: FastifyInstance, deps: { readonly log: Log }): void {
  app.setErrorHandler((error: unknown, request, reply) =>
    replyError(error, request, reply, deps.log),
  );
  app.setNotFoundHandler((_request, reply) => replyUnknownPath(reply));
}

/** Unknown paths are answered in plain text, as kube-apiserver does: kubectl tells a missing API by it. */
export function replyUnknownPath(reply: FastifyReply): FastifyReply {
  return reply
    .code(404)
    .header("content-type", "text/plain; charset=utf-8")
    .send("404 page not found\n");
}

/** Answers the Status of an error. */
export function replyError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  log: Log,
): FastifyReply {
  const shown = shownError(error);
  if (shown.statusCode >= 500 && !(error instanceof ApiError))
    log.error({ error, method: request.method, path: pathOf(request) }, "a request failed");
  const retryAfterSeconds = shown.details?.retryAfterSeconds;
  if (retryAfterSeconds !== undefined) reply.header("retry-after", String(retryAfterSeconds));
  return sendValue(request, reply, shown.statusCode, shown.toStatus());
}

/** Store errors after which the same request may be sent again. */
const TRY_AGAIN = ["store-overloaded", "store-closed", "database-full", "database-busy"] as const;

function shownError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (TRY_AGAIN.some((code) => hasCode(error, code)))
    return serviceUnavailable("the store cannot take the change now; try again later");
  if (hasCode(error, "object-too-large")) return tooLarge(error.message);
  const statusCode = error instanceof Error && "statusCode" in error ? error.statusCode : 500;
  if (statusCode === 413)
    return tooLarge(`the body of the request is larger than ${BODY_BYTES_MAX} bytes`);
  if (statusCode === 415) return unsupportedMediaType(OBJECT_TYPES);
  if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500)
    return badRequest(messageOf(error));
  return internalError("an internal error occurred; the hub's log says more");
}

const CLIENT_ERRORS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

/** Answers what was no HTTP request, or took too long to become one, and closes. */
export function replyClientError(error: { readonly code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = CLIENT_ERRORS[error.code ?? ""] ?? "400 Bad Request";
  const body = `${JSON.stringify({ ...badRequest("the request is no valid HTTP request").toStatus(), code: Number(status.slice(0, 3)) })}\n`;
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  socket.once("finish", () => socket.destroySoon());
}
