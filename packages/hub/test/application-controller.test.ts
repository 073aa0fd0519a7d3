import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { free, reserveAll } from "@flotilla/shared/scheduling/facts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { nodeFacts, usedBy } from "../src/domain/scheduling/snapshot.ts";
import { emptyDisk, MemoryStore } from "./support/memory-store.ts";
import { temporaryDir, testStore } from "./support/store.ts";
import { deployment, job, World } from "./support/world.ts";

async function threeNodes(): Promise<World> {
  const world = new World();
  await world.apply("Site", "site-1", {});
  await world.apply("Site", "site-2", {});
  await world.node("a1", "site-1");
  await world.node("a2", "site-1");
  await world.node("b1", "site-2");
  return world;
}

const revisions = (world: World, component: string) =>
  Object.fromEntries(
    world.assignments(component).map((a) => [a.metadata.name, a.metadata.resourceVersion]),
  );

describe("placing", () => {
  test("every replica gets an Assignment with its spec, its requests, its owner and the reasons of its place", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 3)] });
    await world.settle();
    expect(Object.values(world.placement()).toSorted()).toEqual(["a1", "a2", "b1"]);
    const a = world.assignment("web-api-0");
    expect(a.spec).toMatchObject({
      application: "web",
      component: "api",
      index: 0,
      requests: { milliCpu: 100, memoryBytes: 64 * 2 ** 20, diskBytes: 0, gpuCount: 0 },
      desired: {
        id: "shop.web.api-0",
        kind: "Deployment",
        runtime: "process",
        restartPolicy: "Always",
        terminationGracePeriodSeconds: 30,
      },
    });
    expect(a.spec.desired.specDigest).toMatch(/^[0-9a-f]{64}$/);
    expect(a.spec.score).toBeGreaterThan(0);
    expect(a.status?.candidates).toHaveLength(3);
    expect(a.metadata.ownerReferences?.[0]).toMatchObject({ kind: "Application", name: "web" });
    expect(a.metadata.labels).toEqual({
      "apps.kurator.dev/application": "web",
      "apps.kurator.dev/component": "api",
      "apps.kurator.dev/index": "0",
    });
    expect(world.told.filter((t) => t.reason === "Scheduled")).toHaveLength(3);
    expect(world.told[0]?.message).toMatch(/^assigned to \w+ \(site site-\d\), score 0\.\d{3}$/);
  });

  test("a second pass over the same state writes nothing", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 3)] });
    await world.converge();
    const revision = world.store.revision;
    await world.controller().pass();
    expect(world.store.revision).toBe(revision);
  });

  test("what fits nowhere waits with its candidates and an Event, and is placed once there is room", async () => {
    const world = await threeNodes();
    await world.node("b1", "site-2", { life: "lost" });
    await world.apply("Application", "web", {
      components: [deployment("api", 1, { memory: "12Gi" })],
    });
    await world.settle();
    const a = world.assignment("web-api-0");
    expect(a.spec.node).toBeUndefined();
    expect(a.status?.message).toBe(
      "0/3 nodes fit: 2 Resources (memory: asks 12Gi, 7.59Gi free), 1 NodeReady (node is lost); a1 would fit but for Resources: memory: asks 12Gi, 7.59Gi free (as would 1 more)",
    );
    expect(a.status?.candidates).toHaveLength(3);
    expect(world.told.filter((t) => t.reason === "FailedScheduling")).toHaveLength(1);
    expect(world.condition("Scheduled")).toMatchObject({
      status: "False",
      reason: "Unschedulable",
    });
    expect(world.application().status?.phase).toBe("Pending");
    await world.node("big", "site-2", { capacity: { memoryBytes: 16 * 2 ** 30 } });
    await world.converge();
    expect(world.placement()).toEqual({ "web-api-0": "big" });
    expect(world.assignment("web-api-0").status?.message).toBeUndefined();
    expect(world.condition("Scheduled")?.status).toBe("True");
  });

  test("waiting writes nothing, however long it takes", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 2, { cpu: "99" })] });
    await world.settle();
    const revision = world.store.revision;
    await world.clock.advance(60_000);
    await world.settle();
    expect(world.store.revision).toBe(revision);
  });

  test("a SchedulingProfile decides what counts, its absence is said", async () => {
    const world = new World();
    await world.apply("Site", "near", { latencyMs: 1, pricePerNodeHour: 9 });
    await world.apply("Site", "cheap", { latencyMs: 90, pricePerNodeHour: 1 });
    await world.node("n", "near");
    await world.node("c", "cheap");
    const place = async (profile: string): Promise<string | undefined> => {
      await world.apply("Application", profile, {
        components: [deployment("api", 1)],
        schedulingProfile: profile,
      });
      await world.settle();
      return world.assignment(`${profile}-api-0`).spec.node;
    };
    const only = (part: "cost" | "performance") => ({
      scoreWeights: { resource: 0, performance: 0, cost: 0, compliance: 0, topology: 0, [part]: 2 },
    });
    await world.apply("SchedulingProfile", "thrifty", only("cost"));
    await world.apply("SchedulingProfile", "fast", only("performance"));
    expect(await place("thrifty")).toBe("c");
    expect(await place("fast")).toBe("n");
    expect(world.assignment("fast-api-0").spec.weights?.performance).toBe(1);
    await place("typo");
    expect(world.condition("ProfileFound", "typo")?.message).toContain("typo does not exist");
    expect(world.condition("ProfileFound", "fast")).toBeUndefined();
  });

  test("two replicas with one host port never share a node", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 4, { port: 8080 })] });
    await world.settle();
    expect(Object.values(world.placement()).toSorted()).toEqual(["-", "a1", "a2", "b1"]);
  });

  test("a fleet bounds the placement to its members, and its attributes count", async () => {
    const world = await threeNodes();
    await world.apply("Fleet", "f", {
      clusters: [{ name: "site-2", attributes: { "has-gpu": "true" } }],
    });
    await world.apply("Application", "web", {
      fleet: { name: "f" },
      components: [
        deployment("api", 2, {
          rest: { placement: { clusterSelector: { matchLabels: { "has-gpu": "true" } } } },
        }),
      ],
    });
    await world.settle();
    expect(world.placement()).toEqual({ "web-api-0": "b1", "web-api-1": "b1" });
  });

  test("a missing fleet places nothing and moves nothing", async () => {
    const world = await threeNodes();
    await world.apply("Fleet", "f", { sites: [{ name: "site-1" }] });
    await world.apply("Application", "web", {
      fleet: { name: "f" },
      components: [deployment("api", 2)],
    });
    await world.settle();
    const before = world.placement();
    await world.remove("Fleet", "f", "shop");
    await world.settle();
    expect(world.placement()).toEqual(before);
    await world.apply("Application", "web", {
      fleet: { name: "f" },
      components: [deployment("api", 3)],
    });
    await world.settle();
    expect(world.assignment("web-api-2").status?.message).toContain("fleet f does not exist");
  });
});

