import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { REBALANCE_ANNOTATION } from "@flotilla/shared/model/resources/application";
import { describe, expect, test } from "vitest";
import { deployment, World } from "./support/world.ts";

type Placement = NonNullable<ObjectOf<"Application">["spec"]["components"][number]["placement"]>;

/** Three sites with two nodes of 4 cores each. */
async function threeSites(): Promise<World> {
  const world = new World();
  for (const site of ["a", "b", "c"]) {
    await world.apply("Site", site, { region: `r-${site}` });
    await world.node(`${site}1`, site);
    await world.node(`${site}2`, site);
  }
  return world;
}

function bySite(world: World): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { spec } of world.assignments()) {
    const site = spec.node === undefined ? "-" : (spec.site ?? "?");
    counts[site] = (counts[site] ?? 0) + 1;
  }
  return counts;
}

async function run(world: World, replicas: number, placement: Placement): Promise<void> {
  const component = { ...deployment("api", replicas), placement };
  await world.apply("Application", "web", { components: [component] });
  await world.converge();
}

async function annotate(world: World, value: string): Promise<void> {
  const app = world.application();
  const annotations = { ...app.metadata.annotations, [REBALANCE_ANNOTATION]: value };
  await world.put({ ...app, metadata: { ...app.metadata, annotations } });
}

const weights = (of: Readonly<Record<string, number>>): Placement => ({
  replicaScheduling: {
    weightPreference: {
      staticWeightList: Object.entries(of).map(([name, weight]) => ({
        targetCluster: { siteNames: [name] },
        weight,
      })),
    },
  },
});
const policy = (
  distribution: NonNullable<ObjectOf<"PropagationPolicy">["spec"]["distribution"]>,
  names: readonly string[],
): ObjectOf<"PropagationPolicy">["spec"] => ({
  targetRef: { apiVersion: "apps.kurator.dev/v1alpha1", kind: "Application", name: "web" },
  placement: { clusterAffinity: { clusterNames: [...names] } },
  distribution,
});

describe("division", () => {
  test.each<[string, number, Placement, Record<string, number>]>([
    [
      "duplicated",
      2,
      { replicaScheduling: { replicaSchedulingType: "Duplicated" } },
      { a: 2, b: 2, c: 2 },
    ],
    ["by weight", 6, weights({ a: 3, b: 2, c: 1 }), { a: 3, b: 2, c: 1 }],
    ["aggregated", 6, { replicaScheduling: { replicaDivisionPreference: "Aggregated" } }, { a: 6 }],
    [
      "in two regions",
      6,
      { spreadConstraints: [{ spreadByField: "region", maxGroups: 2 }] },
      { a: 3, b: 3 },
    ],
  ])("%s", async (_, replicas, placement, expected) => {
    const world = await threeSites();
    await run(world, replicas, placement);
    expect(bySite(world)).toEqual(expected);
    const total = Object.values(expected).reduce((x, y) => x + y, 0);
    expect(world.application().status?.components?.[0]).toMatchObject({
      desired: total,
      ready: total,
    });
    expect(world.application().status?.phase).toBe("Running");
  });

  test("more are added where they are missing, fewer leave, and nothing else moves", async () => {
    const world = await threeSites();
    await run(world, 3, weights({ a: 1, b: 1, c: 1 }));
    const before = world.placement();
    await run(world, 6, weights({ a: 1, b: 1, c: 1 }));
    expect(bySite(world)).toEqual({ a: 2, b: 2, c: 2 });
    expect(world.placement()).toMatchObject(before);
    await run(world, 4, weights({ a: 1, b: 1, c: 1 }));
    expect(Object.values(bySite(world)).toSorted((x, y) => x - y)).toEqual([1, 1, 2]);
    expect(world.told.filter((t) => t.reason === "Moved")).toEqual([]);
  });

  test("a site that the weights leave out is left, a quarter at a time, and the service stays up", async () => {
    const world = await threeSites();
    await run(world, 4, weights({ a: 1 }));
    await world.apply("Application", "web", {
      components: [{ ...deployment("api", 4), placement: weights({ b: 1 }) }],
    });
    const controller = world.controller();
    await controller.pass();
    expect(bySite(world)).toEqual({ a: 3, b: 1 });
    await world.converge(controller);
    expect(bySite(world)).toEqual({ b: 4 });
  });

  test("what comes back takes nothing back, until a rebalance is asked for", async () => {
    const world = await threeSites();
    const even = { replicaScheduling: { replicaDivisionPreference: "Spread" as const } };
    await run(world, 6, even);
    await world.life("c1", "lost");
    await world.life("c2", "lost");
    await world.converge();
    expect(bySite(world)).toEqual({ a: 3, b: 3 });
    await world.life("c1", "ready");
    await world.life("c2", "ready");
    await world.converge();
    expect(bySite(world)).toEqual({ a: 3, b: 3 });
    const [division] = world.application().status?.division ?? [];
    expect(division?.moves).toEqual([
      { from: "a", to: "c", gain: 1, price: 0.2 },
      { from: "b", to: "c", gain: 1, price: 0.2 },
    ]);
    await annotate(world, "2026-11-25T20:00:00Z");
    await world.converge();
    expect(bySite(world)).toEqual({ a: 2, b: 2, c: 2 });
    expect(world.application().status?.division?.[0]).toMatchObject({
      rebalanced: "2026-11-25T20:00:00Z",
      moves: [],
    });
  });

  test("what finds no room says so", async () => {
    const world = new World();
    await world.apply("Site", "a", {});
    await world.node("a1", "a", { capacity: { milliCpu: 200 } });
    await run(world, 5, weights({ a: 1, b: 1 }));
    expect(bySite(world)).toEqual({ a: 1, "-": 4 });
    expect(world.application().status?.division?.[0]).toMatchObject({
      unplaced: 4,
      message: "4 of 5 find no room",
    });
  });
});

