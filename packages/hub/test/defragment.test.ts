import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { PLAN_PHASE_MS_MAX } from "@flotilla/shared/scheduling/defragment/execution";
import { free, reserveAll } from "@flotilla/shared/scheduling/facts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ApplicationController } from "../src/app/application/application-controller.ts";
import { MOVE_PLAN_COOLDOWN_MS, MOVE_PLAN_RETRY_MS } from "../src/app/defragment/defragmenter.ts";
import type { ResourceStore } from "../src/app/resources/ports.ts";
import { ResourceService } from "../src/app/resources/resource-service.ts";
import { isMovePlanOver } from "../src/domain/defragment/move-plan.ts";
import { columnsOf } from "../src/domain/resources/columns/columns.ts";
import { nodeFacts, usedBy } from "../src/domain/scheduling/snapshot.ts";
import { emptyDisk, MemoryStore } from "./support/memory-store.ts";
import { refusal, STRICT } from "./support/resources.ts";
import { testStore } from "./support/store.ts";
import { deployment, job, World } from "./support/world.ts";

type Component = ObjectOf<"Application">["spec"]["components"][number];
type Scheduling = NonNullable<Component["scheduling"]>;

/** A deployment with a `scheduling` section. */
function instances(name: string, count: number, cpu: string, scheduling: Scheduling = {}) {
  return { ...deployment(name, count, { cpu }), scheduling };
}

/**
 * Node `a` has 3.8 cores, of which 1.5 are taken; `c` comes later and has 1.8. A request for 3 cores has room only when what is
 * on `a` goes to `c`.
 */
async function blocked(
  world: World<ResourceStore>,
  small: Component = instances("api", 1, "1500m"),
) {
  await world.node("a");
  await world.apply("Application", "web", { components: [small] });
  await world.converge();
  await world.node("c", "site-1", { capacity: { milliCpu: 2000 } });
  await world.apply("Application", "big", { components: [instances("batch", 1, "3")] });
}

/** Three instances are on `a`; a request has room there when two of them go to `c1` and `c2`. */
async function twoMoves(world: World) {
  await world.node("a");
  for (const name of ["w1", "w2", "w3"])
    await world.apply("Application", name, { components: [instances("api", 1, "1200m")] });
  await world.converge();
  for (const name of ["c1", "c2"])
    await world.node(name, "site-1", { capacity: { milliCpu: 1400 } });
  await world.apply("Application", "big", { components: [instances("batch", 1, "2500m")] });
}

const plans = ({ store }: { readonly store: ResourceStore }): readonly ObjectOf<"MovePlan">[] =>
  store.list("MovePlan");
const phases = (world: World) => plans(world).map((p) => p.status?.phase);
const reasons = (world: World, about: string) =>
  world.told.filter((t) => t.about === `Assignment/${about}`).map((t) => t.reason);

/** Passes until the plan's first instance is on its way. */
async function sent(world: World): Promise<ApplicationController> {
  const controller = world.controller();
  await world.settle(controller);
  expect(phases(world)).toEqual(["moving"]);
  expect(world.placement()).toEqual({ "web-api-0": "c", "big-batch-0": "-" });
  return controller;
}

function expectRoom(world: World): void {
  for (const object of world.store.list("EdgeNode")) {
    const here = world.assignments().filter((a) => a.spec.node === object.metadata.name);
    const node = reserveAll(nodeFacts(object, undefined, new Map()), here.map(usedBy));
    for (const left of Object.values(free(node))) expect(left).toBeGreaterThanOrEqual(0);
  }
}