describe("editing", () => {
  test("an edit of one component leaves the assignments of the others untouched", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", {
      components: [deployment("api", 3), deployment("ui", 2)],
    });
    await world.converge();
    const before = revisions(world, "ui");
    const digests = world.assignments("api").map((a) => a.spec.desired.specDigest);
    await world.apply("Application", "web", {
      components: [deployment("api", 3, { version: "v2" }), deployment("ui", 2)],
    });
    await world.converge();
    expect(revisions(world, "ui")).toEqual(before);
    for (const a of world.assignments("api"))
      expect(digests).not.toContain(a.spec.desired.specDigest);
  });

  test("at most a quarter of the replicas are not ready at a time, and every one is updated in the end", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 8)] });
    await world.converge();
    await world.apply("Application", "web", {
      components: [deployment("api", 8, { version: "v2" })],
    });
    const controller = world.controller();
    for (let round = 0; round < 4; round++) {
      await world.settle(controller);
      const waiting = world
        .assignments()
        .filter((a) => a.status?.reported?.specDigest !== a.spec.desired.specDigest);
      expect(waiting).toHaveLength(2);
      expect(world.application().status?.phase).toBe("Progressing");
      await world.agentsRun();
    }
    await world.settle(controller);
    expect(world.application().status?.phase).toBe("Running");
    expect(world.application().status?.components?.[0]?.updated).toBe(8);
  });

  test("a spec that never gets ready stops the update at the quarter", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 8)] });
    await world.converge();
    const [old] = world.assignments();
    await world.apply("Application", "web", {
      components: [deployment("api", 8, { version: "broken" })],
    });
    await world.settle();
    for (const a of world.assignments())
      if (a.spec.desired.specDigest !== old?.spec.desired.specDigest)
        await world.report(a.metadata.name, "Running", false);
    await world.settle();
    expect(world.assignments().filter((a) => a.status?.reported?.ready === true)).toHaveLength(6);
  });

  test("instances that serve nobody are updated all at once", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", {
      components: [deployment("api", 8, { version: "broken" })],
    });
    await world.settle();
    for (const a of world.assignments()) await world.report(a.metadata.name, "Running", false);
    await world.apply("Application", "web", {
      components: [deployment("api", 8, { version: "v2" })],
    });
    await world.controller().pass();
    expect(new Set(world.assignments().map((a) => a.metadata.generation))).toEqual(new Set([2]));
  });

  test("an instance on a node that is away is updated at once and holds nobody up", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 3)] });
    await world.converge();
    await world.life("b1", "suspect");
    await world.apply("Application", "web", {
      components: [deployment("api", 3, { version: "v2" })],
    });
    await world.converge();
    const digests = new Set(world.assignments().map((a) => a.spec.desired.specDigest));
    expect(digests.size).toBe(1);
    expect(Object.values(world.placement()).toSorted()).toEqual(["a1", "a2", "b1"]);
  });

  test("what means no restart is told at once and keeps the digest", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 3)] });
    await world.converge();
    const [digest] = world.assignments().map((a) => a.spec.desired.specDigest);
    await world.apply("Application", "web", {
      components: [deployment("api", 3, { pod: { terminationGracePeriodSeconds: 5 } })],
    });
    await world.controller().pass();
    for (const a of world.assignments())
      expect(a.spec.desired).toMatchObject({
        specDigest: digest,
        terminationGracePeriodSeconds: 5,
      });
  });

  test("a ConfigMap's value is filled in, its change is an edit, its absence holds new instances back", async () => {
    const world = await threeNodes();
    const env = [
      { name: "A", valueFrom: { configMapKeyRef: { name: "cm", key: "a" } } },
      { name: "S", valueFrom: { secretKeyRef: { name: "s", key: "k" } } },
    ];
    await world.apply("Application", "web", { components: [deployment("api", 1, { env })] });
    await world.settle();
    expect(world.assignments()).toHaveLength(0);
    expect(world.application().status?.components?.[0]?.message).toBe(
      "env A of container main: ConfigMap cm has no key a; add it, or mark the reference optional",
    );
    const configMap = (value: string) =>
      ({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "cm", namespace: "shop", uid: "uid-cm", generation: 1 },
        data: { a: value },
      }) as const;
    await world.put(configMap("one"));
    await world.converge();
    const first = world.assignment("web-api-0").spec.desired;
    expect(first.containers[0]?.env).toEqual([{ name: "A", value: "one" }, env[1]]);
    await world.put(configMap("two"));
    await world.converge();
    expect(world.assignment("web-api-0").spec.desired.specDigest).not.toBe(first.specDigest);
    await world.remove("ConfigMap", "cm", "shop");
    const revision = world.assignment("web-api-0").metadata.resourceVersion;
    await world.converge();
    expect(world.assignment("web-api-0").metadata.resourceVersion).toBe(revision);
  });

  test("more replicas are added, fewer take the unplaced, then the highest ones away", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 2)] });
    await world.converge();
    const before = revisions(world, "api");
    await world.apply("Application", "web", { components: [deployment("api", 5)] });
    await world.converge();
    expect(Object.keys(world.placement())).toHaveLength(5);
    expect(revisions(world, "api")).toMatchObject(before);
    await world.apply("Application", "web", { components: [deployment("api", 2)] });
    await world.converge();
    expect(revisions(world, "api")).toEqual(before);
    await world.apply("Application", "web", { components: [deployment("api", 0)] });
    await world.converge();
    expect(world.assignments()).toHaveLength(0);
  });

  test("a new spec that does not fit where it is moves", async () => {
    const world = await threeNodes();
    await world.node("big", "site-2", {
      capacity: { memoryBytes: 64 * 2 ** 30 },
      spec: { unschedulable: true },
    });
    await world.apply("Application", "web", { components: [deployment("api", 1)] });
    await world.converge();
    await world.specOf("big", { unschedulable: false });
    await world.apply("Application", "web", {
      components: [deployment("api", 1, { memory: "32Gi" })],
    });
    await world.converge();
    expect(world.placement()).toEqual({ "web-api-0": "big" });
    expect(world.told.find((t) => t.reason === "Moved")?.message).toContain("Resources (memory");
  });

  test("a component that is removed goes, names that cannot be are refused with a message", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", {
      components: [deployment("api", 1), deployment("ui", 1)],
    });
    await world.converge();
    await world.apply("Application", "web", {
      components: [deployment("ui", 1), deployment("Bad_Name", 1)],
    });
    await world.converge();
    expect(Object.keys(world.placement())).toEqual(["web-ui-0"]);
    expect(world.application().status?.components?.[1]?.message).toContain("is no DNS label");
    expect(world.application().status?.phase).toBe("Degraded");
  });

  test("an Assignment's name that belongs to another Application is never taken", async () => {
    const world = await threeNodes();
    await world.apply("Application", "a", { components: [deployment("b-c", 1)] });
    await world.apply("Application", "a-b", { components: [deployment("c", 1)] });
    await world.converge();
    expect(world.assignment("a-b-c-0").spec.application).toBe("a");
    expect(world.application("a-b").status?.components?.[0]?.message).toBe(
      "the name a-b-c-0 belongs to application a; rename one of them",
    );
  });
});

