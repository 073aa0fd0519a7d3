import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { ResourceApi } from "../../app/resources/ports.ts";
import type { PlacementApi } from "../../app/scheduling/ports.ts";
import { ApiError, methodNotAllowed } from "../../domain/resources/api-error.ts";
import { memberAt } from "../../domain/resources/api-object.ts";
import { bodyOf, queryOf, sendValue, userOf, warn } from "./api-request.ts";
import { decodeObject } from "./bodies.ts";
import { writeOptions } from "./query.ts";
import type { ResourcePath } from "./resource-path.ts";

/** Subresources that answer a question about placement and change nothing. */
export const PLACEMENT_SUBRESOURCES = ["explain", "plan"] as const;

interface Deps {
  readonly placement: PlacementApi;
  readonly resources: ResourceApi;
}

/** `GET …/assignments/NAME/explain` and `POST …/applications/NAME/plan`. */
export async function answerPlacement(
  path: ResourcePath & { readonly name: string },
  deps: Deps,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (path.subresource === "explain" && request.method === "GET")
    return sendValue(request, reply, 200, deps.placement.explain(path.namespace, path.name));
  if (path.subresource === "plan" && request.method === "POST")
    return answerPlan(path, deps, request, reply);
  throw methodNotAllowed(`${path.subresource} cannot be asked for with ${request.method}`);
}

/** The Application goes through everything that a write goes through, and is planned instead of stored. */
async function answerPlan(
  { namespace, name }: ResourcePath & { readonly name: string },
  { placement, resources }: Deps,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const user = userOf(request);
  const options = {
    ...writeOptions(queryOf(request), user, request.headers["user-agent"]),
    dryRun: true,
  };
  const body = decodeObject(bodyOf(request) ?? new Uint8Array(), request.headers["content-type"]);
  const target = { kind: "Application" as const, namespace, name };
  const version = versionOf(resources, target);
  const outcome =
    version === undefined
      ? await resources.create("Application", namespace, body, options)
      : await resources.update(target, withVersion(body, version), options);
  warn(reply, outcome.warnings);
  // It went through the checks of its kind.
  const application = outcome.object as unknown as ObjectOf<"Application">;
  return sendValue(request, reply, 200, placement.plan(application));
}

/** Version of what stands there now. */
function versionOf(
  resources: ResourceApi,
  { kind, namespace, name }: { kind: "Application"; namespace: string; name: string },
): string | undefined {
  try {
    const version = resources.get(kind, namespace, name).metadata["resourceVersion"];
    return typeof version === "string" ? version : undefined;
  } catch (error) {
    if (error instanceof ApiError && error.reason === "NotFound") return undefined;
    throw error;
  }
}

/** A manifest names no version: it is planned on whatever stands there. */
function withVersion(body: unknown, resourceVersion: string): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const metadata = memberAt({ ...body }, "metadata");
  return typeof metadata === "object" && metadata !== null
    ? { ...body, metadata: { ...metadata, resourceVersion } }
    : body;
}
