import { parseArgs } from "node:util";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { demandOf } from "./cost/demand.ts";
import { play } from "./cost/play.ts";
import { type CostRun, costLines, costText } from "./cost/report.ts";
import { STRATEGIES, STRATEGY_NAMES } from "./cost/strategies.ts";
import { readWorld } from "./cost/world.ts";

/** What prices, traffic and promised latencies make of a bill, and what placement makes of utilisation, on a generated fleet. */
const USAGE = `npm run bench:cost -- [options]
  --loads L,…   cores asked for over the fleet's cores (default 0.5,1.3)
  --seeds N,…   seeds of the demand (default 42,43,44)
  --json        prints JSON instead of a table`;

function main(): void {
  const { values } = parseArgs({
    options: {
      loads: { type: "string", default: "0.5,1.3" },
      seeds: { type: "string", default: "42,43,44" },
      json: { type: "boolean", default: false },
    },
  });
  const loads = numbers("loads", values.loads, 10);
  const seeds = numbers("seeds", values.seeds, 2 ** 32);
  const world = readWorld();
  const runs = loads.flatMap((load) =>
    STRATEGY_NAMES.flatMap((strategy) =>
      seeds.map((seed): CostRun => {
        const demands = demandOf(world, load, new SeededRandom(seed));
        return { strategy, load, seed, outcome: play(world, demands, STRATEGIES[strategy]) };
      }),
    ),
  );
  const lines = costLines(runs);
  const fleet = { regions: world.regions.length, nodes: world.nodes.size, seeds };
  if (values.json) console.log(JSON.stringify({ ...fleet, lines, runs }, undefined, 2));
  else
    console.log(
      `${fleet.regions} regions, ${fleet.nodes} nodes, means over seeds ${seeds.join(", ")}\n${costText(lines)}`,
    );
  if (runs.some(({ outcome }) => outcome.broken > 0))
    throw new Error("a promised latency does not hold where an instance was placed");
}

function numbers(name: string, text: string, max: number): readonly number[] {
  const list = text.split(",").map(Number);
  if (list.some((n) => !(n > 0 && n <= max)))
    throw new Error(`--${name} ${text}: use numbers above 0 and at most ${max}, with commas`);
  return list;
}

try {
  main();
} catch (error) {
  console.error(`${messageOf(error)}\n${USAGE}`);
  process.exitCode = 1;
}
