import { expect, test } from "vitest";
import { Scheduler } from "../src/app/scheduling/scheduler.ts";
import { WhatIf } from "../src/app/scheduling/what-if.ts";
import { expectRoom, priorityClass, serves } from "./support/queue-scene.ts";
import { deployment, World } from "./support/world.ts";

async function scene() {
  const world = new World();
  await world.apply("Site", "site-1", {});
  await world.node("a1");
  await world.node("a2");
  await world.apply("Application", "web", { components: [deployment("api", 2)] });
  const scheduler = new Scheduler({ store: world.store });
  const controller = world.controller({ scheduler });
  await world.converge(controller);
  return { world, controller, whatIf: new WhatIf({ ...world.deps, scheduler }) };
}

test("a placed instance is explained by the decision that was stored, and by the one of now", async () => {
  const { world, whatIf } = await scene();
  const explanation = whatIf.explain("shop", "web-api-0");
  const { spec } = world.assignment("web-api-0");
  expect(explanation).toMatchObject({ instance: "web-api-0", node: spec.node, component: "api" });
  expect(explanation.decided?.score).toBe(spec.score);
  expect(explanation.now).toMatchObject({ node: spec.node, fittingCount: 2, rejectedCount: 0 });
});

test("one that waits is told what is in its way now, by filter, and what would help", async () => {
  const { world, whatIf } = await scene();
  await world.node("b1", "site-1", { life: "lost" });
  await world.apply("Application", "big", {
    components: [deployment("api", 1, { memory: "12Gi" })],
  });
  await world.settle();
  const { node, now } = whatIf.explain("shop", "big-api-0");
  expect(node).toBeUndefined();
  expect(now.rejections).toMatchObject([
    { filter: "Resources", count: 2, node: "a1", reason: expect.stringContaining("12Gi") },
    { filter: "NodeReady", count: 1, node: "b1" },
  ]);
  expect(now.wouldFit).toContain("memory");
});

test("a plan shows what would be placed, updated, removed and what would wait, and changes nothing", async () => {
  const { world, whatIf } = await scene();
  const { revision } = world.store;
  const application = world.application();
  const planned = whatIf.plan({
    ...application,
    spec: {
      components: [
        deployment("api", 1, { version: "v2" }),
        deployment("huge", 1, { memory: "1Ti" }),
        deployment("new", 1),
      ],
    },
  });
  const actions = Object.fromEntries(planned.instances.map((i) => [i.name, i.action]));
  expect(actions).toEqual({
    "web-api-0": "update",
    "web-api-1": "remove",
    "web-huge-0": "wait",
    "web-new-0": "place",
  });
  expect(planned.instances.find((i) => i.name === "web-huge-0")?.message).toContain("1Ti");
  expect(world.store.revision).toBe(revision);
  expect(whatIf.plan(application).instances.map((i) => i.action)).toEqual(["keep", "keep"]);
});

test("what a plan gave away is free again", async () => {
  const { world, whatIf } = await scene();
  const other = {
    ...world.application(),
    spec: { components: [deployment("api", 2, { cpu: "3" })] },
  };
  const metadata = { ...other.metadata, name: "other", uid: "other" };
  for (let i = 0; i < 3; i++) {
    const { instances } = whatIf.plan({ ...other, metadata });
    expect(instances.map((p) => p.action)).toEqual(["place", "place"]);
  }
});

test("a plan names whom it would evict, and leaves them where they are, however often it is asked", async () => {
  const { world, controller, whatIf } = await scene();
  await priorityClass(world, "high", 100);
  await world.apply("Application", "low", { components: [serves("api", 2, "3")] });
  await world.converge(controller);
  const { revision } = world.store;
  const volcano = { priorityClassName: "high", queue: "default" };
  const application = {
    ...world.application(),
    metadata: { ...world.application().metadata, name: "high", uid: "high" },
    spec: { components: [serves("api", 1, "3", { volcano })] },
  };
  for (let i = 0; i < 3; i++) {
    const { instances, evictions } = whatIf.plan(application);
    expect(instances).toMatchObject([{ name: "high-api-0", action: "place" }]);
    expect(evictions).toEqual([
      {
        instance: expect.stringMatching(/^shop\/low-api-\d$/),
        reason: "evicted for shop/high/api of priority 100, its own is 0",
      },
    ]);
  }
  expect(world.store.revision).toBe(revision);
  const patient = serves("api", 1, "3", { volcano, scheduling: { preemption: "Never" } });
  const { instances, evictions } = whatIf.plan({ ...application, spec: { components: [patient] } });
  expect([instances[0]?.action, evictions]).toEqual(["wait", []]);
  await world.converge(controller);
  expect(world.store.revision).toBe(revision);
  expectRoom(world);
});

test("what does not exist is not explained", async () => {
  const { whatIf } = await scene();
  expect(() => whatIf.explain("shop", "nothing-0")).toThrow("not found");
});