test("what a deleted Application left running is adopted by the next one of its name, and not restarted", async () => {
  const world = await threeNodes();
  await world.apply("Application", "web", { components: [deployment("api", 2)] });
  await world.converge();
  const { desired, node } = world.assignment("web-api-0").spec;
  await world.remove("Application", "web", "shop");
  for (const a of world.assignments()) {
    const { ownerReferences: _, ...metadata } = a.metadata;
    await world.put({ ...a, metadata });
  }
  await world.apply("Application", "web", { components: [deployment("api", 2)] });
  await world.converge();
  expect(world.assignments()).toHaveLength(2);
  const adopted = world.assignment("web-api-0");
  expect(adopted.spec).toMatchObject({
    desired,
    node,
    applicationUid: world.application().metadata.uid,
  });
  expect(adopted.metadata.ownerReferences?.[0]?.uid).toBe(world.application().metadata.uid);
});

describe("moving", () => {
  test("a placed instance stays whatever better node comes", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 3)] });
    await world.converge();
    const before = revisions(world, "api");
    await world.node("huge", "site-2", { capacity: { memoryBytes: 2 ** 40, milliCpu: 64_000 } });
    await world.specOf("a1", { unschedulable: true });
    await world.life("a2", "suspect");
    await world.settle();
    expect(revisions(world, "api")).toEqual(before);
  });

  test("what was on a lost node moves, and says from where and why", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 3)] });
    await world.converge();
    const [moved] = Object.entries(world.placement()).find(([, n]) => n === "b1") ?? [""];
    await world.life("b1", "lost");
    await world.converge();
    expect(Object.values(world.placement())).not.toContain("b1");
    expect(world.told.filter((t) => t.reason === "Moved")).toEqual([
      {
        about: `Assignment/${moved}`,
        type: "Normal",
        reason: "Moved",
        message: expect.stringMatching(/^from b1 to a[12] .*: node b1 is lost$/) as string,
      },
    ]);
    expect(world.application().status?.phase).toBe("Running");
  });

  test("a late word of the node that it was moved from counts for nothing", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [job("train", {})] });
    await world.settle();
    const from = world.assignment("web-train-0").spec.node ?? "";
    await world.life(from, "lost");
    await world.settle();
    const moved = world.assignment("web-train-0");
    const { id, specDigest } = moved.spec.desired;
    const reported = { id, specDigest, phase: "Succeeded", ready: false, restartCount: 0 } as const;
    await world.put({ ...moved, status: { ...moved.status, reported, reportedBy: from } });
    await world.settle();
    expect(world.application().status?.components?.[0]?.succeeded).toBe(0);
    await world.report("web-train-0", "Succeeded");
    await world.settle();
    expect(world.application().status?.phase).toBe("Completed");
  });

  test("what fits nowhere else stays on its lost node, and is undisturbed when the node returns", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", {
      components: [
        deployment("api", 1, { rest: { placement: { siteAffinity: { siteNames: ["site-2"] } } } }),
      ],
    });
    await world.converge();
    const spec = world.assignment("web-api-0").spec;
    await world.life("b1", "lost");
    await world.settle();
    expect(world.assignment("web-api-0").spec).toEqual(spec);
    expect(world.assignment("web-api-0").status?.message).toContain("it stays there");
    expect(world.application().status?.phase).toBe("Degraded");
    await world.life("b1", "ready");
    await world.settle();
    expect(world.assignment("web-api-0").spec).toEqual(spec);
    expect(world.assignment("web-api-0").status?.message).toBeUndefined();
    expect(world.application().status?.phase).toBe("Running");
  });

  test("a deleted or revoked node, and a NoExecute taint, take everything away at once", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 6)] });
    await world.converge();
    await world.remove("EdgeNode", "a1");
    await world.specOf("a2", { revoked: true });
    await world.settle();
    expect(new Set(Object.values(world.placement()))).toEqual(new Set(["b1"]));
    await world.specOf("b1", { taints: [{ key: "fire", effect: "NoExecute" }] });
    await world.settle();
    expect(new Set(Object.values(world.placement()))).toEqual(new Set(["-"]));
  });

  test("a drain empties the node step by step, keeps the service up, and says when it is done", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", {
      components: [deployment("api", 4, { pod: { nodeSelector: { pool: "x" } } })],
    });
    const labelled = async (name: string) => {
      const node = world.store.get("EdgeNode", "", name);
      if (node !== undefined)
        await world.put({ ...node, metadata: { ...node.metadata, labels: { pool: "x" } } });
    };
    await labelled("a1");
    await world.converge();
    expect(new Set(Object.values(world.placement()))).toEqual(new Set(["a1"]));
    await labelled("b1");
    await world.specOf("a1", { drain: true });
    const drained = () =>
      world.store.get("EdgeNode", "", "a1")?.status?.conditions?.find((c) => c.type === "Drained");
    for (let left = 3; left >= 0; left--) {
      await world.settle();
      expect(Object.values(world.placement()).filter((n) => n === "a1")).toHaveLength(left);
      expect(drained()?.status).toBe(left === 0 ? "True" : "False");
      await world.agentsRun();
    }
    expect(world.told.filter((t) => t.reason === "Drained")).toHaveLength(1);
    await world.specOf("a1", { drain: false });
    await world.settle();
    expect(drained()).toMatchObject({ status: "False", reason: "NotDrained" });
  });

  test("a drain empties the node also when nothing else fits", async () => {
    const world = new World();
    await world.node("only");
    await world.apply("Application", "web", { components: [deployment("api", 4)] });
    await world.converge();
    await world.specOf("only", { drain: true });
    await world.settle();
    expect(new Set(Object.values(world.placement()))).toEqual(new Set(["-"]));
  });

  test("a placement that no longer allows the node moves the instances in steps", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 4)] });
    await world.converge();
    await world.apply("Application", "web", {
      components: [
        deployment("api", 4, { rest: { placement: { siteAffinity: { siteNames: ["site-2"] } } } }),
      ],
    });
    await world.converge();
    expect(new Set(Object.values(world.placement()))).toEqual(new Set(["b1"]));
  });

  test("a Site object that is deleted by mistake moves nothing", async () => {
    const world = await threeNodes();
    await world.apply("Site", "site-2", {}, { labels: { zone: "z" } });
    await world.apply("Application", "web", {
      components: [
        deployment("api", 1, {
          rest: { placement: { siteSelector: { matchLabels: { zone: "z" } } } },
        }),
      ],
    });
    await world.converge();
    await world.remove("Site", "site-2");
    await world.settle();
    expect(world.placement()).toEqual({ "web-api-0": "b1" });
  });
});

