/** The resource API: what kubectl, the CLI and the console read and write, on top of the store and without HTTP. */
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Json } from "@flotilla/shared/kernel/json";
import { applyMergePatch } from "@flotilla/shared/kernel/merge-patch";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Log } from "@flotilla/shared/kernel/service";
import type { KindName } from "@flotilla/shared/model/kinds";
import {
  ApiError,
  badRequest,
  methodNotAllowed,
  notFound,
} from "../../domain/resources/api-error.ts";
import { memberAt, nameOf } from "../../domain/resources/api-object.ts";
import { checkBodyShape, type JsonObject } from "../../domain/resources/body-shape.ts";
import { infoOf, isView, sourceOf, subjectOf } from "../../domain/resources/kind-lookup.ts";
import { withRenewTime } from "../../domain/resources/views/lease-view.ts";
import { nodeView, nodeWrite } from "../../domain/resources/views/node-view.ts";
import { project } from "../../domain/resources/views/project.ts";
import type { JoinTokenHooks, WriteRequest } from "./draft.ts";
import type {
  AnyObject,
  ApiObject,
  DeleteOptions,
  DeleteOutcome,
  ListOptions,
  ObjectList,
  ResourceApi,
  ResourceStore,
  ServedKind,
  WatchEvent,
  WatchOptions,
  WriteOptions,
  WriteOutcome,
  WriteTarget,
} from "./ports.ts";
import { readOne, readPage } from "./reader.ts";
import { Remover } from "./remover.ts";
import { WATCH_LAG_LINES_MAX, watchLog } from "./watch.ts";
import { PATCH_ATTEMPTS_MAX, Writer } from "./writer.ts";

export interface ResourceServiceOptions {
  /** Lines that a watcher may be behind; default WATCH_LAG_LINES_MAX. */
  readonly watchLagLinesMax?: number;
}

export interface ResourceServiceDeps {
  readonly store: ResourceStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Secrets of new JoinTokens: EnrolmentApi. */
  readonly hooks: JoinTokenHooks;
  /** Wall clock at which this hub last heard a node; shown as the renewTime of its Lease. */
  readonly heardWallMs?: (nodeName: string) => number | undefined;
}

/** Deletions of a collection that are under way at once; they share transactions. */
const DELETIONS_AT_ONCE = 500;

/** ResourceApi over the store. Failures are ApiError. */
export class ResourceService implements ResourceApi {
  readonly #options: ResourceServiceOptions;
  readonly #store: ResourceStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #writer: Writer;
  readonly #remover: Remover;
  readonly #heardWallMs: (nodeName: string) => number | undefined;

  constructor(options: ResourceServiceOptions, deps: ResourceServiceDeps) {
    this.#options = options;
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#writer = new Writer(deps);
    this.#remover = new Remover(deps);
    this.#heardWallMs = deps.heardWallMs ?? (() => undefined);
  }

  get(kind: ServedKind, namespace: string, name: string): ApiObject {
    return this.#withRenewal(kind, readOne(this.#store, kind, scopeOf(kind, namespace), name));
  }

