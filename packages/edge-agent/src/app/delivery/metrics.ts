import type { MetricDefinition } from "@flotilla/shared/kernel/service";

export const DELIVERY_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_agent_artifact_transfers_total",
    kind: "counter",
    help: "Tries to make a file complete, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_agent_artifact_received_bytes_total",
    kind: "counter",
    help: "Bytes of payloads that came, by kind of source.",
    labels: ["source"],
  },
  {
    name: "flotilla_agent_artifact_saved_bytes_total",
    kind: "counter",
    help: "Bytes of complete files that did not have to come.",
  },
  {
    name: "flotilla_agent_artifact_blocks_refused_total",
    kind: "counter",
    help: "Blocks that were not what was signed, by kind of source.",
    labels: ["source"],
  },
  {
    name: "flotilla_agent_artifact_source_failures_total",
    kind: "counter",
    help: "Reads that a source did not answer as asked, by kind of source and code.",
    labels: ["source", "code"],
  },
  {
    name: "flotilla_agent_artifact_applies_failed_total",
    kind: "counter",
    help: "Deltas that did not give what was signed, by code.",
    labels: ["code"],
  },
  {
    name: "flotilla_agent_artifact_fallback",
    kind: "gauge",
    help: "1 while artifacts come over MQTT because HTTPS does not pass, else 0.",
  },
  {
    name: "flotilla_agent_peers_struck_total",
    kind: "counter",
    help: "Nodes of the site that are not asked again in a transfer, by reason.",
    labels: ["reason"],
  },
  {
    name: "flotilla_agent_peer_requests_total",
    kind: "counter",
    help: "Requests of other nodes of the site, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_agent_peer_sent_bytes_total",
    kind: "counter",
    help: "Bytes of payloads that were given to other nodes of the site.",
  },
];
