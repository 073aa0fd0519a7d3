import { createMetrics } from "@flotilla/shared/platform/metrics";
import { describe, expect, test } from "vitest";
import { SCHEDULING_METRICS } from "../src/app/scheduling/metrics.ts";
import { QUEUES_MEASURED_MAX, QueueStatusWriter } from "../src/app/scheduling/queue-status.ts";
import { EXPLANATIONS_MAX } from "../src/app/scheduling/waiting-reasons.ts";
import { emptyDisk, MemoryStore } from "./support/memory-store.ts";
import {
  type Component,
  type Extra,
  expectRoom,
  priorityClass,
  serves,
  works,
} from "./support/queue-scene.ts";
import { temporaryDir, testStore } from "./support/store.ts";
import { World } from "./support/world.ts";

async function app(world: World, name: string, ...components: Component[]): Promise<void> {
  await world.apply("Application", name, { components });
}

async function fleet(...nodes: readonly string[]): Promise<World> {
  const world = new World();
  await world.apply("Site", "site-1", {});
  for (const node of nodes) await world.node(node);
  return world;
}

const placedCount = (world: World, application: string): number =>
  world.assignments().filter((a) => a.spec.application === application && a.spec.node !== undefined)
    .length;

/** Why the first waiting instance of an Application waits. */
function waiting(world: World, application: string): { reason?: string; message?: string } {
  const found = world
    .assignments()
    .find((a) => a.spec.application === application && a.spec.node === undefined);
  if (found === undefined) throw new Error(`nothing of ${application} waits`);
  return found.status ?? {};
}

describe("a gang", () => {
  const gang = (replicas: number, minMember: number): Component =>
    serves("train", replicas, "3", { volcano: { minMember } });

  test("has all of its minimum placed, in one commit, or nothing", async () => {
    const world = await fleet("a1", "a2", "a3");
    await app(world, "other", serves("api", 1, "3"));
    const controller = world.controller();
    await world.converge(controller);
    await app(world, "gang", gang(3, 3));
    await world.converge(controller);
    expect(placedCount(world, "gang")).toBe(0);
    expect(waiting(world, "gang")).toMatchObject({
      reason: "NoRoom",
      message: expect.stringContaining("the gang asks for 9 cpu"),
    });
    await app(world, "other", serves("api", 0, "3"));
    await world.converge(controller);
    expect(placedCount(world, "gang")).toBe(3);
    const withPlace = world.store.commits.filter((c) =>
      c.changes.some(({ object }) => object?.metadata.name === "gang-train-0" && nodeOf(object)),
    );
    expect(withPlace[0]?.changes.filter(({ object }) => nodeOf(object))).toHaveLength(3);
  });

  test("below its minimum is repaired before anything new, however important", async () => {
    const world = await fleet("a1", "a2");
    await priorityClass(world, "high", 1_000);
    const controller = world.controller();
    await app(world, "gang", {
      ...gang(2, 2),
      scheduling: { movable: false },
    } as Component);
    await world.converge(controller);
    expect(placedCount(world, "gang")).toBe(2);
    await world.remove("EdgeNode", "a2");
    await app(world, "rival", serves("api", 1, "3", { volcano: { priorityClassName: "high" } }));
    await world.converge(controller);
    expect([placedCount(world, "gang"), placedCount(world, "rival")]).toEqual([1, 0]);
    await world.node("a3");
    await world.converge(controller);
    expect([placedCount(world, "gang"), placedCount(world, "rival")]).toEqual([2, 0]);
    await world.node("a4");
    await world.converge(controller);
    expect(placedCount(world, "rival")).toBe(1);
  });

  test("that is larger than the fleet is told so, with both figures, and starts once nodes are added", async () => {
    const world = await fleet("a1", "a2");
    await app(world, "gang", gang(3, 3));
    const controller = world.controller();
    await world.converge(controller);
    expect(placedCount(world, "gang")).toBe(0);
    expect(waiting(world, "gang")).toMatchObject({
      reason: "LargerThanFleet",
      message: expect.stringContaining(
        "its gang of 3 asks for more cpu than the whole fleet has (9 of 7.6)",
      ),
    });
    await world.node("a3");
    await world.converge(controller);
    expect(placedCount(world, "gang")).toBe(3);
  });

  test("of which fewer are wanted than it needs is told what to change", async () => {
    const world = await fleet("a1", "a2", "a3");
    await app(world, "gang", gang(2, 3));
    await world.settle();
    expect(waiting(world, "gang")).toMatchObject({
      reason: "TooFewMembers",
      message: expect.stringContaining("lower minMember, or raise replicas or parallelism"),
    });
  });

  test("may be larger than one plan: it is written down in parts, and started whole", async () => {
    const world = await fleet("a1", "a2");
    await app(world, "gang", serves("train", 10, "300m", { volcano: { minMember: 10 } }));
    await world.converge(world.controller({ changesMax: 4 }));
    expect(placedCount(world, "gang")).toBe(10);
    const sizes = world.store.commits.map((c) => c.changes.filter((x) => nodeOf(x.object)).length);
    expect(sizes.filter((size) => size > 0)[0]).toBe(10);
  });

  test("follows another by dependsOn, step by step", async () => {
    const world = await fleet("a1", "a2");
    const volcano = { minMember: 2 };
    await app(
      world,
      "flow",
      works("prepare", 2, "3", { volcano }),
      works("train", 2, "3", { volcano, dependsOn: ["prepare"] }),
      serves("api", 2, "3", { volcano, dependsOn: ["train"] }),
    );
    const controller = world.controller();
    const running = (): readonly string[] => [
      ...new Set(
        world
          .assignments()
          .filter((a) => a.spec.node !== undefined && a.status?.reported?.phase !== "Succeeded")
          .map((a) => a.spec.component),
      ),
    ];
    await world.settle(controller);
    expect(running()).toEqual(["prepare"]);
    await world.agentsRun("Running");
    await world.agentsRun("Succeeded");
    await world.settle(controller);
    expect(running()).toEqual(["train"]);
    expect(world.condition("Progressing", "flow")?.message).toContain(
      "api: waits for component train",
    );
    await world.agentsRun("Succeeded");
    await world.settle(controller);
    expect(running()).toEqual(["api"]);
    expect(placedCount(world, "flow")).toBe(6);
  });
});

