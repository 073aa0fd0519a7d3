import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { LEASE_SUSPECT_AFTER_MS } from "@flotilla/shared/model/lease";
import type { ServedObject } from "../api-object.ts";
import { objectAt } from "../body-shape.ts";

/** Where kubectl looks for the leases of nodes. */
export const LEASE_NAMESPACE = "kube-node-lease";

/**
 * coordination.k8s.io/v1 Lease of an EdgeNode. Renewals are not written: `withRenewTime` adds to an answer when the node was
 * last heard, which is why a watch tells nothing of them.
 */
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

/** The lease with the time at which this hub last heard the node, microseconds as Kubernetes writes them. */
export function withRenewTime(lease: ServedObject, heardWallMs: number | undefined): ServedObject {
  if (heardWallMs === undefined) return lease;
  const renewTime = isoTime(heardWallMs).replace(/Z$/, "000Z");
  return { ...lease, spec: { ...objectAt(lease, "spec"), renewTime } };
}