describe("Jobs", () => {
  test("at most `parallelism` unfinished indexes exist; a succeeded one is kept and not run again", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", {
      components: [job("train", { completions: 5, parallelism: 2 })],
    });
    await world.settle();
    expect(Object.keys(world.placement())).toEqual(["web-train-0", "web-train-1"]);
    expect(world.assignment("web-train-0").spec.desired).toMatchObject({
      kind: "Job",
      restartPolicy: "OnFailure",
      backoffLimit: 6,
    });
    const revision = async (): Promise<string | undefined> => {
      await world.report("web-train-0", "Succeeded");
      return world.assignment("web-train-0").metadata.resourceVersion;
    };
    const before = await revision();
    await world.settle();
    expect(Object.keys(world.placement())).toEqual(["web-train-0", "web-train-1", "web-train-2"]);
    await world.life(world.assignment("web-train-0").spec.node ?? "", "lost");
    await world.apply("Application", "web", {
      components: [job("train", { completions: 5, parallelism: 2 }, "v2")],
    });
    await world.settle();
    expect(world.assignment("web-train-0").metadata.resourceVersion).toBe(before);
    for (const node of ["a1", "a2", "b1"]) await world.life(node, "ready");
    for (let i = 0; i < 5; i++) {
      await world.agentsRun("Succeeded");
      await world.settle();
    }
    expect(world.application().status).toMatchObject({
      phase: "Completed",
      components: [{ desired: 5, succeeded: 5, failed: 0 }],
    });
    expect(world.condition("Complete")).toMatchObject({ status: "True", reason: "JobsSucceeded" });
  });

  test("an index that failed for good stops the Job until its spec is edited", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [job("train", { completions: 3 })] });
    await world.settle();
    await world.report("web-train-0", "Failed");
    await world.settle();
    expect(Object.keys(world.placement())).toEqual(["web-train-0"]);
    expect(world.application().status?.phase).toBe("Degraded");
    expect(world.condition("Ready")).toMatchObject({ status: "False", reason: "JobFailed" });
    await world.apply("Application", "web", {
      components: [job("train", { completions: 3 }, "v2")],
    });
    for (let i = 0; i < 4; i++) {
      await world.settle();
      await world.agentsRun("Succeeded");
    }
    await world.settle();
    expect(world.application().status?.phase).toBe("Completed");
  });

  test("a finished instance gives its room back", async () => {
    const world = new World();
    await world.node("only", "site-1", { capacity: { milliCpu: 150 } });
    await world.apply("Application", "web", {
      components: [job("train", { completions: 2, parallelism: 2 })],
    });
    await world.settle();
    expect(world.placement()).toEqual({ "web-train-0": "only", "web-train-1": "-" });
    await world.report("web-train-0", "Succeeded");
    await world.settle();
    expect(world.placement()).toEqual({ "web-train-0": "only", "web-train-1": "only" });
  });
});