describe("a queue that takes nothing says what to do", () => {
  interface Case {
    readonly what: string;
    readonly scene: (world: World) => Promise<void>;
    readonly reason: string;
    readonly message: string;
    readonly mend: (world: World) => Promise<void>;
  }
  test.each<Case>([
    {
      what: "does not exist",
      scene: async () => {},
      reason: "QueueNotFound",
      message: 'there is no queue "q": create it, or name another in volcano.queue',
      mend: (world) => world.apply("Queue", "q", {}),
    },
    {
      what: "has queues below it",
      scene: async (world) => {
        await world.apply("Queue", "q", {});
        await world.apply("Queue", "q-below", { parent: "q" });
      },
      reason: "QueueHasChildren",
      message: 'queue "q" has queues below it and takes no jobs: name one of "q-below"',
      mend: (world) => world.remove("Queue", "q-below"),
    },
    {
      what: "is closed",
      scene: (world) => world.apply("Queue", "q", { state: "Closed" }),
      reason: "QueueClosed",
      message: 'queue "q" is closed: open it, or name another in volcano.queue',
      mend: (world) => world.apply("Queue", "q", { state: "Open" }),
    },
    {
      what: "is below a closed one",
      scene: async (world) => {
        await world.apply("Queue", "above", { state: "Closed" });
        await world.apply("Queue", "q", { parent: "above" });
      },
      reason: "QueueClosed",
      message: 'queue "q" is closed',
      mend: (world) => world.apply("Queue", "above", {}),
    },
  ])(
    "when it $what, and takes jobs once that is mended",
    async ({ scene, reason, message, mend }) => {
      const world = await fleet("a1");
      await scene(world);
      await app(world, "web", serves("api", 1, "1", { volcano: { queue: "q" } }));
      const controller = world.controller();
      await world.converge(controller);
      expect(waiting(world, "web")).toMatchObject({
        reason,
        message: expect.stringContaining(message),
      });
      expect(world.condition("Queued")).toMatchObject({
        status: "True",
        reason,
        message: expect.stringContaining(message),
      });
      await mend(world);
      await world.converge(controller);
      expect(placedCount(world, "web")).toBe(1);
      expect(world.condition("Queued")).toMatchObject({ status: "False", reason: "Placed" });
    },
  );

  test("a circle of queues holds up nobody: each counts as directly under the fleet, and says so", async () => {
    const world = await fleet("a1");
    await world.apply("Queue", "q", { parent: "r" });
    await world.apply("Queue", "r", { parent: "q" });
    const hub = withQueueStatus(world);
    await app(world, "web", serves("api", 1, "1", { volcano: { queue: "q" } }));
    await hub.settle();
    expect(placedCount(world, "web")).toBe(1);
    expect(consistent(world, "q")).toMatchObject({
      status: "False",
      reason: "ParentCycle",
      message: expect.stringContaining("until one of them names another parent"),
    });
  });
});

