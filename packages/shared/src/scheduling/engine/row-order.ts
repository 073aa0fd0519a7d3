import type { NodeRow } from "./node-table.ts";

/**
 * The order of rows that keeps large machines whole: of equal scores the first row wins, so nodes with fewer GPUs come first
 * and small requests fill those. Nodes with as many keep their order. Under arrivals and departures it halves the moves
 * that large requests need (`npm run bench:churn -- --ties drawn` shows it without).
 */
export function smallNodesFirst(
  a: Pick<NodeRow, "gpuCount">,
  b: Pick<NodeRow, "gpuCount">,
): number {
  return a.gpuCount - b.gpuCount;
}
