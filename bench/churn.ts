import { parseArgs } from "node:util";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { smallNodesFirst } from "@flotilla/shared/scheduling/engine/row-order";
import { playChurn } from "./churn/churn.ts";
import { COUNTED_LIVES, courseOf, WARM_UP_LIVES } from "./churn/course.ts";
import { CHURN_POLICIES, type ChurnPolicy, scoreOf } from "./churn/policies.ts";
import { type ChurnRun, churnJson, churnText } from "./churn/report.ts";
import { fleetOf } from "./openb/fleet.ts";
import { knowledgeOf } from "./openb/policies.ts";
import { readNodes, readPods, type TraceNode } from "./openb/trace.ts";

/** Arrivals and departures on the nodes and pods of a GPU trace: what finds no room, and how many moves that takes. */
const USAGE = `npm run bench:churn -- --nodes FILE --pods FILE [options]
  --nodes FILE        nodes of the trace (CSV)
  --pods FILE         pods of the trace (CSV)
  --loads L,…         GPU demand over the fleet's GPUs (default 0.90,0.95)
  --seeds N           how many courses for each load; their seeds are 1 to N (default 5)
  --policy P          ${CHURN_POLICIES.join(", ")}, or all (default)
  --ties T            order of equal nodes: small (fewest GPUs first), drawn, or own: small for flotilla, drawn, as
                      published, for the others (default own)
  --json              prints JSON instead of a table`;

const SEEDS_MAX = 1_000;

/** How equal nodes are ordered. */
const TIES = ["own", "small", "drawn"] as const;

function main(): void {
  const { values } = parseArgs({
    options: {
      nodes: { type: "string" },
      pods: { type: "string" },
      loads: { type: "string", default: "0.90,0.95" },
      seeds: { type: "string", default: "5" },
      policy: { type: "string", default: "all" },
      ties: { type: "string", default: TIES[0] },
      json: { type: "boolean", default: false },
    },
  });
  const paths = { nodes: needed("nodes", values.nodes), pods: needed("pods", values.pods) };
  const loads = values.loads.split(",").map((load) => within("loads", load, 1.5));
  const seedCount = Math.floor(within("seeds", values.seeds, SEEDS_MAX));
  const seeds = Array.from({ length: seedCount }, (_, i) => i + 1);
  const policies = CHURN_POLICIES.filter((p) => values.policy === "all" || values.policy === p);
  if (policies.length === 0)
    throw new Error(`--policy ${values.policy}: use one of ${CHURN_POLICIES.join(", ")} or all`);
  const ties = TIES.find((t) => t === values.ties);
  if (ties === undefined) throw new Error(`--ties ${values.ties}: use one of ${TIES.join(", ")}`);
  const runs = runsOf(paths, { loads, seeds, policies, ties });
  const report = {
    pods: paths.pods,
    seeds,
    warmUpLives: WARM_UP_LIVES,
    countedLives: COUNTED_LIVES,
    runs,
  };
  console.log(values.json ? JSON.stringify(churnJson(report), undefined, 2) : churnText(report));
}

function runsOf(
  paths: { readonly nodes: string; readonly pods: string },
  asked: {
    readonly loads: readonly number[];
    readonly seeds: readonly number[];
    readonly policies: readonly ChurnPolicy[];
    readonly ties: (typeof TIES)[number];
  },
): readonly ChurnRun[] {
  const [nodes, pods] = [readNodes(paths.nodes), readPods(paths.pods)];
  const knowledge = knowledgeOf(pods);
  const gpuMilli = nodes.reduce((sum, n) => sum + n.gpuCount * 1_000, 0);
  return asked.loads.flatMap((load) =>
    asked.seeds.flatMap((seed) => {
      const course = courseOf(pods, { gpuMilli, nodeCount: nodes.length }, { load, seed });
      return asked.policies.flatMap((policy) =>
        [false, true].map((defragments) => {
          const isSmallFirst =
            asked.ties === "own" ? policy === "flotilla" : asked.ties === "small";
          const ranks = isSmallFirst ? smallFirst(nodes, course.ranks) : course.ranks;
          const fleet = fleetOf(nodes, pods, ranks);
          const outcome = playChurn(course, fleet, {
            score: scoreOf(policy, knowledge, fleet),
            milliCpuPerGpu: knowledge.values.milliCpuPerGpu,
            defragments,
          });
          return { policy, defragments, load, seed, outcome };
        }),
      );
    }),
  );
}

/** Ranks by number of GPUs, and among equals as they were. */
function smallFirst(nodes: readonly TraceNode[], ranks: Uint16Array): Uint16Array {
  const order = [...nodes.entries()].toSorted(
    ([i, a], [j, b]) => smallNodesFirst(a, b) || (ranks[i] ?? 0) - (ranks[j] ?? 0),
  );
  const ordered = new Uint16Array(nodes.length);
  for (const [rank, [i]] of order.entries()) ordered[i] = rank;
  return ordered;
}

function needed(name: string, value: string | undefined): string {
  if (value === undefined) throw new Error(`--${name} is missing\n${USAGE}`);
  return value;
}

function within(name: string, text: string, max: number): number {
  const value = Number(text);
  if (!(value > 0 && value <= max))
    throw new Error(`--${name} ${text}: a number above 0 and up to ${max} is expected`);
  return value;
}

try {
  main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 2;
}