describe("limits of queues", () => {
  test("a capability is never passed; raised, it lets more in at once", async () => {
    const world = await fleet("a1", "a2");
    await world.apply("Queue", "q", { capability: { cpu: "2" } });
    await app(world, "web", serves("api", 3, "1", { volcano: { queue: "q" } }));
    const controller = world.controller();
    await world.converge(controller);
    expect(placedCount(world, "web")).toBe(2);
    expect(waiting(world, "web")).toMatchObject({
      reason: "OverCapability",
      message: expect.stringContaining('queue "q" has 2 cpu of a capability of 2'),
    });
    await world.apply("Queue", "q", { capability: { cpu: "3" } });
    await world.converge(controller);
    expect(placedCount(world, "web")).toBe(3);
  });

  test("a guarantee is kept free for its queue", async () => {
    const world = await fleet("a1", "a2");
    await world.apply("Queue", "q", { guarantee: { resource: { cpu: "3" } } });
    await app(world, "greedy", serves("api", 2, "3"));
    const controller = world.controller();
    await world.converge(controller);
    expect(placedCount(world, "greedy")).toBe(1);
    expect(waiting(world, "greedy").reason).toBe("GuaranteedToOthers");
    await app(world, "owner", serves("api", 1, "3", { volcano: { queue: "q" } }));
    await world.converge(controller);
    expect(placedCount(world, "owner")).toBe(1);
  });

  test("a guarantee over the fleet is told in the queue's status", async () => {
    const world = await fleet("a1");
    await world.apply("Queue", "q", { guarantee: { resource: { cpu: "100" } } });
    await withQueueStatus(world).settle();
    expect(consistent(world, "q")).toMatchObject({
      status: "False",
      reason: "GuaranteeOverFleet",
      message: expect.stringContaining("lower it, or add nodes"),
    });
  });

  test("what was borrowed is given back, by as many as that takes, and is not taken back again", async () => {
    const world = await fleet("a1", "a2");
    for (const name of ["q", "r"]) await world.apply("Queue", name, { deserved: { cpu: "3" } });
    const controller = world.controller();
    await app(world, "borrower", serves("api", 2, "3", { volcano: { queue: "r" } }));
    await world.converge(controller);
    expect(placedCount(world, "borrower")).toBe(2);
    await app(world, "owner", serves("api", 1, "3", { volcano: { queue: "q" } }));
    await world.converge(controller);
    expect([placedCount(world, "owner"), placedCount(world, "borrower")]).toEqual([1, 1]);
    const evicted = world.told.filter((t) => t.reason === "Evicted");
    expect(evicted).toHaveLength(1);
    expect(evicted[0]?.message).toMatch(
      /^from a\d: evicted for shop\/owner\/api: queue "q" has less than it deserves, queue "r" has more$/,
    );
    expectRoom(world);
  });

  test("a queue that is not reclaimable keeps what it borrowed", async () => {
    const world = await fleet("a1", "a2");
    await world.apply("Queue", "q", { deserved: { cpu: "3" } });
    await world.apply("Queue", "r", { deserved: { cpu: "3" }, reclaimable: false });
    const controller = world.controller();
    await app(world, "borrower", serves("api", 2, "3", { volcano: { queue: "r" } }));
    await world.converge(controller);
    await app(world, "owner", serves("api", 1, "3", { volcano: { queue: "q" } }));
    await world.converge(controller);
    expect([placedCount(world, "owner"), placedCount(world, "borrower")]).toEqual([0, 2]);
  });
});

