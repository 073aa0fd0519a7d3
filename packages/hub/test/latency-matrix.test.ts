import type { Measures } from "@flotilla/shared/model/measures";
import { expect, test } from "vitest";
import { FleetController } from "../src/app/fleet/fleet-controller.ts";
import { ProbePlans } from "../src/app/measures/probe-plans.ts";
import { latencyFacts, SITE_LATENCIES_MAX } from "../src/domain/measures/latency-matrix.ts";
import { PROBE_INTERVAL_MS_MIN } from "../src/domain/measures/probe-plan.ts";
import { siteFacts } from "../src/domain/scheduling/snapshot.ts";
import { World } from "./support/world.ts";

const DEFAULT_TIMES = { intervalMs: 30_000, timeoutMs: 2_000 };

async function fleet(): Promise<{ world: World; plans: ProbePlans; told: string[] }> {
  const world = new World();
  for (const [name, region] of [
    ["a", "eu"],
    ["b", "us"],
    ["c", "us"],
  ] as const)
    await world.apply("Site", name, { region, probe: { host: `${name}.example`, port: 443 } });
  await world.apply("Site", "dark", {});
  await world.node("a-1", "a");
  await world.node("a-2", "a");
  await world.node("b-1", "b");
  const plans = new ProbePlans({ store: world.store });
  const told: string[] = [];
  plans.onChange((nodes) => told.push(...nodes));
  return { world, plans, told };
}

test("the first ready node of a site probes all sites that name a target but its own", async () => {
  const { plans } = await fleet();
  expect(plans.planOf("a-1")).toEqual({
    ...DEFAULT_TIMES,
    targets: [
      { site: "b", host: "b.example", port: 443 },
      { site: "c", host: "c.example", port: 443 },
    ],
  });
  expect(plans.planOf("b-1")?.targets.map((t) => t.site)).toEqual(["c", "a"]);
  expect([plans.planOf("a-2"), plans.planOf("none")]).toEqual([undefined, undefined]);
});

test("when the prober is lost the next node takes over, and gives back when it returns; both are told", async () => {
  const { world, plans, told } = await fleet();
  await world.life("a-1", "suspect");
  expect(plans.planOf("a-1")).toBeUndefined();
  expect(plans.planOf("a-2")?.targets).toHaveLength(2);
  expect(told).toEqual(["a-1", "a-2"]);
  await world.life("a-1", "ready");
  expect(plans.planOf("a-1")?.targets).toHaveLength(2);
  expect(told.slice(2)).toEqual(["a-2", "a-1"]);
});

test("a policy sets the times, within bounds, or switches probing off; a status of a site tells nobody anything", async () => {
  const { world, plans, told } = await fleet();
  const probe = (said: object) =>
    world.apply("NetworkOptimizationPolicy", "p", { routing: { probe: said } });
  await probe({ interval: "1ms", timeout: "1d" });
  expect(plans.planOf("a-1")).toMatchObject({
    intervalMs: PROBE_INTERVAL_MS_MIN,
    timeoutMs: 60_000,
  });
  expect(told.toSorted()).toEqual(["a-1", "b-1"]);
  await probe({ enabled: false });
  expect(plans.planOf("a-1")).toBeUndefined();
  told.length = 0;
  await new FleetController({}, world.deps).pass();
  expect(told).toEqual([]);
});

async function measured(
  world: World,
  name: string,
  latencies: Measures["latencies"],
): Promise<void> {
  const node = world.store.get("EdgeNode", "", name);
  if (node === undefined || latencies === undefined) throw new Error(`no node ${name}`);
  await world.put({ ...node, status: { ...node.status, measures: { latencies } } });
}

const stats = (site: string, p95Ms?: number) => ({
  site,
  ...(p95Ms === undefined ? {} : { p50Ms: 1, p95Ms }),
  lossRatio: p95Ms === undefined ? 1 : 0,
  sampleCount: 20,
});

test("a site's status says how far others are, from either end, and placements see it by site and by region", async () => {
  const { world } = await fleet();
  await measured(world, "a-1", [stats("b", 80), stats("c", 95), stats("gone", 5)]);
  await new FleetController({}, world.deps).pass();
  const site = (name: string) => world.store.get("Site", "", name);
  const latencies = (name: string) =>
    site(name)?.status?.latencies?.map((l) => [l.site, l.region, l.p95Ms]);
  expect(latencies("a")).toEqual([
    ["b", "us", 80],
    ["c", "us", 95],
  ]);
  expect(latencies("b")).toEqual([["a", "eu", 80]]);
  expect(latencies("dark")).toEqual([]);
  const a = site("a");
  expect(a && [...(siteFacts(a).latencies ?? [])]).toEqual([
    ["us", 95],
    ["b", 80],
    ["c", 95],
  ]);
});

test("what hardly moves is not written, what nobody measures any more goes, what is all lost has no latency", async () => {
  const { world } = await fleet();
  const controller = new FleetController({}, world.deps);
  const p95 = () => world.store.get("Site", "", "a")?.status?.latencies?.map((l) => l.p95Ms);
  await measured(world, "a-1", [stats("b", 80)]);
  await controller.pass();
  await measured(world, "a-1", [stats("b", 87)]);
  const { revision } = world.store;
  await controller.pass();
  expect([p95(), world.store.revision]).toEqual([[80], revision]);
  await measured(world, "a-1", [stats("b", 89)]);
  await controller.pass();
  expect(p95()).toEqual([89]);
  await measured(world, "a-1", [stats("b")]);
  await controller.pass();
  expect(p95()).toEqual([undefined]);
  expect(latencyFacts(world.store.get("Site", "", "a")?.status?.latencies ?? []).size).toBe(0);
  await world.life("a-1", "lost");
  await controller.pass();
  expect(p95()).toEqual([]);
});

test("a status holds a bounded number of places", async () => {
  const { world } = await fleet();
  const names = Array.from({ length: SITE_LATENCIES_MAX + 10 }, (_, i) => `z${i}`);
  for (const name of names) {
    await world.apply("Site", name, {});
    await world.node(`${name}-n`, name);
    await measured(world, `${name}-n`, [stats("a", 10)]);
  }
  await new FleetController({}, world.deps).pass();
  expect(world.store.get("Site", "", "a")?.status?.latencies).toHaveLength(SITE_LATENCIES_MAX);
});
