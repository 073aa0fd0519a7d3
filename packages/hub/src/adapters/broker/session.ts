import type { Client } from "aedes";
import type { ConnectRefusal, Owner } from "./access.ts";
import { GuardError, type GuardedConnection, type GuardReason } from "./guarded-connection.ts";
import type { Peer } from "./tls-listener.ts";

/** Why a session ended. A closed set: it labels a metric. */
export type CloseReason =
  | GuardReason
  | "peer"
  | "protocol"
  | "keepalive"
  | "frozen"
  | "denied"
  | "not-stored"
  | "refused"
  | "superseded"
  | "quarantined"
  | "disconnected"
  | "stopping";

/** One connection with a node's certificate, from the handshake to its end. */
export interface Session {
  readonly owner: Owner;
  readonly peer: Peer;
  readonly guard: GuardedConnection;
  readonly client: Client;
  /** Ends the connect time-out. */
  readonly opened: () => void;
  /** Every filter that was asked for, granted or not. */
  readonly asked: Set<string>;
  /** Filters that were granted. */
  readonly granted: Set<string>;
  phase: "opening" | "live" | "ended";
  refusal: ConnectRefusal | undefined;
  /** The will of a session that the hub itself ended is not the node's death. */
  dropWill: boolean;
  reason: CloseReason | undefined;
}

/** The reason behind an error that the MQTT library or the guard raised. */
export function reasonOf(error: Error): CloseReason {
  if (error instanceof GuardError) return error.reason;
  if (error.message === "keep alive timeout") return "keepalive";
  if (error.message === "drain timeout") return "frozen";
  return "code" in error ? "peer" : "protocol";
}

/** Who a line of the log is about. */
export function sessionFields({ owner, peer }: Session): Readonly<Record<string, unknown>> {
  return { nodeId: owner.nodeId, address: peer.address, serial: peer.serial };
}
