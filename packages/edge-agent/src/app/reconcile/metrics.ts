import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of the reconciler; docs/metrics.md lists them. */
export const RECONCILE_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_agent_reconcile_pass_seconds",
    kind: "histogram",
    help: "Time of one pass of the reconciler.",
  },
  {
    name: "flotilla_agent_steps_total",
    kind: "counter",
    help: "Steps that the reconciler carried out, waits not counted.",
    labels: ["kind"],
  },
  {
    name: "flotilla_agent_step_failures_total",
    kind: "counter",
    help: "Steps that failed and are tried again.",
    labels: ["kind"],
  },
  {
    name: "flotilla_agent_instances",
    kind: "gauge",
    help: "Instances on this node by phase.",
    labels: ["phase"],
  },
  {
    name: "flotilla_agent_restarts_total",
    kind: "counter",
    help: "Starts of workloads after their first.",
  },
  {
    name: "flotilla_agent_probe_failures_total",
    kind: "counter",
    help: "Health probes that failed.",
    labels: ["probe"],
  },
];
