import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of ingest. Kinds and reasons are closed sets. */
export const INGEST_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_ingest_messages_total",
    kind: "counter",
    help: "Up messages that counted, by kind.",
    labels: ["kind"],
  },
  {
    name: "flotilla_hub_ingest_dropped_total",
    kind: "counter",
    help: "Up messages that were acknowledged and did not count, by reason.",
    labels: ["reason"],
  },
  {
    name: "flotilla_hub_ingest_refused_total",
    kind: "counter",
    help: "Up messages that were not acknowledged, by cause; the node sends them again.",
    labels: ["cause"],
  },
  {
    name: "flotilla_hub_ingest_unassigned_instances_total",
    kind: "counter",
    help: "Instances that a node reported and that are not assigned to it.",
  },
  {
    name: "flotilla_hub_ingest_conflicts_total",
    kind: "counter",
    help: "Batches that were planned anew because an object had been written meanwhile.",
  },
  {
    name: "flotilla_hub_ingest_batch_messages",
    kind: "histogram",
    help: "Messages in one commit.",
    buckets: [1, 2, 5, 10, 20, 50, 100, 200],
  },
  {
    name: "flotilla_hub_ingest_commit_seconds",
    kind: "histogram",
    help: "Time from the plan of a batch until it is on disk.",
    buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
  },
  {
    name: "flotilla_hub_ingest_queue_messages",
    kind: "gauge",
    help: "Up messages that wait for a commit.",
  },
];
