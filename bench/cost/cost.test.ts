import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { describe, expect, test } from "vitest";
import { demandOf } from "./demand.ts";
import { type CostOutcome, play } from "./play.ts";
import { costLines, costText } from "./report.ts";
import { PRICE_BLIND, STRATEGIES, STRATEGY_NAMES } from "./strategies.ts";
import { type CostWorld, readWorld } from "./world.ts";

const all = readWorld();
/** Two regions are enough to tell a cheap from a dear one. */
const regions = ["eastus", "brazilsouth"];
const world: CostWorld = {
  regions,
  nodes: new Map([...all.nodes].filter(([, node]) => regions.includes(node.site.region ?? ""))),
};
const outcomeOf = (strategy: keyof typeof STRATEGIES, load = 0.3): CostOutcome =>
  play(world, demandOf(world, load, new SeededRandom(42)), STRATEGIES[strategy]);

test("every machine has a price, every way a price and a latency", () => {
  expect(all.regions).toHaveLength(13);
  for (const { price, site } of all.nodes.values()) {
    expect(price?.perHour).toBeGreaterThan(0);
    for (const region of all.regions) {
      if (region === site.region) continue;
      expect(site.egressPricePerGb?.get(region)).toBeGreaterThan(0);
      expect(site.latencies?.get(region)).toBeGreaterThan(0);
    }
  }
});

describe("what is played", () => {
  test("keeps every promise and fits, whatever the strategy", () => {
    for (const strategy of STRATEGY_NAMES) {
      const { placed, asked, broken, cpuRatio, gpuRatio } = outcomeOf(strategy, 1.2);
      expect(broken).toBe(0);
      expect(placed > 0 && placed < asked).toBe(true);
      expect(cpuRatio <= 1 && gpuRatio <= 1).toBe(true);
    }
  });

  test("is cheaper when prices are known, and cheapest when nothing else counts", () => {
    const [alone, article, blind] = (["cost alone", "article", PRICE_BLIND] as const).map(
      (strategy) => outcomeOf(strategy).costPerHour,
    );
    expect((alone ?? 0) < (article ?? 0) && (article ?? 0) < (blind ?? 0)).toBe(true);
  });

  test("is the same for the same seed", () => {
    expect(outcomeOf("article")).toEqual(outcomeOf("article"));
  });
});

test("the report compares by instance placed, so that placing less is not cheaper", () => {
  const outcome = outcomeOf("article");
  const half = { ...outcome, placed: outcome.placed / 2, costPerHour: outcome.costPerHour / 2 };
  const lines = costLines([
    { strategy: PRICE_BLIND, load: 1, seed: 1, outcome },
    { strategy: "article", load: 1, seed: 1, outcome: half },
  ]);
  expect(lines.map((line) => line.costVsBlind)).toEqual([0, 0]);
  expect(costText(lines).split("\n")).toHaveLength(3);
});
