import type { MetricDefinition } from "@flotilla/shared/kernel/service";

export const ENROLMENT_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_agent_certificate_renewals_total",
    kind: "counter",
    help: "Tries to renew the node's certificate, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_agent_certificate_expires_timestamp_seconds",
    kind: "gauge",
    help: "End of the node's certificate, seconds since 1970.",
  },
];
