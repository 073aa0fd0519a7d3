import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { describe, expect, test } from "vitest";
import { NoticeController } from "../src/app/conditions/notice-controller.ts";
import { FleetController } from "../src/app/fleet/fleet-controller.ts";
import { NOTICES } from "../src/domain/conditions/unattended.ts";
import { secret } from "./support/objects.ts";
import { World } from "./support/world.ts";

const fleetOf = (world: World, name = "f"): ObjectOf<"Fleet"> => {
  const fleet = world.store.get("Fleet", "shop", name);
  if (fleet === undefined) throw new Error(`no fleet ${name}`);
  return fleet;
};

async function pass(world: World): Promise<void> {
  await new FleetController({}, world.deps).pass();
}

const reasons = (world: World): Record<string, string> =>
  Object.fromEntries((fleetOf(world).status?.members ?? []).map((m) => [m.name, m.reason]));

const condition = (world: World, type: string) =>
  fleetOf(world).status?.conditions?.find((c) => c.type === type);

describe("membership", () => {
  test("members are clusters and sites, named or selected, each once and each with its reason", async () => {
    const world = new World();
    await world.apply("Site", "north", {}, { labels: { tier: "edge" } });
    await world.apply("Site", "south", { attributes: { tier: "edge" } });
    await world.apply("Site", "far", {});
    await world.node("n1", "north");
    await world.node("n2", "north", { life: "lost" });
    await world.apply("Cluster", "registered", { kubeconfigRef: { name: "kc" } });
    await world.put({
      ...secret("kc", {}),
      metadata: { ...secret("kc", {}).metadata, namespace: "shop" },
    });
    await world.apply("Fleet", "f", {
      clusters: [
        { name: "registered" },
        { name: "unknown" },
        { name: "keyless", kubeconfigRef: { name: "nowhere" } },
        { name: "far", attributes: { a: "b" } },
      ],
      sites: [{ name: "north" }, { name: "ghost" }],
      siteSelector: { matchLabels: { tier: "edge" } },
    });
    await pass(world);
    expect(reasons(world)).toEqual({
      registered: "ReachabilityUnknown",
      unknown: "ClusterNotRegistered",
      keyless: "SecretMissing",
      far: "NoNodes",
      north: "SomeNodesReady",
      ghost: "SiteNotFound",
      south: "NoNodes",
    });
    expect(fleetOf(world).status).toMatchObject({
      phase: "Degraded",
      memberCount: 7,
      readyMemberCount: 1,
      nodeCount: 2,
      readyNodeCount: 1,
    });
    expect(condition(world, "MembersResolved")).toMatchObject({
      status: "False",
      message:
        "3 of 7 members cannot be resolved: unknown (ClusterNotRegistered), keyless (SecretMissing), ghost (SiteNotFound)",
    });
  });

  test("a fleet is Ready when every member is, and each transition is told once", async () => {
    const world = new World();
    await world.apply("Site", "north", {});
    await world.apply("Fleet", "f", { sites: [{ name: "north" }] });
    await pass(world);
    expect(fleetOf(world).status?.phase).toBe("Pending");
    await world.node("n1", "north");
    await pass(world);
    await pass(world);
    expect(fleetOf(world).status?.phase).toBe("Ready");
    expect(condition(world, "Ready")).toMatchObject({ status: "True", reason: "AllMembersReady" });
    await world.life("n1", "suspect");
    await pass(world);
    expect(fleetOf(world).status?.phase).toBe("Pending");
    const ready = world.told.filter((t) => t.about === "Fleet/f" && t.message.startsWith("Ready:"));
    expect(ready.map((t) => [t.type, t.reason])).toEqual([
      ["Warning", "MembersNotReady"],
      ["Normal", "AllMembersReady"],
      ["Warning", "MembersNotReady"],
    ]);
  });

  test("an empty fleet says what is missing", async () => {
    const world = new World();
    await world.apply("Fleet", "f", {});
    await pass(world);
    expect(fleetOf(world).status).toMatchObject({ phase: "Pending", memberCount: 0 });
    expect(condition(world, "MembersResolved")).toMatchObject({
      status: "False",
      reason: "NoMembers",
    });
  });
});

