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

/** Metrics of the activation of artifacts; docs/metrics.md lists them. */
export const ACTIVATION_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_agent_artifact_prepared_total",
    kind: "counter",
    help: "Sets of artifacts that were made ready in an instance's other slot.",
  },
  {
    name: "flotilla_agent_artifact_switches_total",
    kind: "counter",
    help: "Times that an instance's files were switched, to a new set (forward) or to the last good one (back).",
    labels: ["kind"],
  },
  {
    name: "flotilla_agent_artifact_trials_total",
    kind: "counter",
    help: "Health windows of new sets by outcome: committed, rolled-back, failing (nothing to go back to).",
    labels: ["outcome"],
  },
  {
    name: "flotilla_agent_artifact_reloads_total",
    kind: "counter",
    help: "Signals and POSTs that told a running workload of other files.",
    labels: ["kind", "outcome"],
  },
  {
    name: "flotilla_agent_artifact_damage_total",
    kind: "counter",
    help: "Slots whose files were found to be others than were installed.",
  },
  {
    name: "flotilla_agent_artifact_bytes",
    kind: "gauge",
    help: "Bytes of artifact contents on this node's disk.",
  },
  {
    name: "flotilla_agent_prestage_hits_total",
    kind: "counter",
    help: "Releases that were fetched ahead and then used, since this agent started.",
  },
  {
    name: "flotilla_agent_prestage_hit_bytes_total",
    kind: "counter",
    help: "Bytes that they did not have to wait for, since this agent started.",
  },
];
