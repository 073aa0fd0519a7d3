import type { ObjectOf } from "@flotilla/shared/model/kinds";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Component, expectRoom, priorityClass, serves, works } from "./support/queue-scene.ts";
import { World } from "./support/world.ts";

/** A hub that lives through edits, crashes and conflicts. */
class Scene {
  readonly world = new World();
  controller = this.world.controller({ turn: () => this.turn() });
  /** What somebody else writes while a pass lets others have a turn, or before its next commit. */
  meddle: Edit["run"] | undefined;

  async open(): Promise<void> {
    const { world } = this;
    for (const [i, name] of NODES.entries()) await world.node(name, `site-${(i % 2) + 1}`);
    await priorityClass(world, "low", 1);
    await priorityClass(world, "high", 100);
    world.store.beforeCommit = async ({ changes }) => {
      if (changes.some(({ key }) => key.kind === "Assignment")) await this.turn();
    };
    let isOwn = false;
    world.store.subscribe(() => {
      if (isOwn) return;
      isOwn = true;
      this.#checkGangs();
      isOwn = false;
    });
  }

  async turn(): Promise<void> {
    const meddle = this.meddle;
    this.meddle = undefined;
    await meddle?.(this);
  }

  restart(): void {
    this.controller = this.world.controller({ turn: () => this.turn() });
  }

  readonly partGangs: string[] = [];
  readonly #placedBefore = new Map<string, number>();

  /** A gang of which nothing ran starts with as many as it needs, in one commit. */
  #checkGangs(): void {
    for (const application of this.world.store.list("Application"))
      for (const { name, volcano } of application.spec.components) {
        const id = `${application.metadata.name}/${name}`;
        const placed = placedOf(this.world, application.metadata.name, name);
        const before = this.#placedBefore.get(id) ?? 0;
        this.#placedBefore.set(id, placed);
        const { minMember = 0 } = volcano ?? {};
        if (before === 0 && placed > 0 && placed < minMember)
          this.partGangs.push(`${id}: ${placed} of ${minMember}`);
      }
  }
}

const NODES = ["n0", "n1", "n2", "n3", "n4"];

function placedOf(world: World, application: string, component: string): number {
  return world
    .assignments(component)
    .filter((a) => a.spec.application === application && a.spec.node !== undefined).length;
}

interface Edit {
  readonly run: (scene: Scene) => Promise<void>;
  /** What a counterexample shows. */
  readonly text: string;
}

const edit = (text: string, run: Edit["run"]): Edit => ({ text, run });

const volcano = fc.record(
  {
    queue: fc.constantFrom("q", "r", "q-below", "none"),
    priorityClassName: fc.constantFrom("low", "high"),
    minMember: fc.integer({ min: 1, max: 4 }),
  },
  { requiredKeys: [] },
);
const scheduling = fc.record(
  {
    movable: fc.boolean(),
    preemption: fc.constantFrom("LowerPriority" as const, "Never" as const),
    disruptionBudget: fc.record({ maxUnavailable: fc.constantFrom(0, 1, "50%") }),
    estimate: fc.constantFrom("10m", "2h"),
    waitMax: fc.constantFrom("1m", "1h"),
  },
  { requiredKeys: [] },
);
const component = (name: "api" | "train"): fc.Arbitrary<Component> =>
  fc
    .record({
      count: fc.integer({ min: 0, max: 5 }),
      cpu: fc.constantFrom("500m", "1", "1500m", "3"),
      extra: fc.record({ volcano, scheduling }),
    })
    .map(({ count, cpu, extra }) =>
      name === "api"
        ? serves(name, count, cpu, extra)
        : works(name, Math.max(1, count), cpu, extra),
    );

/** A component as a counterexample shows it. */
function brief({ name, template: { spec }, volcano, scheduling }: Component): object {
  const cpu = spec.template.spec.containers[0]?.resources?.requests?.["cpu"];
  const count = "replicas" in spec ? spec.replicas : "completions" in spec ? spec.completions : 1;
  return { name, count, cpu, volcano, scheduling };
}