describe("a greater priority", () => {
  /** Node a1 is full of two small instances, a2 of one large one. */
  async function scene(victims: Extra = {}): Promise<World> {
    const world = await fleet("a1", "a2");
    await priorityClass(world, "high", 1_000);
    await priorityClass(world, "patient", 1_000, "Never");
    await world.node("a2", "site-2");
    const on = (site: string) => ({ placement: { siteAffinity: { siteNames: [site] } } });
    await app(
      world,
      "low",
      serves("small", 2, "1500m", { ...victims, ...on("site-1") }),
      serves("large", 1, "3", { ...victims, ...on("site-2") }),
    );
    return world;
  }

  test("evicts the fewest, and what was evicted waits and says for whom", async () => {
    const world = await scene();
    const controller = world.controller();
    await world.converge(controller);
    expect(placedCount(world, "low")).toBe(3);
    await app(world, "high", serves("api", 1, "3", { volcano: { priorityClassName: "high" } }));
    await world.converge(controller);
    expect(placedCount(world, "high")).toBe(1);
    expect(placedCount(world, "low")).toBe(2);
    expect(world.told.filter((t) => t.reason === "Evicted")).toMatchObject([
      {
        about: "Assignment/low-large-0",
        type: "Warning",
        message: "from a2: evicted for shop/high/api of priority 1000, its own is 0",
      },
    ]);
    expectRoom(world);
  });

  test.each<[string, Extra, Extra]>([
    ["its class evicts nobody", { volcano: { priorityClassName: "patient" } }, {}],
    [
      "it asks to evict nobody",
      { volcano: { priorityClassName: "high" }, scheduling: { preemption: "Never" } },
      {},
    ],
    [
      "those that run are not movable",
      { volcano: { priorityClassName: "high" } },
      { scheduling: { movable: false } },
    ],
    [
      "their disruption budget is used up",
      { volcano: { priorityClassName: "high" } },
      { scheduling: { disruptionBudget: { maxUnavailable: 0 } } },
    ],
    ["no class has the name that it gives", { volcano: { priorityClassName: "missing" } }, {}],
  ])("waits when %s", async (_, own, victims) => {
    const world = await scene(victims);
    const controller = world.controller();
    await world.converge(controller);
    await app(world, "high", serves("api", 1, "3", own));
    await world.converge(controller);
    expect([placedCount(world, "high"), placedCount(world, "low")]).toEqual([0, 3]);
    expect(waiting(world, "high").reason).toBe("NoRoom");
  });

  test("a class that does not exist is said, and what names it runs with the default", async () => {
    const world = await fleet("a1");
    await app(world, "web", serves("api", 1, "1", { volcano: { priorityClassName: "missing" } }));
    const controller = world.controller();
    await world.converge(controller);
    expect(world.condition("PriorityClassFound")).toMatchObject({
      status: "False",
      reason: "NotFound",
      message:
        "api: PriorityClass missing does not exist; the default priority is used: create it, or name another",
    });
    await priorityClass(world, "missing", 5);
    await world.converge(controller);
    expect(world.condition("PriorityClassFound")).toBeUndefined();
  });

  test("a budget lets as many go as it allows", async () => {
    const world = await fleet("a1", "a2");
    await priorityClass(world, "high", 1_000);
    const controller = world.controller();
    await app(
      world,
      "low",
      serves("api", 2, "3", { scheduling: { disruptionBudget: { maxUnavailable: 1 } } }),
    );
    await world.converge(controller);
    await app(world, "high", serves("api", 2, "3", { volcano: { priorityClassName: "high" } }));
    await world.converge(controller);
    expect([placedCount(world, "high"), placedCount(world, "low")]).toEqual([1, 1]);
  });
});

