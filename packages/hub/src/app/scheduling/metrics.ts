import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of queues, and of what GPUs are worth. */
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
  {
    name: "flotilla_hub_gpu_values_total",
    kind: "counter",
    help: "Times that the worth of GPUs was made from the requests observed, and changed or was kept.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_hub_gpu_values_cpus_per_gpu",
    kind: "gauge",
    help: "CPUs that come with one GPU in the requests observed, as decisions count them.",
  },
];
