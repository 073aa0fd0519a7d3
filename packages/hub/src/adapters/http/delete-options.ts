import type { DeleteOptions, User } from "../../app/resources/ports.ts";
import { badRequest } from "../../domain/resources/api-error.ts";
import { decodeObject } from "./bodies.ts";
import { parseMediaType } from "./media-types.ts";
import { messageField, PROTOBUF_TYPE, readEnvelope, textField } from "./protobuf.ts";
import { deleteQuery, dryRunOf, propagation } from "./query.ts";

/** metav1.DeleteOptions from query and body (JSON, YAML, or the protobuf that typed clients send); the body wins. */
export function readDeleteOptions(request: {
  readonly query: URLSearchParams;
  readonly body: Uint8Array | undefined;
  readonly contentType: string | undefined;
  readonly user: User;
}): DeleteOptions {
  const { query, body, contentType, user } = request;
  const fromQuery = deleteQuery(query);
  if (body === undefined || body.length === 0) return { user, ...fromQuery };
  const isProtobuf = parseMediaType(contentType ?? "")?.type === PROTOBUF_TYPE;
  const fromBody = isProtobuf ? ofProtobuf(body) : ofObject(decodeObject(body, contentType));
  return { user, ...fromQuery, ...fromBody };
}

function ofObject(value: unknown): Omit<DeleteOptions, "user"> {
  const options = record(value, "DeleteOptions");
  const dryRun = options["dryRun"];
  const preconditions = record(options["preconditions"] ?? {}, "preconditions");
  return {
    ...dryRunOf(Array.isArray(dryRun) ? dryRun.map(String) : []),
    ...preconditionsOf(
      text(preconditions["uid"], "preconditions.uid"),
      text(preconditions["resourceVersion"], "preconditions.resourceVersion"),
    ),
    ...propagation(options["propagationPolicy"], options["orphanDependents"]),
  };
}

/** Field numbers of k8s.io/apimachinery meta/v1 generated.proto, messages DeleteOptions and Preconditions. */
function ofProtobuf(body: Uint8Array): Omit<DeleteOptions, "user"> {
  const fields = readEnvelope(body);
  const preconditions = messageField(fields, 2) ?? new Map();
  return {
    ...dryRunOf(fields.has(5) ? ["All"] : []),
    ...preconditionsOf(textField(preconditions, 1), textField(preconditions, 2)),
    ...propagation(textField(fields, 4), fields.get(3)?.at(-1) === 1),
  };
}

function preconditionsOf(
  uid: string | undefined,
  resourceVersion: string | undefined,
): Pick<DeleteOptions, "preconditions"> {
  if (uid === undefined && resourceVersion === undefined) return {};
  return {
    preconditions: {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
  };
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw badRequest(`${what}: must be an object`);
  return { ...value };
}

function text(value: unknown, what: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw badRequest(`${what}: must be a string`);
  return value;
}
