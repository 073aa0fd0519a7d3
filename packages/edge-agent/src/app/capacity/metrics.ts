import type { MetricDefinition } from "@flotilla/shared/kernel/service";

export const CAPACITY_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_agent_capacity_reports_total",
    kind: "counter",
    help: "Capacity reports put into the outbox.",
  },
];
