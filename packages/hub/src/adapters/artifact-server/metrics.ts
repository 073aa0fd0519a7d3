import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of the artifact server. */
export const ARTIFACT_SERVER_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_artifact_requests_total",
    kind: "counter",
    help: "Requests for bytes by kind (blobs, payloads, manifests, metadata, time, none) and outcome (whole, part, unchanged, not-found, bad-request, refused, cut, failed).",
    labels: ["kind", "outcome"],
  },
  {
    name: "flotilla_hub_artifact_served_bytes_total",
    kind: "counter",
    help: "Bytes of contents that were sent, by kind.",
    labels: ["kind"],
  },
  {
    name: "flotilla_hub_artifact_uploads_total",
    kind: "counter",
    help: "Uploads by outcome (stored, altered, refused, cut, expired, failed).",
    labels: ["outcome"],
  },
  {
    name: "flotilla_hub_artifact_uploaded_bytes_total",
    kind: "counter",
    help: "Bytes that came in by uploads.",
  },
  {
    name: "flotilla_hub_artifact_connections",
    kind: "gauge",
    help: "Connections to the artifact server that are open.",
  },
  {
    name: "flotilla_hub_artifact_connections_refused_total",
    kind: "counter",
    help: "Connections that were closed before a request, by reason (half-open, tls, certificate, node-limit, limit).",
    labels: ["reason"],
  },
  {
    name: "flotilla_hub_artifact_server_up",
    kind: "gauge",
    help: "1 while the artifact server serves, 0 while it is started again.",
  },
  {
    name: "flotilla_hub_artifact_server_restarts_total",
    kind: "counter",
    help: "How often the thread of the artifact server had died and was started again.",
  },
];
