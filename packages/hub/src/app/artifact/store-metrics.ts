import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of what is stored of artifacts. */
export const ARTIFACT_STORE_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_artifact_stored",
    kind: "gauge",
    help: "How many contents, and payloads of deltas and whole files, are stored.",
    labels: ["part"],
  },
  {
    name: "flotilla_hub_artifact_used_bytes",
    kind: "gauge",
    help: "Bytes of contents and open uploads (part contents), and of payloads.",
    labels: ["part"],
  },
  {
    name: "flotilla_hub_artifact_quota_bytes",
    kind: "gauge",
    help: "How many bytes each part may take.",
    labels: ["part"],
  },
  {
    name: "flotilla_hub_artifact_garbage_total",
    kind: "counter",
    help: "Contents and payloads that were removed because nothing names them any more.",
    labels: ["part"],
  },
  {
    name: "flotilla_hub_artifact_garbage_bytes_total",
    kind: "counter",
    help: "Bytes of contents that were removed.",
  },
  {
    name: "flotilla_hub_artifact_incoming_total",
    kind: "counter",
    help: "Releases found in the watched folder by outcome (done, failed, waiting).",
    labels: ["outcome"],
  },
];