describe("a request that is blocked by fragments", () => {
  test("is placed after the fewest moves, and everybody is told", async () => {
    const world = new World();
    await blocked(world);
    const controller = await sent(world);
    const waiting = world.assignment("big-batch-0").status;
    expect(waiting?.reason).toBe("MakingRoom");
    expect(waiting?.message).toContain("room is being made for it on a: 0 of 1 moves made");
    await world.converge(controller);
    expect(world.placement()).toEqual({ "web-api-0": "c", "big-batch-0": "a" });
    expect(phases(world)).toEqual(["done"]);
    expect(reasons(world, "web-api-0").at(-1)).toBe("Moved");
    expect(world.told.find((t) => t.reason === "Moved")?.message).toContain(
      "to make room for shop/big/batch (move plan big-batch-0-",
    );
    expect(reasons(world, "big-batch-0")).toEqual([
      "FailedScheduling",
      "MakingRoom",
      "FailedScheduling",
      "Scheduled",
      "RoomMade",
    ]);
    expect(world.metrics.total("flotilla_hub_moves_total")).toBe(2);
    expect(world.metrics.total("flotilla_hub_move_plans_total")).toBe(1);
    expect(world.assignment("big-batch-0").status?.message).toBeUndefined();
  });

  test("waits for what a deleted Application left: another one of its name does not let it be moved", async () => {
    const world = new World();
    await blocked(world);
    await world.remove("Application", "web", "shop");
    await world.apply("Application", "web", { components: [instances("api", 1, "1500m")] });
    await world.converge();
    expect(plans(world)).toEqual([]);
    expect(world.placement()).toEqual({ "web-api-0": "a", "big-batch-0": "-" });
  });

  test("several moves are made one at a time, each when the one before serves again", async () => {
    const world = new World();
    await twoMoves(world);
    const controller = world.controller();
    await world.settle(controller);
    const movedCount = (): number =>
      world.assignments("api").filter((a) => a.spec.node !== "a").length;
    expect(plans(world)[0]?.spec.moves).toHaveLength(2);
    expect(movedCount()).toBe(1);
    await world.agentsRun();
    await world.settle(controller);
    expect(movedCount()).toBe(2);
    expect(phases(world)).toEqual(["moving"]);
    await world.converge(controller);
    expect(world.assignment("big-batch-0").spec.node).toBe("a");
    expect(movedCount()).toBe(2);
  });

  test("nobody else gets the room that is made, or the room to go back to", async () => {
    const world = new World();
    await blocked(world);
    const controller = await sent(world);
    await world.apply("Application", "thief", { components: [instances("api", 1, "1")] });
    await world.settle(controller);
    expect(world.assignment("thief-api-0").spec.node).toBeUndefined();
    await world.converge(controller);
    expect(world.placement()).toMatchObject({ "big-batch-0": "a", "thief-api-0": "-" });
    expectRoom(world);
  });

  test("a gang gets room for all its members or is left to wait", async () => {
    const world = new World();
    await world.node("a");
    await world.node("b");
    await world.apply("Application", "web", { components: [instances("api", 2, "1500m")] });
    await world.converge();
    expect(Object.values(world.placement()).toSorted()).toEqual(["a", "b"]);
    await world.node("c", "site-1", { capacity: { milliCpu: 2000 } });
    await world.node("d", "site-1", { capacity: { milliCpu: 2000 } });
    const gang = (minMember: number) => ({
      ...instances("batch", 2, "3"),
      volcano: { minMember },
    });
    await world.apply("Application", "big", { components: [gang(2)] });
    const controller = world.controller();
    await world.converge(controller);
    // The quarter of a rolling update: one of two instances at a time.
    expect(plans(world)).toEqual([]);
    await world.apply("Application", "web", {
      components: [instances("api", 2, "1500m", { disruptionBudget: { maxUnavailable: 2 } })],
    });
    await world.clock.advance(MOVE_PLAN_RETRY_MS);
    await world.converge(controller);
    expect(phases(world)).toEqual(["done"]);
    expect(world.placement()).toMatchObject({ "big-batch-0": "a", "big-batch-1": "b" });
    expectRoom(world);
  });

  test("a plan that is over is kept to be read; its end frees the scheduler for the next", async () => {
    const world = new World();
    await blocked(world);
    await world.converge();
    await world.remove("Application", "big", "shop");
    await world.remove("Assignment", "big-batch-0", "shop");
    await world.converge();
    expect(phases(world)).toEqual(["done"]);
    await world.apply("Application", "small", { components: [instances("api", 1, "3")] });
    await world.converge();
    expect(world.assignment("small-api-0").spec.node).toBe("a");
  });
});

