import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of desired states. */
export const DESIRED_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_desired_compiles_total",
    kind: "counter",
    help: "Compilations of a node's desired state, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_hub_desired_nodes_waiting",
    kind: "gauge",
    help: "Nodes whose desired state is to be compiled.",
  },
  {
    name: "flotilla_hub_desired_notifies_total",
    kind: "counter",
    help: "Nodes told of a new desired state, by outcome.",
    labels: ["outcome"],
  },
];
