import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of trust metadata. Roles are those of the metadata, at most SNAPSHOT_FILES_MAX and three. */
export const TRUST_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_trust_publications_total",
    kind: "counter",
    help: "Uploads and renewals of trust metadata, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_hub_trust_expires_seconds",
    kind: "gauge",
    help: "Time until the published metadata of a role expires; negative: it has.",
    labels: ["role"],
  },
  {
    name: "flotilla_hub_trust_sound",
    kind: "gauge",
    help: "1 while a node would take the trust metadata that is published, else 0.",
  },
];
