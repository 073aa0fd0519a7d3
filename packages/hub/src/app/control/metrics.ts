import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of the frame of all controllers. */
export const CONTROL_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_pass_duration_seconds",
    kind: "histogram",
    help: "Duration of one pass of a controller.",
    labels: ["controller"],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
  },
  {
    name: "flotilla_hub_pass_conflicts_total",
    kind: "counter",
    help: "Commits of a controller that met a newer revision and were decided anew.",
    labels: ["controller"],
  },
];