  list(kind: ServedKind, options: ListOptions): ObjectList {
    const page = readPage(this.#store, kind, options);
    if (kind !== "Lease") return page;
    return { ...page, items: page.items.map((item) => this.#withRenewal(kind, item)) };
  }

  #withRenewal(kind: ServedKind, object: ApiObject): ApiObject {
    if (kind !== "Lease") return object;
    return withRenewTime(object, this.#heardWallMs(nameOf(object)));
  }

  watch(kind: ServedKind, options: WatchOptions, signal: AbortSignal): AsyncIterable<WatchEvent> {
    return watchLog(
      {
        kind,
        options,
        signal,
        lagLinesMax: this.#options.watchLagLinesMax ?? WATCH_LAG_LINES_MAX,
      },
      { store: this.#store, clock: this.#clock },
    );
  }

  async create(
    kind: ServedKind,
    namespace: string,
    body: unknown,
    options: WriteOptions,
  ): Promise<WriteOutcome> {
    const stored = writable(kind, "create");
    if (infoOf(stored).namespaced && namespace === "")
      throw badRequest("an empty namespace may not be set during creation");
    const within = scopeOf(stored, namespace);
    return this.#write({ kind: stored, namespace: within, operation: "create", body, options });
  }

  async update(target: WriteTarget, body: unknown, options: WriteOptions): Promise<WriteOutcome> {
    if (target.kind === "Node")
      return this.#writeNode(target, options, () => checkBodyShape(body, "Node"));
    const kind = writable(target.kind, "update");
    checkStatusIsOpen(target);
    return this.#write({ ...addressOf(target), kind, operation: "update", body, options });
  }

  async mergePatch(
    target: WriteTarget,
    patch: unknown,
    options: WriteOptions,
  ): Promise<WriteOutcome> {
    if (target.kind === "Node") {
      const checked = checkBodyShape(patch, "Node");
      return this.#writeNode(target, options, (view) => patched(view, checked));
    }
    const kind = writable(target.kind, "patch");
    checkStatusIsOpen(target);
    return this.#write({ ...addressOf(target), kind, operation: "patch", body: patch, options });
  }

  async remove(
    kind: ServedKind,
    namespace: string,
    name: string,
    options: DeleteOptions,
  ): Promise<DeleteOutcome> {
    if (kind === "Node" || kind === "Lease")
      throw methodNotAllowed(
        `a ${kind} shows an EdgeNode and cannot be deleted: delete edgenode ${name} instead`,
      );
    // A Pod goes with its Assignment; the controller of the Application makes it anew.
    const key = { kind: sourceOf(kind), namespace: scopeOf(kind, namespace), name };
    const outcome = await this.#remover.remove(key, options);
    if (options.dryRun !== true)
      this.#log.info({ user: options.user.name, verb: "delete", kind, namespace, name }, "deleted");
    if (!isView(kind)) return outcome;
    return { ...outcome, object: project(kind, outcome.object as unknown as AnyObject) };
  }

  async removeCollection(
    kind: ServedKind,
    list: ListOptions,
    options: DeleteOptions,
  ): Promise<readonly ApiObject[]> {
    const { items } = this.list(kind, list);
    const removed: ApiObject[] = [];
    for (let i = 0; i < items.length; i += DELETIONS_AT_ONCE) {
      const batch = items
        .slice(i, i + DELETIONS_AT_ONCE)
        .map((item) => this.#removeItem(kind, item, options));
      removed.push(...(await Promise.all(batch)).filter((o) => o !== undefined));
    }
    return removed;
  }

  /** Undefined when it was gone before. */
  async #removeItem(
    kind: ServedKind,
    item: ApiObject,
    options: DeleteOptions,
  ): Promise<ApiObject | undefined> {
    const namespace = item.metadata["namespace"];
    try {
      const outcome = await this.remove(
        kind,
        typeof namespace === "string" ? namespace : "",
        nameOf(item),
        options,
      );
      return outcome.object;
    } catch (error) {
      if (error instanceof ApiError && error.reason === "NotFound") return undefined;
      throw error;
    }
  }

  async #write(request: WriteRequest): Promise<WriteOutcome> {
    const outcome = await this.#writer.write(request);
    const { kind, namespace, operation: verb } = request;
    const name = nameOf(outcome.object);
    if (request.options.dryRun !== true)
      this.#log.info({ user: request.options.user.name, verb, kind, namespace, name }, "written");
    return outcome;
  }

  /**
   * What kubectl cordon, uncordon, taint, label and annotate write to a Node becomes a write to its EdgeNode. A node reports
   * every few seconds, so a write that names no version is made anew when a report came first.
   */
  async #writeNode(
    target: WriteTarget,
    options: WriteOptions,
    ask: (view: JsonObject) => JsonObject,
  ): Promise<WriteOutcome> {
    if (target.subresource === "status")
      throw methodNotAllowed("the status of a Node is told by its device");
    for (let attempt = 1; ; attempt++) {
      const { asked, body } = this.#askOfNode(target.name, ask);
      const address = { kind: "EdgeNode", namespace: "", name: target.name } as const;
      try {
        const outcome = await this.#write({ ...address, operation: "update", body, options });
        return { ...outcome, object: project("Node", outcome.object as unknown as AnyObject) };
      } catch (error) {
        const isStale = error instanceof ApiError && error.reason === "Conflict";
        const namesVersion = memberAt(asked, "metadata", "resourceVersion") !== undefined;
        if (!isStale || namesVersion || attempt >= PATCH_ATTEMPTS_MAX) throw error;
      }
    }
  }

  /** What is asked of the Node as it is now, and the EdgeNode that this makes. */
  #askOfNode(
    name: string,
    ask: (view: JsonObject) => JsonObject,
  ): { readonly asked: JsonObject; readonly body: JsonObject } {
    const node = this.#store.get("EdgeNode", "", name);
    if (node === undefined) throw notFound(subjectOf("Node", name));
    const view = nodeView(node);
    const asked = ask({ ...view, metadata: { ...view.metadata, resourceVersion: undefined } });
    return { asked, body: withVersion(nodeWrite(node, asked), node) };
  }
}

/** Throws 405 for what only the hub writes. */
function writable(kind: ServedKind, verb: string): KindName {
  if (isView(kind))
    throw methodNotAllowed(
      `a ${kind} shows an object of kind ${sourceOf(kind)}: ${verb} is not supported, write that one instead`,
    );
  if (kind === "Assignment")
    throw methodNotAllowed(
      `assignments are made by the hub: ${verb} is not supported, change the Application instead`,
    );
  if (kind === "MovePlan")
    throw methodNotAllowed(
      `move plans are made by the hub: ${verb} is not supported, delete one to stop it`,
    );
  return kind;
}

/** Throws 405 for a status that only the hub may tell: it holds what proves a token. */
function checkStatusIsOpen(target: WriteTarget): void {
  if (target.kind === "JoinToken" && target.subresource === "status")
    throw methodNotAllowed("the status of a JoinToken is written by the hub alone");
}

/** Objects outside namespaces are kept under "". */
function scopeOf(kind: ServedKind, namespace: string): string {
  return infoOf(kind).namespaced ? namespace : "";
}

function addressOf(target: WriteTarget): Pick<WriteRequest, "namespace" | "name" | "subresource"> {
  const { kind, namespace, name, subresource } = target;
  return {
    namespace: scopeOf(kind, namespace),
    name,
    ...(subresource === undefined ? {} : { subresource }),
  };
}

function patched(view: JsonObject, patch: JsonObject): JsonObject {
  // JSON in, JSON out; a Node is small.
  const plain: Json = JSON.parse(JSON.stringify(view)) as Json;
  return checkBodyShape(applyMergePatch(plain, patch as Json), "Node");
}

/** A write that names no version is on top of the one just read. */
function withVersion(object: JsonObject, node: AnyObject): JsonObject {
  const metadata = object["metadata"] as JsonObject;
  const { resourceVersion } = node.metadata;
  return {
    ...object,
    metadata: { ...metadata, resourceVersion: metadata["resourceVersion"] ?? resourceVersion },
  };
}
