import type { KindName, ObjectOf, ViewName } from "@flotilla/shared/model/kinds";
import type { ServedObject } from "../api-object.ts";
import { isView } from "../kind-lookup.ts";
import { LEASE_NAMESPACE, leaseView } from "./lease-view.ts";
import { nodeView } from "./node-view.ts";
import { podView } from "./pod-view.ts";

type Stored = { [K in KindName]: ObjectOf<K> }[KindName];

/** The object as it is served under this kind: itself, or the projection made from it. */
export function project(kind: KindName | ViewName, object: Stored): ServedObject {
  // Frozen JSON of its own kind: metadata is an object like any other.
  if (!isView(kind)) return object as Stored & ServedObject;
  switch (kind) {
    case "Node":
      return nodeView(object as ObjectOf<"EdgeNode">);
    case "Lease":
      return leaseView(object as ObjectOf<"EdgeNode">);
    case "Pod":
      return podView(object as ObjectOf<"Assignment">);
  }
}

/** Namespace in which the source of a served object is stored; undefined when there can be none. */
export function sourceNamespace(
  kind: KindName | ViewName,
  namespace: string | undefined,
): string | undefined {
  if (kind !== "Lease") return namespace;
  return namespace === undefined || namespace === LEASE_NAMESPACE ? "" : undefined;
}