describe("an eviction and the place that it is made for", () => {
  async function scene(world: World): Promise<void> {
    await world.apply("Site", "site-1", {});
    for (const name of ["a1", "a2"]) await world.node(name);
    await priorityClass(world, "high", 1_000);
    await app(world, "low", serves("api", 2, "3"));
  }
  const rise = (world: World): Promise<void> =>
    app(world, "high", serves("api", 2, "3", { volcano: { priorityClassName: "high" } }));
  const isMixed = (world: World): boolean =>
    world.store.commits.some((c) => {
      const named = new Set(c.changes.map((x) => x.object?.metadata.name ?? ""));
      return (
        [...named].some((n) => n.startsWith("low-")) &&
        [...named].some((n) => n.startsWith("high-"))
      );
    });

  test("are one commit; killed at any, nothing is lost and no node has more than it can hold", async () => {
    for (let crashAt = 0; crashAt < 6; crashAt++) {
      const disk = emptyDisk();
      const world = new World(new MemoryStore(disk));
      await scene(world);
      const controller = world.controller();
      await world.converge(controller);
      await rise(world);
      let commits = 0;
      world.store.beforeCommit = () => {
        if (commits++ === crashAt) throw new Error("killed");
      };
      await controller.pass().catch(() => {});
      expectRoom(world);
      const again = new World(new MemoryStore(disk), 2);
      await again.converge();
      expectRoom(again);
      expect([placedCount(again, "high"), placedCount(again, "low")]).toEqual([2, 0]);
      expect(again.assignments()).toHaveLength(4);
      expect(isMixed(world) || isMixed(again)).toBe(true);
    }
  });

  test.each(["high", "low"])(
    "are decided anew together when %s was written meanwhile",
    async (edited) => {
      const world = new World();
      await scene(world);
      const controller = world.controller();
      await world.converge(controller);
      await rise(world);
      let isDone = false;
      world.store.beforeCommit = async () => {
        if (isDone) return;
        isDone = true;
        const object = world.application(edited);
        await world.put({ ...object, metadata: { ...object.metadata, labels: { edited: "yes" } } });
      };
      await world.converge(controller);
      expectRoom(world);
      expect([placedCount(world, "high"), placedCount(world, "low")]).toEqual([2, 0]);
      expect(world.metrics.total("flotilla_hub_pass_conflicts_total")).toBeGreaterThan(0);
      await app(world, "high", serves("api", 0, "3"));
      await world.converge(controller);
      expect(placedCount(world, "low")).toBe(2);
    },
  );
});

describe("room that an eviction frees", () => {
  const high = { volcano: { priorityClassName: "high" } };

  test("is not given to a third Application without the eviction, whatever comes between", async () => {
    for (const edited of ["low", "high", "small"]) {
      const world = await fleet("a1");
      await priorityClass(world, "high", 100);
      const controller = world.controller();
      await app(world, "low", serves("api", 1, "3"));
      await world.converge(controller);
      await app(world, "high", serves("api", 1, "1", high));
      await app(world, "small", serves("api", 1, "1500m"));
      let isDone = false;
      world.store.beforeCommit = async () => {
        if (isDone) return;
        isDone = true;
        const object = world.application(edited);
        await world.put({ ...object, metadata: { ...object.metadata, labels: { edited: "yes" } } });
      };
      const broken: unknown[] = [];
      world.store.subscribe(() => {
        try {
          expectRoom(world);
        } catch (error) {
          broken.push(error);
        }
      });
      for (let i = 0; i < 5; i++) await controller.pass();
      expect(broken).toEqual([]);
      expect(placedCount(world, "high")).toBe(1);
    }
  });

  test("is looked for also on a node that has shrunk below what it holds", async () => {
    const world = await fleet("a1", "a2");
    await priorityClass(world, "high", 100);
    const controller = world.controller();
    const onto = (name: string): Extra => ({
      placement: { nodeSelector: { matchLabels: { "kubernetes.io/hostname": name } } },
    });
    await app(world, "low", serves("api", 2, "1500m", onto("a1")));
    await app(
      world,
      "firm",
      serves("api", 1, "3", { ...onto("a2"), scheduling: { movable: false } }),
    );
    await world.converge(controller);
    expect([placedCount(world, "low"), placedCount(world, "firm")]).toEqual([2, 1]);
    await world.node("a1", "site-1", { capacity: { milliCpu: 2_000 } });
    // The first of the gang finds room by evictions, the second none, so all is undone.
    const gang = { volcano: { priorityClassName: "high", minMember: 2 } };
    await app(world, "high", serves("api", 2, "1500m", gang));
    await world.converge(controller);
    expect([placedCount(world, "low"), placedCount(world, "high")]).toEqual([2, 0]);
    await app(world, "high", serves("api", 1, "1", high));
    await world.converge(controller);
    expect(placedCount(world, "high")).toBe(1);
  });
});

