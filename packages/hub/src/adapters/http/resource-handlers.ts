import type { FastifyReply, FastifyRequest } from "fastify";
import type {
  ResourceApi,
  WriteOptions,
  WriteOutcome,
  WriteTarget,
} from "../../app/resources/ports.ts";
import { patchTypes } from "../../domain/openapi/openapi-v3.ts";
import { methodNotAllowed, unsupportedMediaType } from "../../domain/resources/api-error.ts";
import { bodyOf, presentationOf, queryOf, send, sendValue, userOf, warn } from "./api-request.ts";
import { decodeJson, decodeObject } from "./bodies.ts";
import { readDeleteOptions } from "./delete-options.ts";
import { parseMediaType } from "./media-types.ts";
import type { Presenter } from "./presenter.ts";
import { PROTOBUF_TYPE } from "./protobuf.ts";
import { decodeProtobufObject } from "./protobuf-objects.ts";
import { checkListVersion, isWatch, listOptions, watchOptions, writeOptions } from "./query.ts";
import type { ResourcePath } from "./resource-path.ts";
import type { WatchStreams } from "./watch-stream.ts";

const EMPTY = new Uint8Array();

/** Verbs of the resource API on one path: what HTTP asks → ResourceApi → what HTTP answers. Holds no rule of its own. */
export class ResourceHandlers {
  readonly #resources: ResourceApi;
  readonly #presenter: Presenter;
  readonly #watches: WatchStreams;

  constructor(
    _options: Readonly<Record<string, never>>,
    deps: {
      readonly resources: ResourceApi;
      readonly presenter: Presenter;
      readonly watches: WatchStreams;
    },
  ) {
    this.#resources = deps.resources;
    this.#presenter = deps.presenter;
    this.#watches = deps.watches;
  }

  /** Answers a request for this path, whatever its method. */
  async handle(path: ResourcePath, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    return path.name === undefined
      ? this.#collection(path, request, reply)
      : this.#item({ ...path, name: path.name }, request, reply);
  }

