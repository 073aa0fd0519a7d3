import type { MetricDefinition } from "@flotilla/shared/kernel/service";

export const TRUST_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_agent_trust_decisions_total",
    kind: "counter",
    help: "Bundles and refreshes judged by signed metadata, by outcome (accepted, unknown, or the code of the refusal).",
    labels: ["outcome"],
  },
  {
    name: "flotilla_agent_trust_root_version",
    kind: "gauge",
    help: "Version of the trusted root.",
  },
  {
    name: "flotilla_agent_trust_expires_timestamp_seconds",
    kind: "gauge",
    help: "When the first of root, targets and delegated roles expires, as Unix time.",
  },
  {
    name: "flotilla_agent_trust_attested",
    kind: "gauge",
    help: "1 when the hub has attested the time since this start, else 0: expiry is judged by the last time that was known.",
  },
];
