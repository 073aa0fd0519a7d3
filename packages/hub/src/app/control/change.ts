import type { KindName } from "@flotilla/shared/model/kinds";
import type { AnyObject, Change, ResourceKey } from "../resources/ports.ts";

/** Address of a stored object. */
export function keyOf(object: AnyObject): ResourceKey {
  return {
    // Every stored object is of a stored kind.
    kind: object.kind as KindName,
    namespace: object.metadata.namespace ?? "",
    name: object.metadata.name,
  };
}

/** The precondition that `object` is still as it was read. */
export function revisionOf(object: AnyObject): number {
  return Number(object.metadata.resourceVersion ?? 0);
}

/** A change decided from `before`; undefined on either side is absence. */
export function changeOf(before: AnyObject | undefined, after: AnyObject | undefined): Change {
  const subject = before ?? after;
  if (subject === undefined) throw new TypeError("a change from nothing to nothing");
  return {
    key: keyOf(subject),
    expect: before === undefined ? "absent" : revisionOf(before),
    object: after,
  };
}
