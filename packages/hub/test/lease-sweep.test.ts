import {
  LEASE_LOST_AFTER_MS,
  LEASE_SUSPECT_AFTER_MS,
  type NodeLife,
} from "@flotilla/shared/model/lease";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import fc from "fast-check";
import { expect, test } from "vitest";
import { LEASE_SWEEP_INTERVAL_MS, SWEEP_PAUSE_MS_MAX } from "../src/app/node/lease-sweep.ts";
import { hubCore, put } from "./support/hub-core.ts";
import { MemoryStore } from "./support/memory-store.ts";
import { edgeNode } from "./support/node-builders.ts";

async function setUp(...lives: readonly NodeLife[]) {
  const store = new MemoryStore();
  await put(store, ...lives.map((life, i) => edgeNode(`n${i}`, { life })));
  const hub = hubCore(store);
  const lifeOf = (i = 0) => store.get("EdgeNode", "", `n${i}`)?.status?.life;
  const readyOf = (i = 0) =>
    store.get("EdgeNode", "", `n${i}`)?.status?.conditions?.find((c) => c.type === "Ready");
  const hear = (i = 0) => hub.leases.renew(`n${i}`, hub.clock.bootMs());
  const start = () => {
    const end = new AbortController();
    const running = hub.sweep.run(end.signal);
    return async () => {
      end.abort();
      await running;
    };
  };
  return { ...hub, store, lifeOf, readyOf, hear, start };
}

test("a node that falls silent is suspect after its lease and lost long after, each with condition and event", async () => {
  const { clock, lifeOf, readyOf, events, start } = await setUp("ready");
  const stop = start();
  await clock.advance(LEASE_SUSPECT_AFTER_MS - 1);
  expect(lifeOf()).toBe("ready");
  await clock.advance(LEASE_SWEEP_INTERVAL_MS);
  expect(lifeOf()).toBe("suspect");
  expect(readyOf()).toMatchObject({ status: "Unknown", reason: "NodeSuspect" });
  await clock.advance(LEASE_LOST_AFTER_MS - LEASE_SWEEP_INTERVAL_MS);
  expect(lifeOf()).toBe("suspect");
  await clock.advance(2 * LEASE_SWEEP_INTERVAL_MS);
  expect(lifeOf()).toBe("lost");
  expect(readyOf()).toMatchObject({ reason: "NodeLost" });
  expect(events.map((e) => e.reason)).toEqual(["NodeSuspect", "NodeLost"]);
  await stop();
});

test("a node that is heard in time stays ready, and the sweep writes nothing", async () => {
  const { clock, hear, start, store, lifeOf } = await setUp("ready");
  const stop = start();
  const { revision } = store;
  for (let i = 0; i < 100; i++) {
    hear();
    await clock.advance(LEASE_SUSPECT_AFTER_MS - 1000);
  }
  expect(lifeOf()).toBe("ready");
  expect(store.revision).toBe(revision);
  await stop();
});

test("a hub that starts gives ready nodes a fresh lease, and leaves the others as they are", async () => {
  const { clock, lifeOf, start } = await setUp("ready", "suspect", "lost", "registered");
  const stop = start();
  await clock.advance(LEASE_SUSPECT_AFTER_MS - 1);
  expect([0, 1, 2, 3].map(lifeOf)).toEqual(["ready", "suspect", "lost", "registered"]);
  await clock.advance(LEASE_LOST_AFTER_MS + LEASE_SUSPECT_AFTER_MS);
  expect([0, 1, 2, 3].map(lifeOf)).toEqual(["lost", "lost", "lost", "registered"]);
  await stop();
});

