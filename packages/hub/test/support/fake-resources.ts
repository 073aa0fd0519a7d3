import type {
  ApiObject,
  DeleteOptions,
  ListOptions,
  ObjectList,
  ResourceApi,
  ServedKind,
  WatchEvent,
  WatchOptions,
  WriteOptions,
  WriteTarget,
} from "../../src/app/resources/ports.ts";
import { conflict, notFound } from "../../src/domain/resources/api-error.ts";

/** A ResourceApi over one Map, with no rules: it shows what HTTP asked of it, and answers what a test puts in. */
export class FakeResources implements ResourceApi {
  readonly objects = new Map<string, ApiObject>();
  readonly calls: { readonly method: string; readonly args: readonly unknown[] }[] = [];
  /** Warnings of every write. */
  warnings: readonly string[] = [];
  /** Thrown by the next call. */
  failure: unknown;
  /** What watches yield. */
  events: (signal: AbortSignal) => AsyncIterable<WatchEvent> = forever;
  #revision = 100;

  get(kind: ServedKind, namespace: string, name: string): ApiObject {
    this.#note("get", kind, namespace, name);
    const found = this.objects.get(`${kind}/${namespace}/${name}`);
    if (found === undefined)
      throw notFound({ group: "fleet.kurator.dev", plural: "fleets", kind, name });
    return found;
  }

  list(kind: ServedKind, options: ListOptions): ObjectList {
    this.#note("list", kind, options);
    const items = [...this.objects]
      .filter(([key]) => key.startsWith(`${kind}/${options.namespace ?? ""}`))
      .map(([, object]) => object);
    const shown = items.slice(0, options.limit ?? items.length);
    const left = items.length - shown.length;
    return {
      resourceVersion: String(this.#revision),
      items: shown,
      ...(left > 0 ? { continueToken: "more", remainingItemCount: left } : {}),
    };
  }

  watch(kind: ServedKind, options: WatchOptions, signal: AbortSignal): AsyncIterable<WatchEvent> {
    this.#note("watch", kind, options);
    return this.events(signal);
  }

  async create(kind: ServedKind, namespace: string, body: unknown, options: WriteOptions) {
    this.#note("create", kind, namespace, body, options);
    const name = nameOf(body);
    return { object: this.put(kind, namespace, name), warnings: this.warnings, created: true };
  }

  async update(target: WriteTarget, body: unknown, options: WriteOptions) {
    this.#note("update", target, body, options);
    return this.#written(target);
  }

  async mergePatch(target: WriteTarget, patch: unknown, options: WriteOptions) {
    this.#note("mergePatch", target, patch, options);
    return this.#written(target);
  }

  async remove(kind: ServedKind, namespace: string, name: string, options: DeleteOptions) {
    this.#note("remove", kind, namespace, name, options);
    const object = this.get(kind, namespace, name);
    if (
      options.preconditions?.uid !== undefined &&
      options.preconditions.uid !== object.metadata["uid"]
    )
      throw conflict({ group: "fleet.kurator.dev", plural: "fleets", kind, name });
    const waits = object.metadata["finalizers"] !== undefined;
    if (!waits) this.objects.delete(`${kind}/${namespace}/${name}`);
    return { gone: !waits, object };
  }

  async removeCollection(kind: ServedKind, list: ListOptions, options: DeleteOptions) {
    this.#note("removeCollection", kind, list, options);
    const { items } = this.list(kind, list);
    this.objects.clear();
    return items;
  }

  /** Puts an object there. */
  put(
    kind: ServedKind,
    namespace: string,
    name: string,
    rest: Record<string, unknown> = {},
  ): ApiObject {
    const { metadata = {}, ...fields } = rest;
    const object: ApiObject = {
      apiVersion: "fleet.kurator.dev/v1alpha1",
      kind,
      metadata: {
        name,
        ...(namespace === "" ? {} : { namespace }),
        uid: `uid-${name}`,
        resourceVersion: String(++this.#revision),
        generation: 1,
        creationTimestamp: "2025-06-15T15:06:40Z",
        ...(typeof metadata === "object" ? metadata : {}),
      },
      ...fields,
    };
    this.objects.set(`${kind}/${namespace}/${name}`, object);
    return object;
  }

  /** Arguments of the last call of a method. */
  lastCall(method: string): readonly unknown[] | undefined {
    return this.calls.findLast((c) => c.method === method)?.args;
  }

  #written(target: WriteTarget) {
    const object = this.get(target.kind, target.namespace, target.name);
    return { object, warnings: this.warnings, created: false };
  }

  #note(method: string, ...args: readonly unknown[]): void {
    this.calls.push({ method, args });
    const { failure } = this;
    this.failure = undefined;
    if (failure instanceof Error) throw failure;
  }
}

function nameOf(body: unknown): string {
  const metadata =
    typeof body === "object" && body !== null && "metadata" in body ? body.metadata : {};
  const name =
    typeof metadata === "object" && metadata !== null && "name" in metadata ? metadata.name : "";
  return String(name);
}

/** A watch on which nothing happens until it is aborted. */
async function* forever(signal: AbortSignal): AsyncGenerator<WatchEvent> {
  yield* [];
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}
