import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of log requests. */
export const LOG_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_log_requests_total",
    kind: "counter",
    help: "Requests for an instance's log, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_hub_log_chunks_unasked_total",
    kind: "counter",
    help: "Log chunks that answered no open request of their node.",
  },
];
