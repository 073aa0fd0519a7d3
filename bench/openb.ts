import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { fleetOf } from "./openb/fleet.ts";
import { knowledgeOf, POLICIES, PROFILES, placerOf } from "./openb/policies.ts";
import { compare, findPublished } from "./openb/published.ts";
import { replay } from "./openb/replay.ts";
import { placementsText, type Run, reportJson, reportText } from "./openb/report.ts";
import { readArrivals, readNodes, readPods } from "./openb/trace.ts";

/** Replays a GPU trace through the product's scheduler and through the published policies. */
const USAGE = `npm run bench:openb -- --nodes FILE --pods FILE --arrivals FILE… [options]
  --nodes FILE        nodes of the trace (CSV)
  --pods FILE         pods of the trace (CSV)
  --arrivals FILE…    recorded orders of arrival (.u16.gz), one or more
  --policy P          ${POLICIES.join(", ")}, or all (default)
  --profile P         flotilla alone: gpu scores by slot and strand (default), article by all five parts, through the fleet table
  --placements DIR    writes DIR/<arrivals>.csv: arrival,pod,node,gpus; needs one --policy (default then: flotilla)
  --json              prints JSON instead of a table`;

function main(): void {
  const { values, positionals } = parseArgs({
    options: {
      nodes: { type: "string" },
      pods: { type: "string" },
      arrivals: { type: "string", multiple: true },
      policy: { type: "string" },
      profile: { type: "string", default: PROFILES[0] },
      placements: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const paths = {
    nodes: needed("nodes", values.nodes),
    pods: needed("pods", values.pods),
    // A shell's glob leaves all but the first file as positionals.
    arrivals: [...(values.arrivals ?? []), ...positionals],
  };
  needed("arrivals", paths.arrivals[0]);
  const asked = values.policy ?? (values.placements === undefined ? "all" : "flotilla");
  const policies = asked === "all" ? POLICIES : [oneOf("policy", asked, POLICIES)];
  if (values.placements !== undefined && policies.length > 1)
    throw new Error("--placements needs one --policy, or the files would overwrite each other");
  const runs = policies.flatMap((policy) =>
    runsOf(paths, policy, oneOf("profile", values.profile, PROFILES)),
  );
  if (values.placements !== undefined)
    writePlacements(values.placements, runs, readPods(paths.pods));
  const report = { pods: paths.pods, profile: values.profile, runs };
  console.log(values.json ? JSON.stringify(reportJson(report), undefined, 2) : reportText(report));
  // A yardstick that measures something else than what was published measures nothing.
  if (runs.some((r) => r.policy === "fgd" && r.comparison?.equal === false)) process.exitCode = 1;
}

interface Paths {
  readonly nodes: string;
  readonly pods: string;
  readonly arrivals: readonly string[];
}

function runsOf(
  paths: Paths,
  policy: (typeof POLICIES)[number],
  profile: (typeof PROFILES)[number],
): readonly Run[] {
  const [nodes, pods] = [readNodes(paths.nodes), readPods(paths.pods)];
  const [knowledge, published] = [knowledgeOf(pods), findPublished([paths.pods, paths.nodes])];
  return paths.arrivals.map((path) => {
    const arrivals = readArrivals(path, { nodes: nodes.length, pods: pods.length });
    const fleet = fleetOf(nodes, pods, arrivals.ranks);
    const outcome = replay(arrivals, fleet, {
      pods,
      placer: placerOf(policy, profile, knowledge, fleet),
    });
    return { policy, replay: outcome, comparison: compare(policy, outcome, published) };
  });
}

function writePlacements(
  folder: string,
  runs: readonly Run[],
  pods: ReturnType<typeof readPods>,
): void {
  mkdirSync(folder, { recursive: true });
  for (const { replay: outcome } of runs)
    writeFileSync(join(folder, `${outcome.arrivals}.csv`), placementsText(outcome, pods));
}

function needed(name: string, value: string | undefined): string {
  if (value === undefined) throw new Error(`--${name} is missing\n${USAGE}`);
  return value;
}

function oneOf<T extends string>(name: string, value: string, known: readonly T[]): T {
  const found = known.find((k) => k === value);
  if (found === undefined) throw new Error(`--${name} ${value}: use one of ${known.join(", ")}`);
  return found;
}

try {
  main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 2;
}
