import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of deltas and of what nodes ask about artifacts. Kinds and outcomes are closed sets. */
export const DELTA_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_artifact_questions_total",
    kind: "counter",
    help: "Questions of nodes about artifacts, by kind and outcome.",
    labels: ["kind", "outcome"],
  },
  {
    name: "flotilla_hub_artifact_offers_total",
    kind: "counter",
    help: "Answers to nodes that asked how to get a file, by what was offered.",
    labels: ["kind"],
  },
  {
    name: "flotilla_hub_artifact_offered_bytes_total",
    kind: "counter",
    help: "Bytes of manifests and payloads that nodes were offered.",
  },
  {
    name: "flotilla_hub_artifact_file_bytes_total",
    kind: "counter",
    help: "Length of the files that these offers make.",
  },
  {
    name: "flotilla_hub_deltas_made_total",
    kind: "counter",
    help: "Deltas and whole files that were to be made, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_hub_delta_seconds",
    kind: "histogram",
    help: "Time that making a delta or a whole file took.",
    buckets: [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800],
  },
  {
    name: "flotilla_hub_delta_jobs_waiting",
    kind: "gauge",
    help: "Deltas and whole files that wait to be made.",
  },
  {
    name: "flotilla_hub_deltas_evicted_total",
    kind: "counter",
    help: "Deltas and whole files that were dropped to make room.",
  },
];
