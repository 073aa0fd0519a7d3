import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of the lease sweep. */
export const NODE_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_nodes",
    kind: "gauge",
    help: "Enrolled nodes by life.",
    labels: ["life"],
  },
  {
    name: "flotilla_hub_lease_sweep_pauses_total",
    kind: "counter",
    help: "Pauses of the hub that were answered with fresh leases.",
  },
];
