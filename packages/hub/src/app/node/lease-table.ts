import type { NodeLife } from "@flotilla/shared/model/lease";
import { LEASE_SUSPECT_AFTER_MS } from "@flotilla/shared/model/lease";

/**
 * When each node was last heard, on the boot clock. In memory only: it is true for this run of the hub, and a hub that
 * starts gives fresh leases (domain/node/SPEC.md, invariant 4).
 */
export class LeaseTable {
  readonly #renewedBootMs = new Map<string, number>();

  /** A message was accepted. */
  renew(nodeId: string, nowBootMs: number): void {
    this.#renewedBootMs.set(nodeId, nowBootMs);
  }

  /** Milliseconds since the node was heard; undefined when this hub never heard it and never granted it a lease. */
  ageMs(nodeId: string, nowBootMs: number): number | undefined {
    const renewedBootMs = this.#renewedBootMs.get(nodeId);
    return renewedBootMs === undefined ? undefined : nowBootMs - renewedBootMs;
  }

  /** Begins the present state anew: a whole lease for a ready node, the whole time to `lost` for a suspect one. */
  grant(nodeId: string, life: NodeLife, nowBootMs: number): void {
    if (life === "ready") this.#renewedBootMs.set(nodeId, nowBootMs);
    else if (life === "suspect")
      this.#renewedBootMs.set(nodeId, nowBootMs - LEASE_SUSPECT_AFTER_MS);
    else this.#renewedBootMs.delete(nodeId);
  }

  /** Forgets every node that is not among these. */
  retain(nodeIds: ReadonlySet<string>): void {
    for (const nodeId of this.#renewedBootMs.keys())
      if (!nodeIds.has(nodeId)) this.#renewedBootMs.delete(nodeId);
  }
}
