import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of releases on their way to nodes. */
export const RELEASE_METRICS: readonly MetricDefinition[] = [
  { name: "flotilla_hub_releases", kind: "gauge", help: "Releases that are known." },
  {
    name: "flotilla_hub_prestaged_releases",
    kind: "gauge",
    help: "Releases that nodes are asked to hold ready, each node counted, by what they are held for.",
    labels: ["cause"],
  },
  {
    name: "flotilla_hub_prestage_hits",
    kind: "gauge",
    help: "Releases that lay ready when they were needed, summed over what nodes report.",
  },
  {
    name: "flotilla_hub_prestage_hit_bytes",
    kind: "gauge",
    help: "Bytes that instances did not have to wait for because they lay ready, summed over what nodes report.",
  },
];
