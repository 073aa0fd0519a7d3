import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import { encode } from "@flotilla/shared/protocol/codec";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import { DOWN_MESSAGE_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import { downTopic } from "@flotilla/shared/protocol/topics";
import type { BrokerLimits } from "./limits.ts";
import type { Session } from "./session.ts";

interface Deps {
  readonly limits: BrokerLimits;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Hands a message to the session's own buffer and waits for nobody: a slow reader holds up itself alone. `frozen` when
 * too much waits there already; `not-sent` when the node has not subscribed yet, or the message is larger than allowed.
 */
export function sendDown(
  session: Session,
  message: DownMessage,
  deps: Deps,
): "sent" | "not-sent" | "frozen" {
  const { owner, guard, client } = session;
  const topic = downTopic(owner);
  if (!session.granted.has(topic)) return "not-sent";
  const payload = Buffer.from(encode(message));
  if (payload.length > DOWN_MESSAGE_BYTES_MAX) {
    const { nodeId } = owner;
    deps.log.error(
      { nodeId, kind: message.kind, bytes: payload.length, bytesMax: DOWN_MESSAGE_BYTES_MAX },
      "down message too large, not sent",
    );
    return "not-sent";
  }
  if (guard.waitingBytes + payload.length > deps.limits.sendBufferBytesMax) return "frozen";
  client.publish({ cmd: "publish", topic, payload, qos: 1, retain: false, dup: false }, () => {});
  const labels = { direction: "down" };
  deps.metrics.count("flotilla_hub_broker_messages_total", labels);
  deps.metrics.count("flotilla_hub_broker_payload_bytes_total", labels, payload.length);
  return "sent";
}
