import type { Clock } from "@flotilla/shared/kernel/clock";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import { useOfRelease } from "../../domain/artifact/release-use.ts";
import { conflict, notFound } from "../../domain/resources/api-error.ts";
import { timestamp } from "../../domain/resources/api-object.ts";
import { allKinds, subjectOf } from "../../domain/resources/kind-lookup.ts";
import { checkPreconditions } from "../../domain/resources/object-rules.ts";
import { project } from "../../domain/resources/views/project.ts";
import { dryCommit } from "./dry-run.ts";
import type {
  AnyObject,
  Change,
  DeleteOptions,
  DeleteOutcome,
  ResourceKey,
  ResourceStore,
} from "./ports.ts";
import { commitOrThrow, revisionOf } from "./writer.ts";

const ATTEMPTS_MAX = 8;

/** Deletes objects, or marks them while finalizers hold them. */
export class Remover {
  readonly #store: ResourceStore;
  readonly #clock: Clock;

  constructor(deps: { readonly store: ResourceStore; readonly clock: Clock }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
  }

  /** Throws NotFound, or Conflict when a precondition does not hold. */
  async remove(key: ResourceKey, options: DeleteOptions): Promise<DeleteOutcome> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const current = this.#store.get(key.kind, key.namespace, key.name);
      if (current === undefined) throw notFound(subjectOf(key.kind, key.name));
      checkPreconditions(key.kind, current, options.preconditions ?? {});
      this.#refuseInUse(current);
      const next = isHeld(key.kind, current)
        ? markedForDeletion(current, timestamp(this.#clock.wallMs()))
        : undefined;
      const change: Change = { key, expect: revisionOf(current), object: next };
      const orphans = options.propagationPolicy === "Orphan" ? this.#orphans(current) : [];
      const commit = { changes: [change, ...orphans] };
      const result =
        options.dryRun === true
          ? dryCommit(this.#store, commit)
          : await commitOrThrow(this.#store, commit);
      if (!result.ok) continue;
      const shown = result.entries.find((e) => e.key.kind === key.kind && e.key.name === key.name);
      const object = project(key.kind, shown?.object ?? current);
      return { gone: next === undefined, object };
    }
    throw conflict(subjectOf(key.kind, key.name));
  }

  /** What others rest on stays until they rest on something else. */
  #refuseInUse(object: AnyObject): void {
    const why = useOf(object, this.#store);
    if (why === undefined) return;
    // Every stored object is of a stored kind.
    const kind = object.kind as KindName;
    throw conflict(subjectOf(kind, object.metadata.name), why);
  }

  /** Dependents live on without the owner that goes. */
  #orphans(owner: AnyObject): readonly Change[] {
    return allKinds().flatMap((kind) =>
      this.#store
        .list(kind)
        .filter((o) => (o.metadata.ownerReferences ?? []).some((r) => r.uid === owner.metadata.uid))
        .map((o) => ({
          key: { kind, namespace: o.metadata.namespace ?? "", name: o.metadata.name },
          expect: revisionOf(o),
          object: withoutOwner(o, owner.metadata.uid),
        })),
    );
  }
}

/** Why an object must not be deleted now; undefined when it may be. */
function useOf(object: AnyObject, store: ResourceStore): string | undefined {
  if (isRelease(object))
    return useOfRelease(object, {
      applications: store.list("Application"),
      assignments: store.list("Assignment"),
    });
  if (object.kind !== "Artifact") return undefined;
  const release = store.list("Release").find((r) => r.spec.artifact === object.metadata.name);
  return release && `it has releases, such as ${release.metadata.name}: delete them first`;
}

function isRelease(object: AnyObject): object is ObjectOf<"Release"> {
  return object.kind === "Release";
}

/** A namespace is held by its content: the NamespaceCleaner lets it go. */
function isHeld(kind: KindName, object: AnyObject): boolean {
  return kind === "Namespace" || (object.metadata.finalizers ?? []).length > 0;
}

/** The object as it waits for its finalizers; a second deletion changes nothing. */
export function markedForDeletion(object: AnyObject, nowIso: string): AnyObject {
  if (object.metadata.deletionTimestamp !== undefined) return object;
  const metadata = {
    ...object.metadata,
    deletionTimestamp: nowIso,
    deletionGracePeriodSeconds: 0,
    generation: object.metadata.generation + 1,
  };
  return object.kind === "Namespace"
    ? ({ ...object, metadata, status: { phase: "Terminating" } } as AnyObject)
    : { ...object, metadata };
}

function withoutOwner(object: AnyObject, uid: string): AnyObject {
  const { ownerReferences = [], ...metadata } = object.metadata;
  const left = ownerReferences.filter((r) => r.uid !== uid);
  return {
    ...object,
    metadata: { ...metadata, ...(left.length > 0 ? { ownerReferences: left } : {}) },
  };
}