describe("order", () => {
  test("a component waits for those that it depends on", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", {
      components: [
        deployment("api", 1, { rest: { dependsOn: ["migrate", "db"] } }),
        deployment("db", 1),
        job("migrate", {}),
      ],
    });
    await world.settle();
    expect(Object.keys(world.placement())).toEqual(["web-db-0", "web-migrate-0"]);
    expect(world.application().status?.components?.[0]?.message).toBe(
      "waits for component migrate",
    );
    await world.report("web-migrate-0", "Succeeded");
    await world.report("web-db-0", "Running");
    await world.settle();
    expect(Object.keys(world.placement())).toContain("web-api-0");
    await world.report("web-db-0", "Running", false);
    await world.settle();
    expect(Object.keys(world.placement())).toContain("web-api-0");
  });

  test("a circle of dependencies is said, not waited for", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", {
      components: [
        deployment("a", 1, { rest: { dependsOn: ["b"] } }),
        deployment("b", 1, { rest: { dependsOn: ["a"] } }),
      ],
    });
    await world.settle();
    expect(world.application().status?.components?.map((c) => c.message)).toEqual([
      "dependsOn leads back to a",
      "dependsOn leads back to b",
    ]);
  });
});

describe("failure", () => {
  test("a conflict is decided anew from what stands there now", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 3)] });
    let hits = 0;
    world.store.beforeCommit = async () => {
      if (hits++ > 0) return;
      await world.apply("Application", "web", { components: [deployment("api", 1)] });
    };
    await world.controller().pass();
    expect(Object.keys(world.placement())).toEqual(["web-api-0"]);
    expect(world.metrics.total("flotilla_hub_pass_conflicts_total")).toBe(1);
  });

  test("a report that comes in between is read again, and the edit is carried out in the same pass", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 1)] });
    await world.settle();
    await world.apply("Application", "web", {
      components: [deployment("api", 1, { version: "v2" })],
    });
    let hits = 0;
    world.store.beforeCommit = async () => {
      if (hits++ === 0) await world.report("web-api-0", "Running");
    };
    await world.controller().pass();
    expect(world.assignment("web-api-0").metadata.generation).toBe(2);
    expect(world.metrics.total("flotilla_hub_pass_conflicts_total")).toBe(1);
  });

  test("after a crash in any commit of a pass a new controller places the rest and moves nothing", async () => {
    const scene = async (world: World): Promise<void> => {
      for (const name of ["a1", "a2", "b1"]) await world.node(name);
      for (const name of ["one", "two", "web"])
        await world.apply("Application", name, {
          components: [
            deployment("api", 4, { memory: "1Gi" }),
            job("train", { completions: 3, parallelism: 2 }),
          ],
        });
    };
    const undisturbed = new World();
    await scene(undisturbed);
    await undisturbed.converge();
    for (let crashAt = 0; crashAt < 12; crashAt++) {
      const disk = emptyDisk();
      const world = new World(new MemoryStore(disk));
      await scene(world);
      let commits = 0;
      world.store.beforeCommit = () => {
        if (commits++ === crashAt) throw new Error("killed");
      };
      await world.converge(world.controller()).catch(() => {});
      const again = new World(new MemoryStore(disk), 2);
      const committed = again.placement();
      await again.converge();
      expect(Object.keys(again.placement())).toEqual(Object.keys(undisturbed.placement()));
      expect(again.placement()).toMatchObject(committed);
      expect(Object.values(again.placement())).not.toContain("-");
      expectRoom(again);
    }
  });

  test("an Application that cannot be carried out is told so and holds up no other", async () => {
    const world = new World(testStore());
    await world.node("a1");
    const env = ["one", "two"].map((name) => ({
      name,
      valueFrom: { configMapKeyRef: { name, key: "text" } },
    }));
    for (const { name } of env)
      await world.put({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name, namespace: "shop", uid: `uid-${name}`, generation: 1 },
        data: { text: "x".repeat(900_000) },
      });
    await world.apply("Application", "a-large", { components: [deployment("api", 1, { env })] });
    await world.apply("Application", "b-small", { components: [deployment("api", 1)] });
    await world.controller().pass();
    expect(world.placement()).toEqual({ "b-small-api-0": "a1" });
    expect(world.told.find((t) => t.about === "Application/a-large")).toMatchObject({
      type: "Warning",
      reason: "ReconcileFailed",
      message: expect.stringContaining("the most is"),
    });
  });

  test("a store that fails ends the pass, to be tried again after a while", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 1)] });
    world.store.failures.push(new Error("the disk is full"));
    await expect(world.controller().pass()).rejects.toThrow("the disk is full");
  });

  test("what is new is committed in several steps, so that none is too large", async () => {
    const world = await threeNodes();
    await world.apply("Application", "web", { components: [deployment("api", 10)] });
    await world.controller({ changesMax: 4 }).pass();
    expect(world.assignments()).toHaveLength(10);
    const sizes = world.store.commits.map((c) => c.changes.filter(isAssignmentChange).length);
    expect(sizes.filter((size) => size > 0)).toEqual([4, 4, 2]);
  });

  test("as a service it follows the store, and stops when it is told to", async () => {
    const world = await threeNodes();
    const stop = new AbortController();
    const running = world.controller().run(stop.signal);
    await world.clock.advance(100);
    await world.apply("Application", "web", { components: [deployment("api", 2)] });
    await world.clock.advance(100);
    expect(Object.keys(world.placement())).toHaveLength(2);
    stop.abort();
    await running;
  });
});

