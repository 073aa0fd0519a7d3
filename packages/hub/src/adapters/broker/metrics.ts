import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of the embedded broker. Labels come from the closed sets of access.ts, guarded-connection.ts and session.ts. */
export const BROKER_METRICS: readonly MetricDefinition[] = [
  { name: "flotilla_hub_broker_sessions", kind: "gauge", help: "Nodes that are connected." },
  {
    name: "flotilla_hub_broker_accepts_refused_total",
    kind: "counter",
    help: "Connections closed before MQTT began, by reason.",
    labels: ["reason"],
  },
  {
    name: "flotilla_hub_broker_connects_total",
    kind: "counter",
    help: "CONNECT packets by outcome: accepted, or why not.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_hub_broker_closed_total",
    kind: "counter",
    help: "Connections that ended after MQTT began, by reason.",
    labels: ["reason"],
  },
  {
    name: "flotilla_hub_broker_denied_total",
    kind: "counter",
    help: "Topics that a node asked for and may not have.",
    labels: ["action"],
  },
  {
    name: "flotilla_hub_broker_messages_total",
    kind: "counter",
    help: "Messages from (up) and to (down) nodes.",
    labels: ["direction"],
  },
  {
    name: "flotilla_hub_broker_payload_bytes_total",
    kind: "counter",
    help: "Payload bytes from (up) and to (down) nodes.",
    labels: ["direction"],
  },
  {
    name: "flotilla_hub_broker_throttled_total",
    kind: "counter",
    help: "Times that a session was held back for its rate.",
  },
  {
    name: "flotilla_hub_broker_takeovers_total",
    kind: "counter",
    help: "Sessions that a newer one of the same node ended.",
  },
  {
    name: "flotilla_hub_broker_store_seconds",
    kind: "histogram",
    help: "Time from an up message to its durable storage, which is when it is acknowledged.",
  },
];