describe("components and policies", () => {
  test("what no controller does is Unknown and says so", async () => {
    const world = new World();
    await world.apply("Fleet", "f", {
      addons: { prometheus: { enabled: true, thanosMode: true }, volcano: { enabled: false } },
      policyTemplates: [{ name: "base-security", spec: { rules: [{ rule: "r" }] } }],
    });
    await pass(world);
    expect(condition(world, "ComponentsInstalled")).toMatchObject({
      status: "Unknown",
      reason: "ControllerNotAvailable",
      message: "prometheus: stored; this hub installs no add-ons into clusters",
    });
    expect(condition(world, "PoliciesDistributed")?.message).toMatch(/^base-security: stored/);
  });

  test("conditions stand in the order membership, components, policies, status", async () => {
    const world = new World();
    await world.apply("Fleet", "f", {});
    await pass(world);
    expect(fleetOf(world).status?.conditions?.map((c) => c.type)).toEqual([
      "MembersResolved",
      "ComponentsInstalled",
      "PoliciesDistributed",
      "Ready",
    ]);
  });
});

describe("sites", () => {
  test("a site counts its nodes; revoked and silent ones are not ready", async () => {
    const world = new World();
    await world.apply("Site", "north", {});
    await world.node("n1", "north");
    await world.node("n2", "north", { life: "suspect" });
    await world.node("n3", "north", { spec: { revoked: true } });
    await world.node("other", "south");
    await pass(world);
    expect(world.store.get("Site", "", "north")?.status).toMatchObject({
      nodeCount: 3,
      readyNodeCount: 1,
      conditions: [{ type: "Ready", status: "True", reason: "SomeNodesReady" }],
    });
  });
});

test("a second pass writes nothing; a conflict is left to the next", async () => {
  const world = new World();
  await world.apply("Site", "north", {});
  await world.apply("Fleet", "f", { sites: [{ name: "north" }] });
  let hits = 0;
  world.store.beforeCommit = async () => {
    if (hits++ === 0) await world.apply("Site", "north", { region: "r" });
  };
  await pass(world);
  expect(world.metrics.total("flotilla_hub_pass_conflicts_total")).toBe(1);
  await pass(world);
  const revision = world.store.revision;
  await pass(world);
  expect(world.store.revision).toBe(revision);
  expect(world.store.get("Site", "", "north")?.status?.nodeCount).toBe(0);
});

describe("notices", () => {
  test("every kind without a controller says in a condition what is done and what is not", async () => {
    const world = new World();
    await world.apply("PropagationPolicy", "x", {});
    await world.apply("SchedulingProfile", "x", {});
    await world.apply("PerformanceProfile", "x", {});
    await world.apply("CrossClusterEndpoint", "x", {
      sourceCluster: "a",
      targetCluster: "b",
      port: 1,
    });
    await world.apply("NetworkOptimizationPolicy", "x", {});
    await world.apply("NetworkPartitionPolicy", "x", {});
    await world.apply("Cluster", "x", {});
    const notices = new NoticeController({}, world.deps);
    await notices.pass();
    const active = [...world.store.disk.objects.values()].map((o) => {
      const status: {
        observedGeneration?: number;
        conditions?: { type: string; status: string; reason: string }[];
      } = "status" in o && o.status !== undefined ? (o.status as object) : {};
      const found = status.conditions?.find((c) => c.type === "Active");
      return [o.kind, found?.status, found?.reason, status.observedGeneration];
    });
    expect(active).toEqual([
      ["PropagationPolicy", "True", "InUse", 1],
      ["SchedulingProfile", "True", "InUse", 1],
      ["PerformanceProfile", "True", "InUse", 1],
      ["CrossClusterEndpoint", "False", "ControllerNotAvailable", 1],
      ["NetworkOptimizationPolicy", "True", "InUse", 1],
      ["NetworkPartitionPolicy", "False", "ControllerNotAvailable", 1],
      ["Cluster", "Unknown", "ControllerNotAvailable", 1],
    ]);
    expect(new Set(active.map(([kind]) => kind))).toEqual(new Set(Object.keys(NOTICES)));
    const revision = world.store.revision;
    await notices.pass();
    expect(world.store.revision).toBe(revision);
  });
});
