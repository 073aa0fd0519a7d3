import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { fleetOf, mixOf, rowsOf } from "../openb/fleet.ts";
import { requestOf, traceFacts } from "../openb/table-placer.ts";
import { readNodes, readPods } from "../openb/trace.ts";
import { rowSides, type ScoreName, tableSides, type Workload } from "./sides.ts";

/** A trace whose nodes come again and again until there are so many; pods are drawn from its list. */
export function replicatedWorkload(
  paths: { readonly nodes: string; readonly pods: string },
  nodeCount: number,
  score: ScoreName,
): Workload {
  const [nodes, pods] = [readNodes(paths.nodes), readPods(paths.pods)];
  const fleet = fleetOf(nodes, pods, Uint16Array.from(nodes.keys()));
  const copies = Math.max(1, Math.round(nodeCount / nodes.length));
  const repeated = Array.from({ length: copies }, () => nodes).flat();
  const shapes = [...new Set(fleet.shapes)];
  const kinds = fleet.shapes.map((shape) => shapes.indexOf(shape));
  const mix = mixOf(pods);
  const random = new SeededRandom(7);
  const requests = shapes.flatMap((shape) => {
    const pod = pods[fleet.shapes.indexOf(shape)];
    return pod === undefined ? [] : [requestOf(pod)];
  });
  return {
    nodeCount: repeated.length,
    kindCount: shapes.length,
    side:
      score === "gpu"
        ? rowSides(rowsOf(repeated, fleet.models), shapes, mix)
        : tableSides(traceFacts(repeated), requests, mix),
    next: () => kinds[Math.floor(random.unit("pod") * kinds.length)] ?? 0,
  };
}