describe("what a deleted Application left, and one of its name does not adopt", () => {
  const high = { volcano: { priorityClassName: "high" } };

  async function scene(cpu: string): Promise<World> {
    const world = await fleet("a1");
    await priorityClass(world, "high", 100);
    await app(world, "low", serves("api", 1, cpu));
    return world;
  }

  test("holds its room until it is collected, whatever the new one would let go", async () => {
    const world = await scene("3");
    const controller = world.controller();
    await world.converge(controller);
    await app(world, "high", serves("api", 1, "3", high));
    await world.remove("Application", "low", "shop");
    await app(world, "low", serves("api", 1, "3"));
    await world.converge(controller);
    expect([placedCount(world, "low"), placedCount(world, "high")]).toEqual([1, 0]);
    expectRoom(world);
    await world.remove("Assignment", "low-api-0", "shop");
    await world.converge(controller);
    expect([placedCount(world, "low"), placedCount(world, "high")]).toEqual([0, 1]);
    expectRoom(world);
  });

  test("is no member of the new one's gang", async () => {
    const world = await scene("800m");
    const controller = world.controller();
    await world.converge(controller);
    await world.remove("Application", "low", "shop");
    await app(world, "low", serves("api", 3, "1", { volcano: { minMember: 2 } }));
    await world.converge(controller);
    expect(placedCount(world, "low")).toBe(3);
    // Room for it is one member away. Without that one the other is below its minimum, so both go.
    await app(world, "high", serves("api", 1, "2", high));
    await world.converge(controller);
    expect([placedCount(world, "low"), placedCount(world, "high")]).toEqual([1, 1]);
    expectRoom(world);
  });
});

describe("what happens while others have a turn", () => {
  /** Fifty-one Applications to plan, so that there is a turn; meanwhile `meddle` once. */
  async function scene(meddle: (world: World) => Promise<void>) {
    const world = await fleet("a1");
    let armed = false;
    const controller = world.controller({
      turn: async () => {
        if (!armed) return;
        armed = false;
        await meddle(world);
      },
    });
    await app(world, "waits", serves("api", 1, "3"));
    await app(world, "holds", serves("api", 1, "3"));
    await world.settle(controller);
    expect([placedCount(world, "holds"), placedCount(world, "waits")]).toEqual([1, 0]);
    for (let i = 0; i < 60; i++) await app(world, `app-${i}`, serves("api", 0, "1m"));
    await world.node("a2");
    armed = true;
    return { world, controller };
  }

  test("an Application that waits and grows is not given the room that it asked for before", async () => {
    const { world, controller } = await scene((w) => app(w, "waits", serves("api", 1, "5")));
    await world.settle(controller);
    expectRoom(world);
    expect(placedCount(world, "waits")).toBe(0);
  });

  test("one that is deleted holds no room", async () => {
    const { world, controller } = await scene((w) => w.remove("Application", "waits", "shop"));
    await world.settle(controller);
    await app(world, "next", serves("api", 1, "3"));
    await world.settle(controller);
    expect(placedCount(world, "next")).toBe(1);
    expectRoom(world);
  });
});

describe("backfill", () => {
  test("keeps room for the first that waits, and lets in what ends before it starts", async () => {
    const world = await fleet("a1", "a2");
    await world.apply("Queue", "default", {});
    const hub = withQueueStatus(world);
    await app(world, "a-runs", works("task", 1, "3", { scheduling: { estimate: "1h" } }));
    await hub.settle();
    await world.agentsRun();
    await app(world, "b-head", works("task", 2, "3", { volcano: { minMember: 2 } }));
    await app(world, "c-long", works("task", 1, "3"));
    await hub.settle();
    expect([placedCount(world, "b-head"), placedCount(world, "c-long")]).toEqual([0, 0]);
    expect(waiting(world, "c-long")).toMatchObject({
      reason: "KeptForAnother",
      message: expect.stringContaining("name scheduling.estimate if this one ends soon"),
    });
    expect(world.store.get("Queue", "", "default")?.status?.reservation).toMatchObject({
      job: "shop/b-head/task",
      nodes: ["a1", "a2"],
    });
    await app(world, "d-short", works("task", 1, "3", { scheduling: { estimate: "10m" } }));
    await hub.settle();
    expect([placedCount(world, "d-short"), placedCount(world, "c-long")]).toEqual([1, 0]);
    await world.agentsRun("Succeeded");
    await hub.settle();
    expect([placedCount(world, "b-head"), placedCount(world, "c-long")]).toEqual([2, 0]);
  });
});

