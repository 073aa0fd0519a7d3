import type { Adjustment } from "./adjustment.ts";
import { free, type NodeFacts, type PlacementRequest, type Snapshot } from "./facts.ts";
import { allRejections, type Rejection } from "./filter.ts";
import { byName } from "./select.ts";

/** Amounts that a node may lack. */
interface Amounts {
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
}

/** How far a node is from taking a request: by filters that it fails, then by the largest share that it lacks. */
export interface Distance {
  readonly failedCount: number;
  readonly lack: number;
}

/** Whether `a` is nearer than `b`. */
export function isNearer(a: Distance, b: Distance): boolean {
  return a.failedCount < b.failedCount || (a.failedCount === b.failedCount && a.lack < b.lack);
}

/** The largest share of what is asked that is not there; 0 lacks nothing. */
export function lackOf(asked: Amounts, left: Amounts): number {
  return Math.max(
    lacking(asked.milliCpu, left.milliCpu),
    lacking(asked.memoryBytes, left.memoryBytes),
    lacking(asked.diskBytes, left.diskBytes),
  );
}

function lacking(asked: number, left: number): number {
  // Written so that NaN lacks all.
  if (asked <= left) return 0;
  return asked > 0 ? (asked - Math.max(0, left)) / asked : 1;
}

/** Which node comes closest and what stands in the way there; undefined without nodes. Of equal ones the first by name. */
export function nearest(
  request: PlacementRequest,
  snapshot: Snapshot,
  adjustment: Adjustment,
): string | undefined {
  let best: { readonly node: NodeFacts; readonly distance: Distance } | undefined;
  const counts = new Map<number, number>();
  for (const node of [...snapshot.values()].toSorted((a, b) => byName(a.name, b.name))) {
    const failedCount = allRejections(request, node, adjustment).length;
    const distance = { failedCount, lack: lackOf(request.amounts, free(node)) };
    counts.set(failedCount, (counts.get(failedCount) ?? 0) + 1);
    if (best === undefined || isNearer(distance, best.distance)) best = { node, distance };
  }
  if (best === undefined) return undefined;
  const { failedCount } = best.distance;
  return nearestText(best.node.name, allRejections(request, best.node, adjustment), {
    othersCount: (counts.get(failedCount) ?? 1) - 1,
  });
}

/** `a would fit but for Taints: …, Resources: … (as would 3 more)`: others that fail as few filters are counted. */
export function nearestText(
  node: string,
  rejections: readonly Rejection[],
  { othersCount }: { readonly othersCount: number },
): string {
  const all = rejections.map(({ filter, reason }) => `${filter}: ${reason}`).join(", ");
  const others =
    othersCount > 0 && rejections.length === 1 ? ` (as would ${othersCount} more)` : "";
  return `${node} would fit but for ${all}${others}`;
}