  async #collection(path: ResourcePath, request: FastifyRequest, reply: FastifyReply) {
    const { resource, namespace } = path;
    const inNamespace = !resource.namespaced || namespace !== "";
    if (request.method === "GET")
      return isWatch(queryOf(request))
        ? this.#watch(path, request, reply)
        : this.#list(path, request, reply);
    if (request.method === "POST" && inNamespace && resource.verbs.includes("create"))
      return this.#create(path, request, reply);
    if (request.method === "DELETE" && inNamespace && resource.verbs.includes("deletecollection"))
      return this.#removeCollection(path, request, reply);
    throw notAllowed();
  }

  async #item(path: NamedPath, request: FastifyRequest, reply: FastifyReply) {
    const verbs =
      path.resource.subresources.find((s) => s.name === path.subresource)?.verbs ??
      path.resource.verbs;
    const verb = ITEM_VERBS[request.method];
    if (verb === undefined || !verbs.includes(verb)) throw notAllowed();
    request.verb = verb;
    switch (verb) {
      case "get":
        return this.#get(path, request, reply);
      case "update":
        return this.#update(path, request, reply);
      case "patch":
        return this.#patch(path, request, reply);
      case "delete":
        return this.#remove(path, request, reply);
    }
  }

  #list({ resource, namespace }: ResourcePath, request: FastifyRequest, reply: FastifyReply) {
    request.verb = "list";
    const query = queryOf(request);
    const how = presentationOf(request);
    const list = this.#resources.list(resource.kind, listOptions(query, namespace));
    const refusal = checkListVersion(query, list.resourceVersion);
    if (refusal !== undefined) throw refusal;
    return send(reply, 200, this.#presenter.list(resource, list, how));
  }

  async #watch(
    { resource, namespace }: ResourcePath,
    request: FastifyRequest,
    reply: FastifyReply,
  ) {
    request.verb = "watch";
    const { options, timeoutMs } = watchOptions(queryOf(request), namespace);
    const presented = presentationOf(request);
    // Events are lines of JSON; there is no YAML stream.
    const how =
      presented.form.as === "object"
        ? { ...presented, form: { as: "object" as const, yaml: false } }
        : presented;
    this.#watches.admit();
    const headers: Record<string, string> = { "content-type": "application/json" };
    for (const [name, value] of Object.entries(reply.getHeaders()))
      if (typeof value === "string") headers[name] = value;
    reply.hijack();
    await this.#watches.serve({ resource, options, how, timeoutMs, headers }, reply.raw);
    return reply;
  }

  async #create(path: ResourcePath, request: FastifyRequest, reply: FastifyReply) {
    request.verb = "create";
    const options = optionsOf(request);
    const how = presentationOf(request);
    const { resource, namespace } = path;
    const body = objectOf(request, resource.kind);
    const outcome = await this.#resources.create(resource.kind, namespace, body, options);
    warn(reply, outcome.warnings);
    return send(reply, 201, this.#presenter.object(resource, outcome.object, how));
  }

  #get({ resource, namespace, name }: NamedPath, request: FastifyRequest, reply: FastifyReply) {
    const how = presentationOf(request);
    const object = this.#resources.get(resource.kind, namespace, name);
    return send(reply, 200, this.#presenter.object(resource, object, how));
  }

  async #update(path: NamedPath, request: FastifyRequest, reply: FastifyReply) {
    const options = optionsOf(request);
    const body = objectOf(request, path.resource.kind);
    const outcome = await this.#resources.update(targetOf(path), body, options);
    return this.#written(path, { request, reply, outcome });
  }

  async #patch(path: NamedPath, request: FastifyRequest, reply: FastifyReply) {
    const options = optionsOf(request);
    const accepted = patchTypes(path.resource);
    const type = parseMediaType(request.headers["content-type"] ?? "")?.type ?? "";
    if (!accepted.includes(type)) throw unsupportedMediaType(accepted);
    const patch = decodeJson(bodyOf(request) ?? EMPTY);
    const outcome = await this.#resources.mergePatch(targetOf(path), patch, options);
    return this.#written(path, { request, reply, outcome });
  }

  #written(
    path: NamedPath,
    answer: {
      readonly request: FastifyRequest;
      readonly reply: FastifyReply;
      readonly outcome: WriteOutcome;
    },
  ) {
    const { request, reply, outcome } = answer;
    warn(reply, outcome.warnings);
    const shown = this.#presenter.object(path.resource, outcome.object, presentationOf(request));
    return send(reply, outcome.created ? 201 : 200, shown);
  }

  async #remove(path: NamedPath, request: FastifyRequest, reply: FastifyReply) {
    const { resource, namespace, name } = path;
    const options = deleteOptionsOf(request);
    const outcome = await this.#resources.remove(resource.kind, namespace, name, options);
    if (!outcome.gone)
      return send(
        reply,
        200,
        this.#presenter.object(resource, outcome.object, presentationOf(request)),
      );
    return sendValue(request, reply, 200, {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Success",
      details: {
        name,
        ...(resource.group === "" ? {} : { group: resource.group }),
        kind: resource.plural,
        uid: outcome.object.metadata["uid"],
      },
    });
  }

  async #removeCollection(path: ResourcePath, request: FastifyRequest, reply: FastifyReply) {
    request.verb = "delete";
    const { resource, namespace } = path;
    const items = await this.#resources.removeCollection(
      resource.kind,
      listOptions(queryOf(request), namespace),
      deleteOptionsOf(request),
    );
    const { resourceVersion } = this.#resources.list(resource.kind, { limit: 1 });
    const list = { resourceVersion, items };
    return send(reply, 200, this.#presenter.list(resource, list, presentationOf(request)));
  }
}

type NamedPath = ResourcePath & { readonly name: string };

const ITEM_VERBS: Readonly<Record<string, "get" | "update" | "patch" | "delete">> = {
  GET: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

function targetOf({ resource, namespace, name, subresource }: NamedPath): WriteTarget {
  const target = { kind: resource.kind, namespace, name };
  return subresource === "status" ? { ...target, subresource } : target;
}

/** The object in a body of any type that is taken for this kind. */
function objectOf(request: FastifyRequest, kind: string): unknown {
  const body = bodyOf(request) ?? EMPTY;
  const contentType = request.headers["content-type"];
  return parseMediaType(contentType ?? "")?.type === PROTOBUF_TYPE
    ? decodeProtobufObject(kind, body)
    : decodeObject(body, contentType);
}

function optionsOf(request: FastifyRequest): WriteOptions {
  return writeOptions(queryOf(request), userOf(request), request.headers["user-agent"]);
}

function deleteOptionsOf(request: FastifyRequest) {
  return readDeleteOptions({
    query: queryOf(request),
    body: bodyOf(request),
    contentType: request.headers["content-type"],
    user: userOf(request),
  });
}

function notAllowed(): Error {
  return methodNotAllowed("the server does not allow this method on the requested resource");
}