test.each([
  ["to 1970", 0],
  ["a year ahead", 1_750_000_000_000 + 365 * 86_400_000],
])("a wall clock that jumps %s changes no life", async (_, wallMs) => {
  const { clock, lifeOf, hear, start } = await setUp("ready");
  const stop = start();
  hear();
  clock.setWall(wallMs);
  await clock.advance(2 * LEASE_SWEEP_INTERVAL_MS);
  expect(lifeOf()).toBe("ready");
  await clock.advance(LEASE_SUSPECT_AFTER_MS);
  expect(lifeOf()).toBe("suspect");
  await stop();
});

test("a hub that was suspended declares nobody lost: every node gets a whole lease to come back", async () => {
  const { clock, lifeOf, start, metrics } = await setUp("ready", "suspect");
  const stop = start();
  await clock.advance(LEASE_SWEEP_INTERVAL_MS);
  clock.suspend(30 * 86_400_000);
  await clock.advance(LEASE_SUSPECT_AFTER_MS - LEASE_SWEEP_INTERVAL_MS);
  expect([0, 1].map(lifeOf)).toEqual(["ready", "suspect"]);
  expect(metrics.total("flotilla_hub_lease_sweep_pauses_total")).toBe(1);
  await clock.advance(4 * LEASE_SWEEP_INTERVAL_MS);
  expect([0, 1].map(lifeOf)).toEqual(["suspect", "suspect"]);
  await stop();
});

test("a store that failed for a while makes nobody lost when it is back", async () => {
  const { clock, lifeOf, sweep, store } = await setUp("ready");
  await sweep.sweep();
  await clock.advance(LEASE_SUSPECT_AFTER_MS - 1000);
  await sweep.sweep();
  store.failures.push(new Error("disk full"));
  await clock.advance(SWEEP_PAUSE_MS_MAX - 1);
  await expect(sweep.sweep()).rejects.toThrow("disk full");
  expect(lifeOf()).toBe("ready");
  await clock.advance(LEASE_LOST_AFTER_MS * 2);
  await sweep.sweep();
  expect(lifeOf()).toBe("ready");
});

test("one node that is written meanwhile does not keep the sweep from the others", async () => {
  const { clock, lifeOf, sweep, store } = await setUp("ready", "ready");
  await sweep.sweep();
  for (let i = 0; i < 8; i++) {
    await clock.advance(LEASE_SWEEP_INTERVAL_MS);
    if (i === 7) {
      let meddled = false;
      store.beforeCommit = async () => {
        const node = store.get("EdgeNode", "", "n0");
        if (meddled || node === undefined) return;
        meddled = true;
        await put(store, { ...node, spec: { site: "elsewhere" } });
      };
    }
    await sweep.sweep();
  }
  expect(lifeOf(1)).toBe("suspect");
  expect(store.get("EdgeNode", "", "n0")?.spec.site).toBe("elsewhere");
  await clock.advance(LEASE_SWEEP_INTERVAL_MS);
  await sweep.sweep();
  expect(lifeOf(0)).toBe("suspect");
});

test("a slow store with writers that come in between does not make a sweep look like a pause of the hub", async () => {
  const names = Array.from({ length: 60 }, (_, i) => i);
  const { clock, sweep, store, lifeOf, leases } = await setUp(...names.map(() => "ready" as const));
  for (const i of names) leases.renew(`n${i}`, clock.bootMs());
  await sweep.sweep();
  await clock.advance(LEASE_SUSPECT_AFTER_MS - 1);
  await sweep.sweep();
  await clock.advance(LEASE_SWEEP_INTERVAL_MS);
  let isWritten = false;
  store.beforeCommit = async () => {
    await clock.sleep(400);
    if (isWritten) return;
    isWritten = true;
    store.beforeCommit = () => clock.sleep(400);
    await put(store, edgeNode("n0", { life: "ready", epoch: 5 }));
  };
  const startMs = clock.bootMs();
  let tookMs = Number.POSITIVE_INFINITY;
  const sweeping = sweep.sweep().then(() => {
    tookMs = clock.bootMs() - startMs;
  });
  await clock.advance(60_000);
  await sweeping;
  expect(names.filter((i) => lifeOf(i) !== "suspect").length).toBeLessThan(2);
  expect(tookMs).toBeLessThan(LEASE_SWEEP_INTERVAL_MS);
});

