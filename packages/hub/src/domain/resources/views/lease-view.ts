import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { LEASE_SUSPECT_AFTER_MS } from "@flotilla/shared/model/lease";
import type { ServedObject } from "../api-object.ts";

/** Where kubectl looks for the leases of nodes. */
export const LEASE_NAMESPACE = "kube-node-lease";

/** coordination.k8s.io/v1 Lease of an EdgeNode. The hub counts leases on its boot clock, so there is no renewTime. */
export function leaseView(node: ObjectOf<"EdgeNode">): ServedObject {
  const { name, uid, resourceVersion, generation, creationTimestamp } = node.metadata;
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: {
      name,
      namespace: LEASE_NAMESPACE,
      uid,
      resourceVersion,
      generation,
      creationTimestamp,
      ownerReferences: [{ apiVersion: "v1", kind: "Node", name, uid }],
    },
    spec: { holderIdentity: name, leaseDurationSeconds: LEASE_SUSPECT_AFTER_MS / 1000 },
  };
}
