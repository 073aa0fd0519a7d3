import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of fleets. */
export const FLEET_METRICS: readonly MetricDefinition[] = [
  { name: "flotilla_hub_fleets", kind: "gauge", help: "Fleets that are defined." },
];
