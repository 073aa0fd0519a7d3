import { apiVersionOf, KINDS, type KindName } from "@flotilla/shared/model/kinds";
import type { OwnerReference, Resource } from "@flotilla/shared/model/metadata";

/** Finalizers that the collector serves (Kubernetes' names). */
export const FOREGROUND_FINALIZER = "foregroundDeletion";
export const ORPHAN_FINALIZER = "orphan";

/** One thing to do: `after` undefined deletes. */
export interface CollectStep<T> {
  readonly before: T;
  readonly after: T | undefined;
}

/**
 * Garbage collection by owner references, as in Kubernetes: a dependent goes when all its owners are gone, told by uid; a
 * dead reference beside a living one is taken out. A deleted owner that waits with `foregroundDeletion` goes after its
 * dependents, one with `orphan` after they were let go. An owner of a kind that is not stored here counts as living.
 */
export function collect<T extends Resource>(
  objects: readonly T[],
  nowIso: string,
): readonly CollectStep<T>[] {
  const byUid = new Map(objects.map((o) => [o.metadata.uid, o]));
  const dependents = dependentsOf(objects);
  return objects.flatMap((object) => {
    const step =
      ownedStep(object, byUid, nowIso) ??
      finalizerStep(object, dependents.get(object.metadata.uid) ?? 0);
    return step === undefined ? [] : [step];
  });
}

type ByUid<T> = ReadonlyMap<string, T>;

function dependentsOf(objects: readonly Resource[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const object of objects)
    for (const { uid } of object.metadata.ownerReferences ?? [])
      counts.set(uid, (counts.get(uid) ?? 0) + 1);
  return counts;
}

/** What becomes of an object because of its owners. */
function ownedStep<T extends Resource>(
  object: T,
  byUid: ByUid<T>,
  nowIso: string,
): CollectStep<T> | undefined {
  const references = object.metadata.ownerReferences ?? [];
  if (references.length === 0) return undefined;
  const fates = references.map((reference) => ({ reference, fate: fateOf(reference, byUid) }));
  const living = fates.filter((f) => f.fate === "living").map((f) => f.reference);
  const released = fates.some((f) => f.fate === "releasing");
  if (living.length === references.length) return undefined;
  return living.length > 0 || released
    ? { before: object, after: withReferences(object, living) }
    : deletion(object, nowIso);
}

type Fate = "living" | "gone" | "foreground" | "releasing";

function fateOf(reference: OwnerReference, byUid: ByUid<Resource>): Fate {
  const owner = byUid.get(reference.uid);
  if (owner === undefined) return isStoredKind(reference) ? "gone" : "living";
  if (owner.metadata.deletionTimestamp === undefined) return "living";
  const finalizers = owner.metadata.finalizers ?? [];
  if (finalizers.includes(ORPHAN_FINALIZER)) return "releasing";
  return finalizers.includes(FOREGROUND_FINALIZER) ? "foreground" : "living";
}

/** A deleted object whose dependents are all gone, or let go, loses the finalizer that waited for it. */
function finalizerStep<T extends Resource>(
  object: T,
  dependentCount: number,
): CollectStep<T> | undefined {
  const { deletionTimestamp, finalizers = [] } = object.metadata;
  if (deletionTimestamp === undefined || dependentCount > 0) return undefined;
  const left = finalizers.filter((f) => f !== FOREGROUND_FINALIZER && f !== ORPHAN_FINALIZER);
  if (left.length === finalizers.length) return undefined;
  return {
    before: object,
    after:
      left.length === 0
        ? undefined
        : { ...object, metadata: { ...object.metadata, finalizers: left } },
  };
}

/** Deletes, or marks as deleted what a finalizer of somebody else holds; undefined when that is done already. */
function deletion<T extends Resource>(object: T, nowIso: string): CollectStep<T> | undefined {
  if ((object.metadata.finalizers ?? []).length === 0) return { before: object, after: undefined };
  if (object.metadata.deletionTimestamp !== undefined) return undefined;
  const metadata = {
    ...object.metadata,
    deletionTimestamp: nowIso,
    deletionGracePeriodSeconds: 0,
    generation: object.metadata.generation + 1,
  };
  return { before: object, after: { ...object, metadata } };
}

function withReferences<T extends Resource>(object: T, references: readonly OwnerReference[]): T {
  const { ownerReferences: _dropped, ...metadata } = object.metadata;
  const kept = references.length === 0 ? {} : { ownerReferences: [...references] };
  return { ...object, metadata: { ...metadata, ...kept } };
}

function isStoredKind({ kind, apiVersion }: OwnerReference): boolean {
  const info = isKind(kind) ? KINDS[kind] : undefined;
  return info !== undefined && apiVersionOf(info) === apiVersion;
}

function isKind(name: string): name is KindName {
  return Object.hasOwn(KINDS, name);
}