describe("affinity", () => {
  const api = (replicas: number, placement: Placement) => ({
    ...deployment("api", replicas),
    placement,
  });
  test("away from itself: one on each node, and what is left waits with the reason", async () => {
    const world = await threeSites();
    await run(world, 7, {
      antiAffinity: { required: [{ component: "api", topologyKey: "node" }] },
    });
    const nodes = world.assignments().flatMap((a) => a.spec.node ?? []);
    expect(nodes.toSorted()).toEqual(["a1", "a2", "b1", "b2", "c1", "c2"]);
    const waiting = world.assignments().find((a) => a.spec.node === undefined);
    expect(waiting?.status?.message).toContain("component api, which runs on this node");
  });

  test("near to another component, and who runs keeps off whom it must be away from", async () => {
    const world = await threeSites();
    const shy = { required: [{ application: "noise", topologyKey: "site" as const }] };
    await world.apply("Application", "web", {
      components: [
        {
          ...deployment("db", 1),
          placement: { siteAffinity: { siteNames: ["b"] }, antiAffinity: shy },
        },
      ],
    });
    await world.converge();
    const near = { required: [{ component: "db", topologyKey: "site" as const }] };
    await world.apply("Application", "web", {
      components: [
        {
          ...deployment("db", 1),
          placement: { siteAffinity: { siteNames: ["b"] }, antiAffinity: shy },
        },
        api(2, { affinity: near }),
      ],
    });
    await world.apply("Application", "noise", { components: [deployment("n", 4)] });
    await world.converge();
    expect(world.assignments("api").map((a) => a.spec.site)).toEqual(["b", "b"]);
    expect(new Set(world.assignments("n").map((a) => a.spec.site))).toEqual(new Set(["a", "c"]));
  });
});

describe("distribution", () => {
  test("ActiveActive: the traffic split is the weights, and is published", async () => {
    const world = await threeSites();
    await world.apply(
      "PropagationPolicy",
      "p",
      policy({ mode: "ActiveActive", trafficSplit: { a: 60, b: 40 } }, ["a", "b"]),
    );
    await run(world, 5, {});
    expect(bySite(world)).toEqual({ a: 3, b: 2 });
    expect(world.application().status?.division?.[0]?.sites).toEqual([
      { name: "a", replicas: 3, trafficPercent: 60 },
      { name: "b", replicas: 2, trafficPercent: 40 },
    ]);
  });

  test("ActiveStandby: all on the first, the next takes over, and back on demand", async () => {
    const world = await threeSites();
    await world.apply("PropagationPolicy", "p", policy({ mode: "ActiveStandby" }, ["b", "a"]));
    await run(world, 2, {});
    expect(bySite(world)).toEqual({ b: 2 });
    for (const node of ["b1", "b2"]) await world.life(node, "suspect");
    await world.converge();
    expect(bySite(world)).toEqual({ b: 2 });
    for (const node of ["b1", "b2"]) await world.life(node, "lost");
    await world.converge();
    expect(bySite(world)).toEqual({ a: 2 });
    for (const node of ["b1", "b2"]) await world.life(node, "ready");
    await world.converge();
    expect(bySite(world)).toEqual({ a: 2 });
    expect(world.application().status?.division?.[0]).toMatchObject({ active: "a" });
    await annotate(world, "now");
    await world.converge();
    expect(bySite(world)).toEqual({ b: 2 });
  });

  test("ActiveStandby: back once the first has been healthy for the time that the policy says", async () => {
    const world = await threeSites();
    const failback = { afterStable: "10m" };
    await world.apply(
      "PropagationPolicy",
      "p",
      policy({ mode: "ActiveStandby", failback }, ["b", "a"]),
    );
    await run(world, 2, {});
    for (const node of ["b1", "b2"]) await world.life(node, "lost");
    await world.converge();
    for (const node of ["b1", "b2"]) await world.life(node, "ready");
    const controller = world.controller();
    await world.converge(controller);
    expect(bySite(world)).toEqual({ a: 2 });
    await world.clock.advance(599_000);
    await world.converge(controller);
    expect(bySite(world)).toEqual({ a: 2 });
    await world.clock.advance(2_000);
    await world.converge(controller);
    expect(bySite(world)).toEqual({ b: 2 });
  });
});
