import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of the event recorder. */
export const EVENT_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_events_dropped_total",
    kind: "counter",
    help: "Events that were not stored, by cause.",
    labels: ["cause"],
  },
];