test("a node that was deleted is forgotten", async () => {
  const { clock, sweep, store, leases, hear } = await setUp("ready");
  hear();
  await store.commit({
    changes: [
      { key: { kind: "EdgeNode", namespace: "", name: "n0" }, expect: "any", object: undefined },
    ],
  });
  await sweep.sweep();
  expect(leases.ageMs("n0", clock.bootMs())).toBeUndefined();
});

/** What can happen to one node and its hub; times in milliseconds. */
const step = fc.oneof(
  fc.record({ kind: fc.constant("hear" as const) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 200_000 }) }),
  fc.record({ kind: fc.constant("suspend" as const), ms: fc.integer({ min: 1, max: 1e9 }) }),
  fc.record({ kind: fc.constant("wall" as const), ms: fc.integer({ min: 0, max: 2e12 }) }),
  fc.record({ kind: fc.constant("restart" as const) }),
);

test("whatever time does, the invariants of the life of a node hold (SPEC.md)", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const store = new MemoryStore();
      await put(store, edgeNode("n0"));
      const clock = new ManualClock();
      let hub = hubCore(store, clock);
      let end = new AbortController();
      let running = hub.sweep.run(end.signal);
      // The model: awake milliseconds since the node was last heard, or was given a lease by a start or a pause.
      let heardAtMs = 0;
      let everHeard = false;
      let awakeMs = 0;
      const check = () => {
        const life = store.get("EdgeNode", "", "n0")?.status?.life;
        const silentMs = awakeMs - heardAtMs;
        const lostAfterMs = LEASE_SUSPECT_AFTER_MS + LEASE_LOST_AFTER_MS;
        const possible: readonly (NodeLife | undefined)[] = !everHeard
          ? ["registered"]
          : silentMs < LEASE_SUSPECT_AFTER_MS
            ? ["ready"]
            : silentMs < lostAfterMs
              ? ["ready", "suspect"]
              : ["ready", "suspect", "lost"];
        expect(possible).toContain(life);
      };
      for (const s of steps) {
        switch (s.kind) {
          case "hear":
            hub.leases.renew("n0", clock.bootMs());
            await hub.sweep.sweep();
            everHeard = true;
            heardAtMs = awakeMs;
            break;
          case "wait":
            await clock.advance(s.ms);
            awakeMs += s.ms;
            break;
          case "suspend":
            clock.suspend(s.ms);
            // Shorter than what is noticed as a pause, it counts like waiting.
            if (s.ms <= SWEEP_PAUSE_MS_MAX) awakeMs += s.ms;
            break;
          case "wall":
            clock.setWall(s.ms);
            break;
          case "restart":
            end.abort();
            await running;
            hub = hubCore(store, clock);
            end = new AbortController();
            running = hub.sweep.run(end.signal);
            break;
        }
        check();
      }
      expect(lostFromSuspectOnly(store)).toBe(true);
      await clock.advance(
        LEASE_SUSPECT_AFTER_MS + LEASE_LOST_AFTER_MS + 3 * LEASE_SWEEP_INTERVAL_MS,
      );
      const finalLife = store.get("EdgeNode", "", "n0")?.status?.life;
      expect(finalLife).toBe(everHeard ? "lost" : "registered");
      end.abort();
      await running;
    }),
    { seed: 42, numRuns: 150 },
  );
});

function lostFromSuspectOnly(store: MemoryStore): boolean {
  const lives = store.disk.log.map((e) =>
    "status" in e.object && e.object.status !== undefined && "life" in e.object.status
      ? e.object.status.life
      : undefined,
  );
  return lives.every((life, i) => life !== "lost" || lives[i - 1] === "suspect");
}
