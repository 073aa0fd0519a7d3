import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of moves that make room. */
export const DEFRAGMENT_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_moves_total",
    kind: "counter",
    help: "Instances moved to make room for others, by how far they got.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_hub_move_plans_total",
    kind: "counter",
    help: "Move plans that are over, by how they ended.",
    labels: ["outcome"],
  },
];