const applied: fc.Arbitrary<Edit> = fc
  .record({
    app: fc.constantFrom("one", "two", "three", "four"),
    api: component("api"),
    train: component("train"),
  })
  .map(({ app, api, train }) =>
    edit(`apply ${app} ${JSON.stringify([api, train].map(brief))}`, ({ world }) =>
      world.apply("Application", app, { components: [api, train] }),
    ),
  );
const cores = fc.constantFrom("1", "3", "6", "12");
const queued: fc.Arbitrary<Edit> = fc
  .record({
    name: fc.constantFrom("q", "r", "q-below"),
    spec: fc.record(
      {
        guarantee: cores.map((cpu) => ({ resource: { cpu } })),
        deserved: cores.map((cpu) => ({ cpu })),
        capability: cores.map((cpu) => ({ cpu })),
        weight: fc.integer({ min: 1, max: 5 }),
        reclaimable: fc.boolean(),
        dequeueStrategy: fc.constantFrom("fifo" as const, "traverse" as const),
        state: fc.constantFrom("Open" as const, "Closed" as const),
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ name, spec }) =>
    edit(`queue ${name} ${JSON.stringify(spec)}`, ({ world }) =>
      world.apply("Queue", name, name === "q-below" ? { ...spec, parent: "q" } : spec),
    ),
  );
const written: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 4, arbitrary: applied },
  { weight: 2, arbitrary: queued },
  fc
    .constantFrom("one", "two", "three", "four")
    .map((name) =>
      edit(`delete ${name}`, ({ world }) => world.remove("Application", name, "shop")),
    ),
  fc
    .constantFrom("q", "r", "q-below")
    .map((name) => edit(`delete queue ${name}`, ({ world }) => world.remove("Queue", name))),
  fc
    .tuple(fc.constantFrom(...NODES), fc.constantFrom("ready" as const, "lost" as const))
    .map(([name, life]) => edit(`${name} ${life}`, ({ world }) => world.life(name, life))),
  fc
    .constantFrom(...NODES)
    .map((name) => edit(`delete ${name}`, ({ world }) => world.remove("EdgeNode", name))),
  fc.constantFrom(...NODES).map((name) => edit(`add ${name}`, ({ world }) => world.node(name))),
);
const edits: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 6, arbitrary: written },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom("Succeeded" as const, "Failed" as const, "Running" as const)
      .map((phase) => edit(`jobs ${phase}`, ({ world }) => world.agentsRun(phase))),
  },
  { weight: 4, arbitrary: fc.constant(edit("pass", (scene) => scene.controller.pass())) },
  {
    weight: 3,
    arbitrary: written.map(({ text, run }) =>
      edit(`pass, and meanwhile ${text}`, async (scene) => {
        scene.meddle = run;
        await scene.controller.pass();
        scene.meddle = undefined;
      }),
    ),
  },
  fc.constant(
    edit("a pass is killed", async (scene) => {
      scene.world.store.failures.push(new Error("killed"));
      await scene.controller.pass().catch(() => {});
      scene.world.store.failures.length = 0;
      scene.restart();
    }),
  ),
  fc.constant(edit("30 minutes", ({ world }) => world.clock.advance(30 * 60_000))),
);

test("queues, gangs and evictions under random edits, crashes and conflicts: room, gangs whole, and an end", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(edits, { minLength: 10, maxLength: 30 }), async (list) => {
      const scene = new Scene();
      const { world } = scene;
      await scene.open();
      for (const { run } of list) {
        await run(scene);
        expectRoom(world);
        expect(scene.partGangs).toEqual([]);
      }
      // Comes to rest: nothing is evicted in a circle.
      await world.converge(scene.controller);
      expectRoom(world);
      // A hub that knows only what is stored would do nothing else: no room is held for nobody, and none is given twice.
      const placed = placedTexts(world);
      await world.converge(world.controller());
      expect(placedTexts(world)).toEqual(placed);
    }),
    { seed: 7, numRuns: 60 },
  );
});

function placedTexts(world: World): readonly string[] {
  return world
    .assignments()
    .map((a: ObjectOf<"Assignment">) => `${a.metadata.name} ${a.spec.node ?? "-"}`);
}