describe("order", () => {
  test("what waited longer than it may goes first", async () => {
    const world = await fleet("a1");
    const controller = world.controller();
    await app(world, "holds", serves("api", 1, "3"));
    await world.converge(controller);
    await app(world, "a-early", serves("api", 1, "3"));
    await app(world, "b-late", serves("api", 1, "3", { scheduling: { waitMax: "10m" } }));
    await world.converge(controller);
    await world.clock.advance(11 * 60_000);
    await app(world, "holds", serves("api", 0, "3"));
    await world.converge(controller);
    expect([placedCount(world, "a-early"), placedCount(world, "b-late")]).toEqual([0, 1]);
  });

  test("a fifo queue waits for its first; another goes on behind it", async () => {
    const world = await fleet("a1");
    await world.apply("Queue", "q", { dequeueStrategy: "fifo" });
    const controller = world.controller();
    await app(world, "a-huge", serves("api", 3, "2", { volcano: { queue: "q", minMember: 1 } }));
    await app(world, "b-small", serves("api", 1, "100m", { volcano: { queue: "q" } }));
    await app(world, "c-other", serves("api", 1, "100m"));
    await world.converge(controller);
    expect(placedCount(world, "b-small")).toBe(0);
    expect(waiting(world, "b-small").reason).toBe("BehindAnother");
    expect(placedCount(world, "c-other")).toBe(1);
  });

  test("what can never be placed blocks nobody behind it", async () => {
    const world = await fleet("a1", "a2");
    await app(world, "a-huge", serves("api", 2, "64", { volcano: { minMember: 2 } }));
    for (let i = 0; i < 20; i++) await app(world, `b-${i}`, serves("api", 1, "100m"));
    await world.settle();
    expect(world.assignments().filter((a) => a.spec.node === undefined)).toHaveLength(2);
    expect(waiting(world, "a-huge")).toMatchObject({ reason: "LargerThanFleet" });
  });

  test("of many that wait each says why; those beyond the most explanations say it without candidates", async () => {
    const world = await fleet("a1");
    const count = EXPLANATIONS_MAX + 20;
    for (let i = 0; i < count; i++) await app(world, `app-${i}`, serves("api", 1, `${5000 + i}m`));
    await app(world, "alike", serves("api", 1, "5000m"));
    const controller = world.controller();
    await world.settle(controller);
    const statuses = world.assignments().map((a) => a.status);
    expect(statuses.filter((s) => s?.reason !== "LargerThanFleet" || s.message === "")).toEqual([]);
    const explained = statuses.filter((s) => (s?.candidates ?? []).length > 0);
    expect(explained.length).toBeGreaterThanOrEqual(EXPLANATIONS_MAX);
    expect(explained.length).toBeLessThan(count);
    expect(world.assignment("alike-api-0").status?.message).toContain("0/1 nodes fit");
    const { revision } = world.store;
    await world.settle(controller);
    expect(world.store.revision).toBe(revision);
  });

  test("a round places as many as the PerformanceProfile says, and the next ones the rest", async () => {
    const world = await fleet("a1", "a2");
    await world.apply("PerformanceProfile", "default", { scheduler: { batch: 3 } });
    await app(world, "web", serves("api", 60, "100m"));
    await world.converge();
    expect(placedCount(world, "web")).toBe(60);
    const sizes = world.store.commits.map((c) => c.changes.filter((x) => nodeOf(x.object)).length);
    expect(Math.max(...sizes)).toBe(3);
  });
});

/** The controller together with who writes the status of queues, after each pass as in a hub whose second has passed. */
function withQueueStatus(world: World) {
  const { store, clock, log, metrics } = world;
  const writer = new QueueStatusWriter({ store, clock, log, metrics });
  let told: Parameters<QueueStatusWriter["tell"]>[0] | undefined;
  const queues = {
    tell: (outcome: Parameters<QueueStatusWriter["tell"]>[0]) => {
      told = outcome;
    },
  };
  const controller = world.controller({ queues });
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 100; i++) {
      const before = store.revision;
      await controller.pass();
      if (told !== undefined) await writer.write(told);
      if (store.revision === before) return;
    }
    throw new Error("100 passes and still something to write");
  };
  return { controller, settle };
}

function consistent(world: World, queue: string) {
  const conditions = world.store.get("Queue", "", queue)?.status?.conditions;
  return conditions?.find((c) => c.type === "Consistent");
}

function nodeOf(object: unknown): string | undefined {
  const { kind, spec } = (object ?? {}) as { kind?: string; spec?: { node?: string } };
  return kind === "Assignment" ? spec?.node : undefined;
}