describe("what is not moved", () => {
  const cases: readonly (readonly [string, Component])[] = [
    ["movable: false", instances("api", 1, "1500m", { movable: false })],
    ["no budget", instances("api", 1, "1500m", { disruptionBudget: { maxUnavailable: 0 } })],
    ["nodeName", { ...deployment("api", 1, { cpu: "1500m", pod: { nodeName: "a" } }) }],
    ["a Job", withCpu(job("api", { completions: 1 }), "1500m")],
    ["a gang", { ...instances("api", 2, "700m"), volcano: { minMember: 2 } }],
  ];
  test.each(cases)("%s", async (_what, component) => {
    const world = new World();
    await blocked(world, component);
    await world.converge();
    expect(plans(world)).toEqual([]);
    expect(world.assignment("web-api-0").spec.node).toBe("a");
    expect(world.assignment("big-batch-0").status?.reason).toBe("NoRoom");
  });

  test("a Job that says that it may be moved is", async () => {
    const world = new World();
    const component = { ...withCpu(job("api", { completions: 1 }), "1500m") };
    await blocked(world, { ...component, scheduling: { movable: true } });
    await world.converge();
    expect(world.placement()).toEqual({ "web-api-0": "c", "big-batch-0": "a" });
  });

  test("moves that cost more than the request is worth are not made", async () => {
    const world = new World();
    await world.node("a", "site-1", { capacity: { milliCpu: 800 } });
    await world.apply("Application", "web", { components: [instances("api", 1, "300m")] });
    await world.converge();
    await world.node("c", "site-1", { capacity: { milliCpu: 600 } });
    await world.apply("Application", "big", { components: [instances("batch", 1, "400m")] });
    await world.converge();
    expect(plans(world)).toEqual([]);
  });

  test("moves are looked for again only when the fleet has changed, and not too often", async () => {
    const world = new World();
    await blocked(world, instances("api", 1, "1500m", { movable: false }));
    const controller = world.controller();
    await world.converge(controller);
    await world.apply("Application", "web", { components: [instances("api", 1, "1500m")] });
    await world.converge(controller);
    expect(plans(world)).toEqual([]);
    await world.clock.advance(MOVE_PLAN_RETRY_MS);
    await world.converge(controller);
    expect(phases(world)).toEqual(["done"]);
  });
});

describe("a plan that breaks", () => {
  test("by the loss of the node that an instance goes to: it goes back", async () => {
    const world = new World();
    await blocked(world);
    const controller = await sent(world);
    await world.life("c", "lost");
    await world.converge(controller);
    expect(world.placement()).toEqual({ "web-api-0": "a", "big-batch-0": "-" });
    expect(plans(world)[0]?.status).toMatchObject({
      phase: "undone",
      brokenBy: "node-lost",
      moves: [{ state: "returned" }],
    });
    expect(reasons(world, "big-batch-0")).toContain("NoRoomMade");
    expect(world.assignment("big-batch-0").status?.reason).toBe("NoRoom");
  });

  test("by an instance that does not serve in time: it goes back, and is left alone for a while", async () => {
    const world = new World();
    await blocked(world);
    const controller = await sent(world);
    await world.clock.advance(PLAN_PHASE_MS_MAX + 1);
    await world.settle(controller);
    expect(world.placement()).toEqual({ "web-api-0": "a", "big-batch-0": "-" });
    await world.converge(controller);
    expect(plans(world)[0]?.status).toMatchObject({ phase: "undone", brokenBy: "timeout" });
    await world.clock.advance(MOVE_PLAN_RETRY_MS);
    await world.converge(controller);
    expect(plans(world)).toHaveLength(1);
    await world.clock.advance(MOVE_PLAN_COOLDOWN_MS);
    await world.converge(controller);
    expect(new Set(phases(world))).toEqual(new Set(["done", "undone"]));
    expect(world.placement()).toEqual({ "web-api-0": "c", "big-batch-0": "a" });
  });

  test("by the request's end: who is under way goes on, the room is free for others", async () => {
    const world = new World();
    await blocked(world);
    const controller = await sent(world);
    await world.remove("Application", "big", "shop");
    await world.remove("Assignment", "big-batch-0", "shop");
    await world.apply("Application", "next", { components: [instances("api", 1, "3")] });
    await world.converge(controller);
    expect(plans(world)[0]?.status).toMatchObject({ phase: "undone", brokenBy: "request-gone" });
    expect(world.placement()).toEqual({ "web-api-0": "c", "next-api-0": "a" });
  });

  test("by room elsewhere: the request takes that", async () => {
    const world = new World();
    await blocked(world);
    const controller = await sent(world);
    await world.node("new");
    await world.converge(controller);
    expect(world.placement()).toEqual({ "web-api-0": "c", "big-batch-0": "new" });
    expect(plans(world)[0]?.status?.brokenBy).toBe("request-placed-elsewhere");
  });

  test("by an operator who deletes it: it stops, and what it held is free", async () => {
    const world = new World();
    await twoMoves(world);
    const controller = world.controller();
    await world.settle(controller);
    await world.apply("Application", "other", { components: [instances("api", 1, "1380m")] });
    await world.settle(controller);
    expect(world.assignment("other-api-0").spec.node).toBeUndefined();
    const [plan] = plans(world);
    await world.remove("MovePlan", plan?.metadata.name ?? "", "shop");
    await world.converge(controller);
    expect(plans(world)).toEqual([]);
    expect(world.assignments("api").filter((a) => a.spec.node === "a")).toHaveLength(3);
    expect(world.assignment("other-api-0").spec.node).toBe("a");
    expect(world.assignment("big-batch-0").status?.reason).toBe("NoRoom");
  });

  test("an instance that ends meanwhile leaves its room to the request", async () => {
    const world = new World();
    await blocked(world);
    const controller = await sent(world);
    await world.remove("Application", "web", "shop");
    await world.remove("Assignment", "web-api-0", "shop");
    await world.converge(controller);
    expect(world.placement()).toEqual({ "big-batch-0": "a" });
    expect(plans(world)[0]?.status).toMatchObject({ phase: "done", moves: [{ state: "gone" }] });
  });
});

