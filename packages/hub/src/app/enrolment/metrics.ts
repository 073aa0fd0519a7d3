import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of enrolment. `outcome` is `ok` or an EnrolmentErrorCode. */
export const ENROLMENT_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_enrolments_total",
    kind: "counter",
    help: "Joins and renewals by how they ended.",
    labels: ["operation", "outcome"],
  },
  {
    name: "flotilla_hub_enrolment_lockouts_total",
    kind: "counter",
    help: "Token names and addresses that were locked for wrong tokens or failed renewals.",
    labels: ["by"],
  },
];
