import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of garbage collection. */
export const GARBAGE_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_garbage_deleted_total",
    kind: "counter",
    help: "Objects deleted because their owners are gone, or because they had finished.",
    labels: ["cause"],
  },
];