describe("the article's platform", () => {
  interface Manifest {
    readonly metadata: { readonly name: string; readonly namespace: string };
    readonly spec: ObjectOf<"Fleet">["spec"] & ObjectOf<"Application">["spec"];
  }
  const manifest = (name: string): Manifest =>
    parse(readFileSync(join(import.meta.dirname, "data/article", name), "utf8")) as Manifest;

  /** The three clusters of the article as sites, with nodes of their kind. */
  async function platform(runtimes: string[]): Promise<World> {
    const world = new World();
    const fleet = manifest("03-fleet-ai-platform.yaml");
    await world.apply("Fleet", fleet.metadata.name, fleet.spec, fleet.metadata);
    for (const { name, attributes = {} } of fleet.spec.clusters ?? [])
      await world.apply("Site", name, { attributes });
    for (const i of [1, 2])
      await world.node(`gpu-${i}`, "gpu-cluster-huawei", { runtimes, capacity: { gpuCount: 4 } });
    for (const i of [1, 2, 3])
      await world.node(`inf-${i}`, "inference-cluster-aliyun", {
        runtimes,
        capacity: { memoryBytes: 16 * 2 ** 30 },
      });
    await world.node("data-1", "data-cluster-onprem", { runtimes });
    const app = manifest("04-application-intelligent-ai-platform.yaml");
    await world.apply("Application", app.metadata.name, app.spec, app.metadata);
    return world;
  }

  test("training goes where the GPUs are, inference where latency is low, spread evenly", async () => {
    const world = await platform(["process", "container"]);
    await world.converge();
    const byNode = (component: string): Record<string, number> =>
      Object.fromEntries(
        [...Map.groupBy(world.assignments(component), (a) => a.spec.node ?? "-")].map(
          ([node, list]) => [node, list.length],
        ),
      );
    expect(byNode("model-training")).toEqual({ "gpu-1": 2, "gpu-2": 2 });
    expect(byNode("model-inference")).toEqual({ "inf-1": 2, "inf-2": 2, "inf-3": 2 });
    const status = world.application("intelligent-ai-platform").status;
    expect(status?.phase).toBe("Running");
    expect(status?.conditions?.find((c) => c.type === "Queued")).toMatchObject({
      status: "False",
      reason: "Placed",
    });
  });

  test("on nodes without a container runtime everything waits, and says so", async () => {
    const world = await platform(["process"]);
    await world.converge();
    expect(new Set(Object.values(world.placement()))).toEqual(new Set(["-"]));
    expect(world.assignments("model-training")[0]?.status?.message).toContain(
      "2 Runtime (a container without command needs a container runtime; the node has process)",
    );
  });
});