describe("how queues stand", () => {
  test("is in their status and in metrics", async () => {
    const world = await fleet("a1", "a2");
    await world.apply("Queue", "q", { deserved: { cpu: "3" } });
    const hub = withQueueStatus(world);
    await app(world, "web", serves("api", 3, "3", { volcano: { queue: "q" } }));
    await hub.settle();
    expect(world.store.get("Queue", "", "q")?.status).toMatchObject({
      state: "Open",
      pending: 1,
      running: 1,
      allocated: { cpu: "6" },
      deserved: { cpu: "3" },
      share: 0.7895,
      dominantResource: "milliCpu",
    });
    expect(world.metrics.value("flotilla_hub_queue_pending_jobs", { queue: "q" })).toBe(1);
    expect(world.metrics.value("flotilla_hub_queue_share", { queue: "q" })).toBeCloseTo(6 / 7.6);
    await app(world, "web", serves("api", 0, "3", { volcano: { queue: "q" } }));
    await hub.settle();
    expect(world.store.get("Queue", "", "q")?.status).toMatchObject({ pending: 0, running: 0 });
  });

  test("is measured for so many queues only, however many come and go", async () => {
    const world = await fleet("a1");
    const metrics = createMetrics(SCHEDULING_METRICS);
    const { store, clock, log } = world;
    const writer = new QueueStatusWriter({ store, clock, log, metrics });
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 400; i++) await world.apply("Queue", `q-${round}-${i}`, {});
      let told: Parameters<QueueStatusWriter["tell"]>[0] | undefined;
      await world.settle(world.controller({ queues: { tell: (outcome) => (told = outcome) } }));
      if (told === undefined) throw new Error("nothing was told of the queues");
      await writer.write(told);
      expect(store.get("Queue", "", `q-${round}-399`)?.status?.state).toBe("Open");
      for (let i = 0; i < 400; i++) await world.remove("Queue", `q-${round}-${i}`);
    }
    const series = (await metrics.text()).match(/^flotilla_hub_queue_share\{/gm);
    expect(series).toHaveLength(QUEUES_MEASURED_MAX);
  });

  test("written by services that follow each other, it comes to rest", async () => {
    const world = await fleet("a1");
    await world.apply("Queue", "q", { capability: { cpu: "1" } });
    const { store, clock, log, metrics } = world;
    const writer = new QueueStatusWriter({ store, clock, log, metrics });
    const controller = world.controller({ queues: writer });
    await app(world, "web", serves("api", 2, "1", { volcano: { queue: "q" } }));
    const stop = new AbortController();
    const running = [writer.run(stop.signal), controller.run(stop.signal)];
    for (let i = 0; i < 50; i++) await clock.advance(200);
    expect(store.get("Queue", "", "q")?.status).toMatchObject({ pending: 1, running: 1 });
    const { revision } = store;
    const passCount = (): number =>
      world.metrics.observations("flotilla_hub_pass_duration_seconds").length;
    const passes = passCount();
    for (let i = 0; i < 100; i++) await clock.advance(200);
    expect(store.revision).toBe(revision);
    expect(passCount()).toBe(passes);
    stop.abort();
    await Promise.all(running);
  });
});

test("a hub that is started again knows what waits, why, and for how long, and writes nothing", async () => {
  const dataDir = temporaryDir();
  const scene = async (world: World<ReturnType<typeof testStore>>): Promise<void> => {
    await world.node("a1");
    await world.node("a2");
    await priorityClass(world, "high", 1_000);
    await world.apply("Queue", "q", { capability: { cpu: "3" } });
    const put = (name: string, ...components: Component[]) =>
      world.apply("Application", name, { components });
    await put("low", serves("api", 2, "3"));
    await world.converge();
    await put("high", serves("api", 1, "3", { volcano: { priorityClassName: "high" } }));
    await put("gang", serves("api", 2, "3", { volcano: { minMember: 2 } }));
    await put("queued", serves("api", 2, "3", { volcano: { queue: "q" } }));
    await put("late", serves("api", 1, "3", { scheduling: { waitMax: "10m" } }));
    await world.converge();
  };
  const first = new World(testStore({ dataDir }));
  await scene(first);
  first.store.close();
  const again = new World(testStore({ dataDir }), 2);
  await again.clock.advance(11 * 60_000);
  const { revision } = again.store;
  const before = again.placement();
  await again.settle();
  expect(again.store.revision).toBe(revision);
  expect(before).toMatchObject({ "gang-api-0": "-", "late-api-0": "-" });
  await again.node("a3");
  await again.converge();
  expect(again.placement()).toMatchObject({ "late-api-0": "a3" });
});
