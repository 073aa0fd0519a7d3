import type { NodeRow } from "@flotilla/shared/scheduling/engine/node-table";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { fleetOf, mixOf, rowsOf } from "../openb/fleet.ts";
import { readNodes, readPods } from "../openb/trace.ts";
import { type ScoreName, type Workload, workloadOf } from "./fleet.ts";

/** A trace whose nodes come again and again until there are so many; pods are drawn from its list. */
export function replicatedWorkload(
  paths: { readonly nodes: string; readonly pods: string },
  nodeCount: number,
  score: ScoreName,
): Workload {
  const [nodes, pods] = [readNodes(paths.nodes), readPods(paths.pods)];
  const ranks = Uint16Array.from(nodes.keys());
  const fleet = fleetOf(nodes, pods, ranks);
  const once = rowsOf(nodes, fleet.models);
  const copies = Math.max(1, Math.round(nodeCount / nodes.length));
  const rows: NodeRow[] = Array.from({ length: copies }, () => once).flat();
  const random = new SeededRandom(7);
  const [first] = fleet.shapes;
  if (first === undefined) throw new Error(`${paths.pods} has no pods`);
  const next = (): Shape =>
    fleet.shapes[Math.floor(random.unit("pod") * fleet.shapes.length)] ?? first;
  return workloadOf({ rows, shapes: [...new Set(fleet.shapes)], mix: mixOf(pods), next }, score);
}