test("on the real store a hub that is opened again finds all as it was and writes nothing", async () => {
  const dataDir = temporaryDir();
  const first = new World(testStore({ dataDir }));
  await first.node("n1");
  await first.node("n2");
  await first.apply("Application", "web", { components: [deployment("api", 4), job("train", {})] });
  await first.converge();
  expect(first.application().status?.phase).toBe("Running");
  first.store.close();
  const again = new World(testStore({ dataDir }), 2);
  const revision = again.store.revision;
  await again.settle();
  expect(again.placement()).toEqual(first.placement());
  expect(again.store.revision).toBe(revision);
});

type Edit = (world: World) => Promise<void>;

const NODES = ["n0", "n1", "n2", "n3", "n4"];
const nodeName = fc.constantFrom(...NODES);
const edits: fc.Arbitrary<Edit> = fc.oneof(
  fc
    .record({
      app: fc.constantFrom("one", "two"),
      replicas: fc.nat(6),
      version: fc.constantFrom("v1", "v2"),
      memory: fc.constantFrom("64Mi", "1Gi", "3Gi"),
      site: fc.constantFrom(undefined, "site-1", "site-2"),
      completions: fc.nat(4),
      parallelism: fc.nat(3),
    })
    .map(
      (e): Edit =>
        (world) =>
          world.apply("Application", e.app, {
            components: [
              deployment("api", e.replicas, {
                version: e.version,
                memory: e.memory,
                port: 8080,
                ...(e.site === undefined
                  ? {}
                  : { rest: { placement: { siteAffinity: { siteNames: [e.site] } } } }),
              }),
              job("train", e, e.version),
            ],
          }),
    ),
  fc.tuple(nodeName, fc.constantFrom("ready", "suspect", "lost")).map(
    ([name, life]): Edit =>
      (world) =>
        world.life(name, life as "ready" | "suspect" | "lost"),
  ),
  fc
    .record({
      name: nodeName,
      drain: fc.boolean(),
      unschedulable: fc.boolean(),
      tainted: fc.boolean(),
    })
    .map(
      ({ name, drain, unschedulable, tainted }): Edit =>
        (world) =>
          world.specOf(name, {
            drain,
            unschedulable,
            taints: tainted ? [{ key: "k", effect: "NoExecute" }] : [],
          }),
    ),
  nodeName.map(
    (name): Edit =>
      (world) =>
        world.remove("EdgeNode", name),
  ),
  fc.tuple(nodeName, fc.constantFrom("site-1", "site-2")).map(
    ([name, site]): Edit =>
      (world) =>
        world.node(name, site),
  ),
  fc.constantFrom("Succeeded" as const, "Failed" as const, "Running" as const).map(
    (phase): Edit =>
      (world) =>
        world.agentsRun(phase),
  ),
  fc.constant<Edit>((world) => world.controller().pass()),
  fc.constant<Edit>(async (world) => {
    world.store.failures.push(new Error("killed"));
    await world
      .controller()
      .pass()
      .catch(() => {});
    world.store.failures.length = 0;
  }),
);

