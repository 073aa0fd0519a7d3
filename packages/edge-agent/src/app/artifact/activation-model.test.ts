import fc from "fast-check";
import { expect, test } from "vitest";
import { ArtifactNode, pin } from "../../../test/support/artifact-node.ts";
import { instance } from "../../../test/support/reconcile-builders.ts";

/**
 * Whatever happens to a node with artifacts: invariants 1, 5, 6, 7 and 8 of the design, by what `ArtifactNode` notes at each start
 * and after each pass, and by the slots themselves.
 */

/** Versions that end at once, and those that refuse to reload, whatever is tried. */
const CRASHING = 3;
const STUBBORN = 4;

interface Wish {
  readonly counter: number;
  readonly reload: "restart" | "signal" | "http" | "none";
  readonly program: "serve" | "stubborn";
}

/** What the hub would want: another digest for another program, and for another version that is switched by a restart. */
function wished(id: string, { counter, reload, program }: Wish) {
  const http = { port: 8080, path: `/reload/${counter}` };
  const own = pin("detector", counter, { reload, ...(reload === "http" ? { http } : {}) });
  const specDigest = `${program}${reload === "restart" ? counter : ""}${reload}`;
  return instance(id, [program], { artifacts: [own, pin("labels", 1)], specDigest });
}

const anyWish: fc.Arbitrary<Wish> = fc.record({
  counter: fc.integer({ min: 1, max: 5 }),
  reload: fc.constantFrom("restart", "restart", "signal", "http", "none"),
  program: fc.constantFrom("serve", "serve", "stubborn"),
});
const IDS = ["a", "b"] as const;
const anyId = fc.constantFrom(...IDS);
const one = <K extends string>(kind: K) => fc.constant(kind);
const anyEvent = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: one("want"),
      wishes: fc.dictionary(anyId, anyWish, { maxKeys: 2 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: one("passes"), count: fc.integer({ min: 1, max: 40 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: one("die"), afterDeeds: fc.integer({ min: 0, max: 60 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: one("reboot") }) },
  { weight: 2, arbitrary: fc.record({ kind: one("kill"), id: anyId }) },
  { weight: 3, arbitrary: fc.record({ kind: one("online"), isOnline: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: one("ready"), isReady: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: one("lock"), forMs: fc.constantFrom(500, 30_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: one("lock-file"), id: anyId }) },
  { weight: 1, arbitrary: fc.record({ kind: one("damage"), id: anyId }) },
  { weight: 1, arbitrary: fc.record({ kind: one("retry"), id: anyId }) },
);
type Event = typeof anyEvent extends fc.Arbitrary<infer T> ? T : never;

class Model {
  readonly node = new ArtifactNode();
  wishes: Readonly<Partial<Record<string, Wish>>> = {};
  isReady = true;
  hadDamage = false;

  constructor() {
    const { node } = this;
    node.runtime.crashes = (id) => node.activeCounter(id) === CRASHING;
    node.probe = () => ({ ok: this.isReady, message: "not now" });
    node.answerPost = (path) => ({ ok: !path.endsWith(String(STUBBORN)), message: "status 500" });
  }

  async take(event: Event): Promise<void> {
    const { node } = this;
    switch (event.kind) {
      case "want":
        this.wishes = event.wishes;
        this.want();
        return;
      case "passes":
        return node.passes(event.count);
      case "die":
        await node.die(event.afterDeeds);
        return;
      case "reboot":
        return node.reboot();
      case "kill":
        node.runtime.killOne(event.id, 0);
        return;
      case "online":
        node.sources.isOnline = event.isOnline;
        node.trust.isOnline = event.isOnline;
        return;
      case "ready":
        this.isReady = event.isReady;
        return;
      case "lock":
        node.activation.locks.lock({ reason: "busy", forMs: event.forMs });
        return;
      case "lock-file":
        node.lockFiles.set(event.id, { reason: "busy", changedWallMs: node.clock.wallMs() });
        return;
      case "damage":
        if (node.activeCounter(event.id) !== undefined) node.damage(event.id);
        this.hadDamage = true;
        return;
      case "retry":
        if (node.slots(event.id) !== undefined) node.retry(event.id);
    }
  }

  want(): void {
    this.node.want(
      Object.entries(this.wishes).flatMap(([id, wish]) =>
        wish === undefined ? [] : [wished(id, wish)],
      ),
    );
  }

  /** In what the node is not as it has to be in the end; undefined: in nothing. */
  shortfallOf(id: string): unknown {
    const wish = this.wishes[id];
    const slots = this.node.slots(id);
    if (wish === undefined) return slots;
    const told = this.node.reported(id);
    const phase = told?.artifacts?.[0]?.phase;
    const hasFailed = phase === "RolledBack" || phase === "Failed";
    if (hasFailed && wish.counter === CRASHING) return undefined;
    if (phase === "RolledBack" && wish.counter === STUBBORN) return undefined;
    // What crashes at its start may go on under a workload that is not started.
    const isMet =
      !(wish.counter === CRASHING && wish.reload === "restart") &&
      this.node.activeCounter(id) === wish.counter &&
      phase === "Active" &&
      told?.phase === "Running" &&
      told.ready &&
      slots?.phase === "committed" &&
      slots.reloads.length === 0;
    return isMet ? undefined : { id, wish, told, slots };
  }

  /** Everything works from here on; what failed for other reasons than its own is asked for again. */
  async calm(): Promise<void> {
    const { node } = this;
    this.isReady = true;
    node.sources.isOnline = true;
    node.trust.isOnline = true;
    node.lockFiles.clear();
    node.activation.locks.unlock(undefined);
    await node.passes(60, 5_000);
    for (const id of IDS) if (node.slots(id) !== undefined) node.retry(id);
    await node.passes(200, 5_000);
  }
}

test("whatever happens, what runs was asked for, whole and signed; what failed is not tried again; in the end the wish is met", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyEvent, { minLength: 1, maxLength: 30 }), async (events) => {
      const model = new Model();
      const { node } = model;
      for (const event of events) {
        await model.take(event);
        expect(node.violations).toEqual([]);
        expect(node.runtime.violations).toEqual([]);
      }
      await model.calm();
      expect(node.violations).toEqual([]);
      for (const id of IDS) expect(model.shortfallOf(id)).toBeUndefined();
    }),
    { seed: 42, numRuns: 60 },
  );
}, 120_000);

test("wherever an agent dies while it updates, reloads or goes back, the next one ends it well", async () => {
  const cases = [
    { reload: "restart", to: 2, ends: 2 },
    { reload: "restart", to: CRASHING, ends: 1 },
    { reload: "http", to: 2, ends: 2 },
    { reload: "http", to: STUBBORN, ends: 1 },
  ] as const;
  for (const { ends, reload, to } of cases) {
    const begun = async (): Promise<ArtifactNode> => {
      const model = new Model();
      model.wishes = { a: { counter: 1, reload, program: "serve" } };
      model.want();
      await model.node.passes(30);
      model.wishes = { a: { counter: to, reload, program: "serve" } };
      model.want();
      return model.node;
    };
    const deeds = await (await begun()).deeds();
    expect(deeds.length).toBeGreaterThan(20);
    for (const at of deeds) {
      const node = await begun();
      await node.die(at);
      await node.passes(60, 1_000);
      expect(node.violations).toEqual([]);
      const counter = node.activeCounter("a");
      expect({ reload, to, at, counter }).toEqual({ reload, to, at, counter: ends });
      expect(node.runtime.running()).toHaveLength(1);
    }
  }
}, 120_000);
