import type { NodeId } from "@flotilla/shared/kernel/ids";
import type { DownMessage } from "@flotilla/shared/protocol/down";

/** The hub's side of the sessions with nodes; implemented by the embedded broker. */
export interface NodeLink {
  /** Sends to a node that is connected; false when it is not. Nothing is queued for later. */
  send(nodeId: NodeId, message: DownMessage): Promise<boolean>;
  isConnected(nodeId: NodeId): boolean;
  /** Closes the node's live session, if any. `reason` goes to the log. */
  disconnect(nodeId: NodeId, reason: string): void;
}

/** What the broker hands to the hub. */
export interface UplinkHandler {
  /**
   * One up message of an authenticated node, already under the size cap and on the node's own topic. Resolves when what
   * it led to is durable: only then is it acknowledged. Rejects when it could not be stored: the session is closed and the
   * node sends it again. A message that is no message resolves too (counted): sending it again would not mend it.
   */
  receive(nodeId: NodeId, topicKind: string, payload: Uint8Array): Promise<void>;
  /** A session was opened or has ended. */
  sessionChanged(nodeId: NodeId, connected: boolean): void;
}

/** Asked at CONNECT and once a minute for live sessions. */
export interface NodeAdmission {
  /** True while this certificate may be used by this node: enrolled, not revoked, serial not superseded. */
  admits(nodeId: NodeId, certificateSerial: string): boolean;
}
