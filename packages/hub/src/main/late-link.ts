import { must } from "@flotilla/shared/kernel/assert";
import type { NodeLink } from "../app/link/ports.ts";

/**
 * The broker hands messages to services that answer through the broker. This is the knot: a link that is tied to the broker once
 * that exists, before anything runs.
 */
export class LateLink implements NodeLink {
  #link: NodeLink | undefined;

  tie(link: NodeLink): void {
    this.#link = link;
  }

  send: NodeLink["send"] = (nodeId, message) => this.#tied().send(nodeId, message);
  isConnected: NodeLink["isConnected"] = (nodeId) => this.#tied().isConnected(nodeId);
  disconnect: NodeLink["disconnect"] = (nodeId, reason) => this.#tied().disconnect(nodeId, reason);

  #tied(): NodeLink {
    return must(this.#link, "the link is tied before services run");
  }
}