test("a thousand random edits, crashes among them, always converge, and never over-commit a node", async () => {
  let editCount = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(edits, { minLength: 20, maxLength: 40 }), async (list) => {
      editCount += list.length;
      const world = new World();
      for (const [i, name] of NODES.entries()) await world.node(name, `site-${(i % 2) + 1}`);
      for (const edit of list) {
        await edit(world);
        expectNoOvercommit(world);
      }
      await world.converge();
      expectNoOvercommit(world);
      expectAsAsked(world);
    }),
    { seed: 42, numRuns: 40 },
  );
  expect(editCount).toBeGreaterThan(1000);
});

function isAssignmentChange(change: { readonly key: { readonly kind: string } }): boolean {
  return change.key.kind === "Assignment";
}

function expectRoom(world: World): ReturnType<typeof nodeFacts>[] {
  return world.store.list("EdgeNode").map((object) => {
    const here = world.assignments().filter((a) => a.spec.node === object.metadata.name);
    const node = reserveAll(nodeFacts(object, undefined, new Map()), here.map(usedBy));
    for (const left of Object.values(free(node))) expect(left).toBeGreaterThanOrEqual(0);
    return node;
  });
}

function expectNoOvercommit(world: World): void {
  for (const node of expectRoom(world)) {
    const onNode = world.assignments("api").filter((a) => a.spec.node === node.name);
    expect(onNode.length).toBe(node.ports.size === 0 ? 0 : 1);
  }
}

/** After convergence: the right number of instances, all with the spec asked for where a node can be reached. */
function expectAsAsked(world: World): void {
  for (const application of world.store.list("Application")) {
    const own = world.assignments().filter((a) => a.spec.application === application.metadata.name);
    const [api, train] = application.spec.components;
    const replicas = api?.type === "Deployment" ? (api.template.spec.replicas ?? 1) : 0;
    const instances = own.filter((a) => a.spec.component === "api");
    expect(instances).toHaveLength(replicas);
    expect(new Set(instances.map((a) => a.spec.desired.specDigest)).size).toBeLessThanOrEqual(1);
    const { completions = 1, parallelism = 1 } = train?.type === "Job" ? train.template.spec : {};
    const tasks = own.filter((a) => a.spec.component === "train");
    const open = tasks.filter(
      (a) => !["Succeeded", "Failed"].includes(a.status?.reported?.phase ?? ""),
    );
    expect(open.length).toBeLessThanOrEqual(parallelism);
    for (const a of tasks) expect(a.spec.index).toBeLessThan(completions);
    expect(application.status?.observedGeneration).toBe(application.metadata.generation);
  }
}
