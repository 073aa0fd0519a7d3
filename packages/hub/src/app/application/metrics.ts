import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of placement. */
export const APPLICATION_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_placements_total",
    kind: "counter",
    help: "Committed placement decisions, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_hub_rescales_total",
    kind: "counter",
    help: "Changes of a component's replicas by the autoscaler, by direction.",
    labels: ["direction"],
  },
  {
    name: "flotilla_hub_instances_unplaced",
    kind: "gauge",
    help: "Instances that no node fits at present.",
  },
];
