import type { FastifyReply, FastifyRequest } from "fastify";
import type { LogApi } from "../../app/logs/ports.ts";
import { badRequest } from "../../domain/resources/api-error.ts";
import { queryOf, warn } from "./api-request.ts";
import { LOG_LINES_DEFAULT, LOG_LINES_MAX } from "./limits.ts";
import { flag, wholeNumber } from "./query.ts";

/** Options of `kubectl logs` that we cannot honour yet; leaving them out silently would show the wrong lines. */
const NOT_YET = ["follow", "previous", "timestamps"] as const;
const NOT_YET_VALUES = ["sinceSeconds", "sinceTime"] as const;

/** `GET …/pods/NAME/log`: the end of the log as text. */
export async function answerLog(
  pod: { readonly namespace: string; readonly name: string },
  logs: LogApi,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const query = queryOf(request);
  const refused =
    NOT_YET.find((name) => flag(query, name)) ?? NOT_YET_VALUES.find((name) => query.has(name));
  if (refused !== undefined)
    throw badRequest(`${refused} is not supported yet; --tail and --container are`);
  const container = query.get("container") ?? "";
  const bytesMax = wholeNumber(query, "limitBytes");
  const { text, truncated } = await logs.tail({
    namespace: pod.namespace,
    pod: pod.name,
    ...(container === "" ? {} : { container }),
    tailLines: Math.min(wholeNumber(query, "tailLines") ?? LOG_LINES_DEFAULT, LOG_LINES_MAX),
  });
  if (truncated && !query.has("tailLines")) warn(reply, ["the log begins before these lines"]);
  const bytes = Buffer.from(text);
  return reply
    .code(200)
    .header("content-type", "text/plain; charset=utf-8")
    .send(bytesMax === undefined ? bytes : bytes.subarray(0, bytesMax));
}