describe("failure", () => {
  test("after a crash in any commit a new hub goes on, and moves nothing twice", async () => {
    let crashed = true;
    for (let crashAt = 0; crashed; crashAt++) {
      const disk = emptyDisk();
      const world = new World(new MemoryStore(disk));
      await blocked(world);
      let commits = 0;
      crashed = false;
      world.store.beforeCommit = () => {
        if (commits++ !== crashAt) return;
        crashed = true;
        throw new Error("killed");
      };
      await world.converge().catch(() => {});
      const again = new World(new MemoryStore(disk), 2);
      expectRoom(again);
      const wasMoved = again.assignment("web-api-0").spec.node === "c";
      await again.clock.advance(MOVE_PLAN_RETRY_MS);
      await again.converge();
      expect(again.placement()).toEqual({ "web-api-0": "c", "big-batch-0": "a" });
      expect(phases(again)).toEqual(["done"]);
      const moves = reasons(again, "web-api-0").filter((reason) => reason === "Moved");
      expect(moves).toHaveLength(wasMoved ? 0 : 1);
    }
  });

  test("a conflict gives back what was decided, and the plan goes on", async () => {
    const world = new World();
    await blocked(world);
    let hits = 0;
    world.store.beforeCommit = async (commit) => {
      const moves = commit.changes.some(({ key }) => key.kind === "MovePlan");
      if (moves && hits++ < 3) await world.report("web-api-0", "Running", hits % 2 === 0);
    };
    const controller = world.controller();
    for (let i = 0; i < 6; i++) {
      await world.clock.advance(MOVE_PLAN_RETRY_MS);
      await world.converge(controller);
      expectRoom(world);
    }
    expect(world.placement()).toEqual({ "web-api-0": "c", "big-batch-0": "a" });
  });
});

test("clients list, read and delete a plan, and cannot write one", async () => {
  const world = new World(testStore());
  await blocked(world);
  const controller = world.controller();
  await world.settle(controller);
  const hooks = { mintSecret: () => ({ secret: "", secretHash: "" }), joinString: () => "" };
  const service = new ResourceService({}, { ...world.deps, hooks });
  const [plan] = service.list("MovePlan", { namespace: "shop" }).items;
  if (plan === undefined) throw new Error("there is no move plan");
  const name = String(plan.metadata["name"]);
  const cells = columnsOf("MovePlan").map((column) => [column.name, column.cell(plan)]);
  expect(Object.fromEntries(cells)).toMatchObject({
    For: "shop/big/batch",
    Phase: "moving",
    Moves: "0/1",
    Rooms: "a",
  });
  const target = { kind: "MovePlan", namespace: "shop", name } as const;
  for (const write of [
    () => service.create("MovePlan", "shop", plan, STRICT),
    () => service.update(target, plan, STRICT),
    () => service.mergePatch({ ...target, subresource: "status" }, {}, STRICT),
  ])
    expect(await refusal(write)).toMatchObject({
      code: 405,
      message: expect.stringContaining("delete one to stop it"),
    });
  await service.remove("MovePlan", "shop", name, { user: STRICT.user });
  await world.converge(controller);
  expect(plans(world)).toEqual([]);
});

