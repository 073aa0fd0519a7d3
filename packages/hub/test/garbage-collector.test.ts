import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { OwnerReference } from "@flotilla/shared/model/metadata";
import { describe, expect, test } from "vitest";
import { GarbageCollector } from "../src/app/garbage/garbage-collector.ts";
import { configMap } from "./support/objects.ts";
import { deployment, job, World } from "./support/world.ts";

const collector = (world: World) => new GarbageCollector({}, world.deps);

function owned(name: string, owners: readonly Partial<OwnerReference>[], meta: object = {}) {
  const base = configMap(name, {}, "shop");
  const ownerReferences = owners.map((o) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    name: "owner",
    uid: "uid-owner",
    ...o,
  }));
  return { ...base, metadata: { ...base.metadata, ownerReferences, ...meta } };
}

const names = (world: World) => world.store.list("ConfigMap").map((c) => c.metadata.name);

const get = (world: World, name: string): ObjectOf<"ConfigMap"> | undefined =>
  world.store.get("ConfigMap", "shop", name);

describe("owners", () => {
  test("the assignments of a deleted Application go, and stay gone", async () => {
    const world = new World();
    await world.node("n1");
    await world.apply("Application", "web", { components: [deployment("api", 3)] });
    await world.converge();
    await world.remove("Application", "web", "shop");
    await collector(world).pass();
    expect(world.assignments()).toHaveLength(0);
    await world.converge();
    expect(world.assignments()).toHaveLength(0);
    expect(world.metrics.total("flotilla_hub_garbage_deleted_total", { cause: "owner" })).toBe(3);
  });

  test("an owner is told by its uid: one made anew under the old name owns nothing", async () => {
    const world = new World();
    await world.put(configMap("owner", {}, "shop"));
    await world.put(owned("mine", [{}]));
    await world.put(owned("stale", [{ uid: "uid-of-before" }]));
    await collector(world).pass();
    expect(names(world)).toEqual(["mine", "owner"]);
  });

  test("a dependent lives while one owner lives, and loses the dead reference", async () => {
    const world = new World();
    await world.put(configMap("owner", {}, "shop"));
    await world.put(owned("mine", [{}, { uid: "gone", name: "x" }]));
    await collector(world).pass();
    expect(get(world, "mine")?.metadata.ownerReferences?.map((o) => o.uid)).toEqual(["uid-owner"]);
  });

  test("an owner of a kind that is not stored here is not judged", async () => {
    const world = new World();
    await world.put(
      owned("mine", [{ apiVersion: "apps/v1", kind: "ReplicaSet", uid: "elsewhere" }]),
    );
    await collector(world).pass();
    expect(names(world)).toEqual(["mine"]);
  });

  test("a chain of owners goes in one pass", async () => {
    const world = new World();
    for (let i = 5; i > 0; i--)
      await world.put(owned(`c${i}`, [{ name: `c${i - 1}`, uid: `uid-c${i - 1}` }]));
    await collector(world).pass();
    expect(names(world)).toEqual([]);
  });

  test("what a finalizer holds is marked, not taken away", async () => {
    const world = new World();
    await world.put(owned("mine", [{ uid: "gone" }], { finalizers: ["example.com/hold"] }));
    await collector(world).pass();
    expect(get(world, "mine")?.metadata.deletionTimestamp).toBeDefined();
    const revision = world.store.revision;
    await collector(world).pass();
    expect(world.store.revision).toBe(revision);
  });
});

describe("deletion policies", () => {
  const doomed = (finalizers: readonly string[]) => {
    const base = configMap("owner", {}, "shop");
    const deletionTimestamp = "2026-01-01T00:00:00Z";
    return {
      ...base,
      metadata: { ...base.metadata, finalizers: [...finalizers], deletionTimestamp },
    };
  };

  test("foreground: the dependents go first, then the owner", async () => {
    const world = new World();
    await world.put(doomed(["foregroundDeletion"]));
    await world.put(owned("mine", [{}]));
    await collector(world).pass();
    expect(names(world)).toEqual([]);
  });

  test("foreground: a held dependent holds its owner", async () => {
    const world = new World();
    await world.put(doomed(["foregroundDeletion"]));
    await world.put(owned("mine", [{}], { finalizers: ["example.com/hold"] }));
    await collector(world).pass();
    expect(names(world)).toEqual(["mine", "owner"]);
    await world.remove("ConfigMap", "mine", "shop");
    await collector(world).pass();
    expect(names(world)).toEqual([]);
  });

  test("orphan: the dependents are let go and live", async () => {
    const world = new World();
    await world.put(doomed(["orphan"]));
    await world.put(owned("mine", [{}]));
    await collector(world).pass();
    expect(names(world)).toEqual(["mine"]);
    expect(get(world, "mine")?.metadata.ownerReferences).toBeUndefined();
  });

  test("finalizers of others stay where they are", async () => {
    const world = new World();
    await world.put(doomed(["example.com/hold", "foregroundDeletion"]));
    await collector(world).pass();
    expect(get(world, "owner")?.metadata.finalizers).toEqual(["example.com/hold"]);
  });
});

describe("finished Jobs", () => {
  test("an Application of Jobs goes when the longest time after its end is over, not before", async () => {
    const world = new World();
    await world.node("n1");
    await world.apply("Application", "web", {
      components: [job("a", { ttl: 5 }), job("b", { ttl: 60 })],
    });
    await world.converge();
    await world.agentsRun("Succeeded");
    await world.settle();
    await world.clock.advance(59_000);
    await collector(world).pass();
    expect(world.store.list("Application")).toHaveLength(1);
    await world.clock.advance(1_000);
    await collector(world).pass();
    expect(world.store.list("Application")).toHaveLength(0);
    expect(world.assignments()).toHaveLength(0);
    expect(world.told.some((t) => t.reason === "Expired")).toBe(true);
  });

  test("a running Job, one without a time, and a Deployment beside it keep the Application", async () => {
    const world = new World();
    await world.node("n1");
    await world.apply("Application", "running", { components: [job("a", { ttl: 0 })] });
    await world.apply("Application", "kept", { components: [job("a", {})] });
    await world.apply("Application", "mixed", {
      components: [job("a", { ttl: 0 }), deployment("b", 1)],
    });
    await world.converge();
    for (const name of ["kept-a-0", "mixed-a-0"]) await world.report(name, "Succeeded");
    await world.settle();
    await world.clock.advance(86_400_000);
    await collector(world).pass();
    expect(world.store.list("Application")).toHaveLength(3);
  });
});

test("a commit that fails ends the pass with that failure; a new collector finishes the work", async () => {
  const world = new World();
  await world.put(owned("mine", [{ uid: "gone" }]));
  world.store.failures.push(new Error("disk full"));
  await expect(collector(world).pass()).rejects.toThrow("disk full");
  expect(names(world)).toEqual(["mine"]);
  await collector(world).pass();
  expect(names(world)).toEqual([]);
});

test("as a service it follows deletions", async () => {
  const world = new World();
  await world.put(configMap("owner", {}, "shop"));
  await world.put(owned("mine", [{}]));
  const stop = new AbortController();
  const running = collector(world).run(stop.signal);
  await world.clock.advance(100);
  expect(names(world)).toEqual(["mine", "owner"]);
  await world.remove("ConfigMap", "owner", "shop");
  await world.clock.advance(100);
  expect(names(world)).toEqual([]);
  stop.abort();
  await running;
});
