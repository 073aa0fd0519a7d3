import { messageOf } from "@flotilla/shared/kernel/errors";
import { type NodeId, parseNodeId } from "@flotilla/shared/kernel/ids";
import type { Log } from "@flotilla/shared/kernel/service";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { certificateUse, withNextInUse } from "../../domain/enrolment/certificate-use.ts";
import { changeOf } from "../control/change.ts";
import type { NodeAdmission, NodeLink } from "../link/ports.ts";
import type { LogEntry, ResourceStore } from "../resources/ports.ts";

/** How often the first use of a renewed certificate is tried to be recorded; the broker asks again each minute. */
const COMMIT_TRIES_MAX = 3;

interface Deps {
  readonly store: ResourceStore;
  readonly log: Log;
}

/**
 * Who may connect, read from the store at each question: a revocation holds from the commit on. The first use of a
 * renewed certificate ends the one before it.
 */
export class StoreAdmission implements NodeAdmission {
  readonly #deps: Deps;
  readonly #promoting = new Set<NodeId>();

  constructor(_options: Readonly<Record<never, never>>, deps: Deps) {
    this.#deps = deps;
  }

  admits(nodeId: NodeId, certificateSerial: string): boolean {
    const use = certificateUse(this.#node(nodeId), certificateSerial);
    if (use === "next" && !this.#promoting.has(nodeId))
      void this.#promote(nodeId, certificateSerial);
    return use === "current" || use === "next";
  }

  /** Never rejects: until it is recorded both certificates stay good, and the next question tries again. */
  async #promote(nodeId: NodeId, serial: string): Promise<void> {
    this.#promoting.add(nodeId);
    try {
      for (let tries = 0; tries < COMMIT_TRIES_MAX; tries++) {
        const node = this.#node(nodeId);
        if (node === undefined || node.status?.nextCertificateSerial !== serial) return;
        const result = await this.#deps.store.commit({
          changes: [changeOf(node, withNextInUse(node))],
        });
        if (result.ok) return;
      }
    } catch (error) {
      this.#deps.log.warn(
        { nodeId, error: messageOf(error) },
        "first use of a renewed certificate not recorded",
      );
    } finally {
      this.#promoting.delete(nodeId);
    }
  }

  #node(nodeId: NodeId): ObjectOf<"EdgeNode"> | undefined {
    return this.#deps.store.get("EdgeNode", "", nodeId);
  }
}

/**
 * Closes the live session of a node that is revoked, deleted, or enrolled again on another device, as soon as the change
 * is committed. Returns the unsubscriber.
 */
export function disconnectRefusedNodes(deps: {
  readonly store: ResourceStore;
  readonly link: Pick<NodeLink, "disconnect">;
}): () => void {
  return deps.store.subscribe((entries) => {
    for (const entry of entries) {
      const reason = refusalOf(entry);
      const nodeId = reason === undefined ? undefined : parseNodeId(entry.key.name);
      if (reason !== undefined && nodeId !== undefined) deps.link.disconnect(nodeId, reason);
    }
  });
}

function refusalOf(entry: LogEntry): string | undefined {
  if (entry.key.kind !== "EdgeNode") return undefined;
  if (entry.type === "DELETED") return "deleted";
  const node = asNode(entry.object);
  const before = asNode(entry.previous);
  const serial = before?.status?.certificateSerial;
  if (node === undefined || before === undefined || serial === undefined) return undefined;
  const use = certificateUse(node, serial);
  if (use === "revoked") return "revoked";
  // A promotion supersedes the old serial too, but there the session is the new one's already.
  const isPromotion = node.status?.certificateSerial === before.status?.nextCertificateSerial;
  return use === "superseded" && !isPromotion ? "enrolled again" : undefined;
}

function asNode(object: LogEntry["previous"]): ObjectOf<"EdgeNode"> | undefined {
  return object?.kind === "EdgeNode" ? (object as ObjectOf<"EdgeNode">) : undefined;
}
