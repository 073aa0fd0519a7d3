import type { MetricDefinition } from "@flotilla/shared/kernel/service";

export const MEASURES_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_agent_latency_probes_total",
    kind: "counter",
    help: "Probes of other sites and of the hub, by outcome (answered, lost).",
    labels: ["outcome"],
  },
];
