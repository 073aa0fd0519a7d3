import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of queues. */
export const SCHEDULING_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_queue_share",
    kind: "gauge",
    help: "Part of the fleet that a queue has of its dominant resource, 0 to 1.",
    labels: ["queue"],
  },
  {
    name: "flotilla_hub_queue_fair_share",
    kind: "gauge",
    help: "Part of the fleet that would be fair for a queue, 0 to 1.",
    labels: ["queue"],
  },
  {
    name: "flotilla_hub_queue_pending_jobs",
    kind: "gauge",
    help: "Jobs of a queue that wait, whole or in part.",
    labels: ["queue"],
  },
];
