import type { NodeId } from "@flotilla/shared/kernel/ids";
import { TOPIC_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import {
  downTopic,
  HUB_STATE_TOPIC,
  parseUpTopic,
  upTopic,
} from "@flotilla/shared/protocol/topics";

/** Whose topics are asked for. */
export interface Owner {
  readonly shard: string;
  readonly nodeId: NodeId;
}

/** Kind of the up message when the node may publish on this topic: its own `up` topics, nothing else. An unknown kind passes; it is counted later. */
export function publishableKind(owner: Owner, topic: string): string | undefined {
  const parsed = topic.length <= TOPIC_BYTES_MAX ? parseUpTopic(topic) : undefined;
  const isOwn = parsed?.nodeId === owner.nodeId && parsed.shard === owner.shard;
  return isOwn ? parsed.kind : undefined;
}

/** Whether the node may subscribe to, and be sent, this topic: its own `down` and the hub's state. No filter with a wildcard equals either. */
export function isReadable(owner: Owner, topic: string): boolean {
  return topic === HUB_STATE_TOPIC || topic === downTopic(owner);
}

/** What of a CONNECT packet is judged. */
export interface ConnectFacts {
  readonly clientId: string;
  readonly clean: boolean;
  readonly willTopic: string | undefined;
  readonly willQos: number;
}

/** Why a CONNECT is refused. A closed set: it labels a metric. */
export type ConnectRefusal =
  | "client-id"
  | "unclean"
  | "will"
  | "expired"
  | "not-admitted"
  | "quarantined"
  | "stopping";

/** MQTT 3.1.1 §3.2.2.3: 2 identifier rejected, 3 server unavailable, 5 not authorized. */
export const REFUSAL_CODE: Readonly<Record<ConnectRefusal, 2 | 3 | 5>> = {
  "client-id": 2,
  unclean: 2,
  will: 5,
  expired: 5,
  "not-admitted": 5,
  quarantined: 3,
  stopping: 3,
};

/** Judges the packet alone: the client id is the certificate's node, the session clean, the will the node's own death. */
export function judgeConnect(owner: Owner, facts: ConnectFacts): ConnectRefusal | undefined {
  if (facts.clientId !== owner.nodeId) return "client-id";
  if (!facts.clean) return "unclean";
  if (facts.willTopic === undefined) return undefined;
  return facts.willTopic === upTopic(owner, "death") && facts.willQos <= 1 ? undefined : "will";
}