describe("devices", () => {
  const withGpu = (requests: Record<string, string | number>): Component => {
    const component = instances("api", 1, "10m");
    const [main] = component.template.spec.template.spec.containers;
    if (main !== undefined) main.resources = { requests: { cpu: "10m", ...requests } };
    return component;
  };
  const slice = (milli: number) => withGpu({ "edge.kurator.dev/gpu-milli": milli });
  const cardOf = (world: World, name: string) => world.assignment(name).spec.devices?.[0]?.uuid;

  test("a slice goes to another card of its node; only a new run of it is an arrival", async () => {
    const world = new World();
    await world.node("g", "site-1", { capacity: { gpuCount: 2 } });
    for (const [name, milli] of [
      ["p", 600],
      ["q", 500],
      ["r", 400],
    ] as const) {
      await world.apply("Application", name, { components: [slice(milli)] });
      await world.converge();
    }
    expect(cardOf(world, "r-api-0")).toBe(cardOf(world, "p-api-0"));
    await world.remove("Application", "p", "shop");
    await world.remove("Assignment", "p-api-0", "shop");
    await world.apply("Application", "big", { components: [withGpu({ "nvidia.com/gpu": 1 })] });
    const controller = world.controller();
    await world.converge(controller);
    expect(cardOf(world, "r-api-0")).toBe(cardOf(world, "q-api-0"));
    // What is reported is the run on the card before.
    expect(phases(world)).toEqual(["moving"]);
    expect(world.assignment("big-api-0").spec.node).toBeUndefined();
    const moved = world.assignment("r-api-0");
    const { reported } = moved.status ?? {};
    if (reported === undefined) throw new Error("nothing is reported");
    await world.put({
      ...moved,
      status: { ...moved.status, reported: { ...reported, startedAt: "2026-01-01T00:00:00.000Z" } },
    });
    await world.converge(controller);
    expect(phases(world)).toEqual(["done"]);
    expect(world.assignment("big-api-0").spec.node).toBe("g");
    expect(cardOf(world, "big-api-0")).not.toBe(cardOf(world, "q-api-0"));
  });
});

describe("any course of events", () => {
  const cpus = ["700m", "2500m", "3", "3500m"];
  const nodes = ["a", "b", "c", "d"];
  type Edit = (world: World, controller: ApplicationController) => Promise<void>;
  const apply = fc.tuple(fc.nat(5), fc.nat(1), fc.nat(cpus.length - 1), fc.nat(9)).map(
    ([app, count, cpu, luck]): Edit =>
      async (world) => {
        await world.apply("Application", `app-${app}`, {
          components: [
            instances("api", count, cpus[cpu] ?? "1", luck === 0 ? { movable: false } : {}),
          ],
        });
      },
  );
  const advance = (ms: number) => fc.constant<Edit>((world) => world.clock.advance(ms));
  const edit: fc.Arbitrary<Edit> = fc.oneof(
    { weight: 6, arbitrary: apply },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom(...nodes), fc.constantFrom("ready", "ready", "suspect", "lost"))
        .map(
          ([node, life]): Edit =>
            (world) =>
              world.life(node, life as "ready"),
        ),
    },
    {
      weight: 1,
      arbitrary: fc.constant<Edit>(async (world) => {
        const [plan] = plans(world);
        if (plan !== undefined) await world.remove("MovePlan", plan.metadata.name, "shop");
      }),
    },
    { weight: 3, arbitrary: advance(MOVE_PLAN_RETRY_MS) },
    { weight: 1, arbitrary: advance(PLAN_PHASE_MS_MAX) },
    { weight: 4, arbitrary: fc.constant<Edit>((world) => world.agentsRun()) },
    { weight: 6, arbitrary: fc.constant<Edit>((_world, controller) => controller.pass()) },
    // Another hub: it knows nothing but what is stored.
    { weight: 2, arbitrary: fc.constant<Edit>((world) => world.controller().pass()) },
  );

  test("gives no room twice, has one plan under way at most, and ends every one", async () => {
    const ends = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 30, maxLength: 90 }), async (edits) => {
        const world = new World();
        const controller = world.controller();
        // One on each node: room for more is scattered.
        for (const node of nodes) {
          await world.node(node);
          await world.apply("Application", `on-${node}`, {
            components: [instances("api", 1, "1500m")],
          });
          await world.converge(controller);
          await world.specOf(node, { unschedulable: true });
        }
        for (const node of nodes) await world.specOf(node, { unschedulable: false });
        const check = (): void => {
          expectRoom(world);
          expect(plans(world).filter((plan) => !isMovePlanOver(plan)).length).toBeLessThan(2);
        };
        for (const one of edits) {
          await one(world, controller);
          check();
        }
        for (const node of nodes) await world.life(node, "ready");
        for (let i = 0; i < 3; i++) {
          await world.clock.advance(MOVE_PLAN_COOLDOWN_MS);
          await world.converge(controller);
          check();
        }
        expect(plans(world).filter((plan) => !isMovePlanOver(plan))).toEqual([]);
        for (const { status } of plans(world)) {
          const end = status?.brokenBy ?? "done";
          ends.set(end, (ends.get(end) ?? 0) + 1);
        }
      }),
      { seed: 42, numRuns: 80 },
    );

    expect([...ends.keys()]).toEqual(expect.arrayContaining(["done", "request-gone"]));
  });
});

function withCpu(component: Component, cpu: string): Component {
  const copy = structuredClone(component);
  for (const c of copy.template.spec.template.spec.containers) c.resources = { requests: { cpu } };
  return copy;
}
