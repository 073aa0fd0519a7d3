import { AssertionError } from "@flotilla/shared/kernel/assert";
import type { DesiredInstance, DeviceShare } from "@flotilla/shared/model/desired-state";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ManualNode } from "../../../test/support/manual-reconciler.ts";
import { instance, job } from "../../../test/support/reconcile-builders.ts";
import { runDigest } from "../../domain/reconcile/devices.ts";

test("what is desired is started, and then nothing is left to do", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["serve"]), instance("b", ["serve"])]);
  await node.passes(3);
  expect(node.runtime.running()).toHaveLength(2);
  expect(node.reconciler.snapshot().steps).toEqual([]);
  expect(node.store.convergedRevision()).toBe(1);
  expect(node.reconciler.reported().instances.map((i) => [i.phase, i.ready])).toEqual([
    ["Running", true],
    ["Running", true],
  ]);
});

test("a new agent, a new revision and an edit elsewhere restart nothing that is right", async () => {
  const node = new ManualNode();
  const a = instance("a", ["serve"]);
  node.want([a, instance("b", ["serve"])]);
  await node.passes(3);
  const before = node.processOf("a");
  node.restartAgent();
  node.want([a, instance("b", ["serve", "other"])]);
  await node.passes(10);
  expect(node.processOf("a")).toEqual(before);
  expect(node.record("a")?.restartCount).toBe(0);
  expect(node.runtime.starts.filter((s) => s === "a/main")).toHaveLength(1);
  expect(node.runtime.starts.filter((s) => s === "b/main")).toHaveLength(2);
  expect(node.record("b")?.restartCount).toBe(0);
});

test("a changed spec is stopped with grace and killed after it, then started", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["stubborn"])]);
  await node.passes(2);
  node.want([instance("a", ["serve"])]);
  await node.passes(5);
  expect(node.reconciler.reported().instances[0]).toMatchObject({
    phase: "Stopping",
    reason: "SpecChanged",
  });
  expect(node.reconciler.snapshot().steps).toMatchObject([{ kind: "wait", reason: "Stopping" }]);
  await node.passes(30);
  expect(node.runtime.running()).toEqual([`a@${instance("a", ["serve"]).specDigest}`]);
});

test("a program that ends at once is started again ever more slowly, without end", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["exit", "3"])]);
  await node.passes(160);
  // 0 s, 1 s, 3 s, 7 s, 15 s and the way of each through its pass.
  expect(node.runtime.starts.length).toBe(5);
  expect(node.record("a")).toMatchObject({ intent: "idle", failureCount: 5, exitCode: 3 });
  expect(node.reconciler.snapshot().steps).toMatchObject([{ kind: "wait", reason: "BackOff" }]);
  await node.passes(4_000, 1_000);
  const lastHour = node.runtime.starts.length;
  await node.passes(3_600, 1_000);
  expect(node.runtime.starts.length - lastHour).toBeGreaterThanOrEqual(11);
  expect(node.runtime.starts.length - lastHour).toBeLessThanOrEqual(12);
});

test("a run of ten minutes clears the failures before it", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["serve"])]);
  for (let i = 0; i < 3; i++) {
    await node.passes(60);
    node.runtime.killOne("a", 0);
  }
  await node.passes(60);
  expect(node.record("a")).toMatchObject({ failureCount: 3, restartCount: 3 });
  await node.passes(601, 1_000);
  node.runtime.killOne("a", 0);
  await node.passes(1);
  expect(node.record("a")).toMatchObject({ failureCount: 1 });
});

test("a reboot starts everything again from local state and counts no failure", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["serve"]), job("j", ["serve"])]);
  await node.passes(3);
  node.reboot();
  await node.passes(3);
  expect(node.runtime.running()).toHaveLength(2);
  expect(node.record("a")).toMatchObject({ failureCount: 0, intent: "running" });
  expect(node.record("j")).toMatchObject({ failureCount: 0, intent: "running" });
});

test("a Job runs to its success once, whatever the agent does meanwhile", async () => {
  const node = new ManualNode();
  node.want([job("j", ["exit", "0"])]);
  node.reconciler.pass();
  node.runtime.settle();
  node.restartAgent();
  await node.passes(50);
  expect(node.runtime.starts).toHaveLength(1);
  expect(node.reconciler.reported().instances[0]).toMatchObject({
    phase: "Succeeded",
    exitCode: 0,
    reason: "Completed",
  });
  node.reboot();
  await node.passes(10);
  expect(node.runtime.starts).toHaveLength(1);
});

test("a Job that fails is tried again up to its limit and has then failed for good", async () => {
  const node = new ManualNode();
  node.want([job("j", ["exit", "3"], { backoffLimit: 2 })]);
  await node.passes(200);
  expect(node.runtime.starts).toHaveLength(3);
  expect(node.reconciler.reported().instances[0]).toMatchObject({
    phase: "Failed",
    exitCode: 3,
    reason: "BackoffLimitExceeded",
    restartCount: 2,
  });
});

test("a Job that runs past its deadline is stopped and has failed", async () => {
  const node = new ManualNode();
  node.want([job("j", ["serve"], { activeDeadlineSeconds: 5 })]);
  await node.passes(100);
  expect(node.runtime.running()).toEqual([]);
  expect(node.reconciler.reported().instances[0]).toMatchObject({
    phase: "Failed",
    reason: "DeadlineExceeded",
  });
});

test("a Deployment with OnFailure that ends well is done, one with Never is not tried again", async () => {
  const node = new ManualNode();
  node.want([
    instance("ok", ["exit", "0"], { restartPolicy: "OnFailure" }),
    instance("never", ["exit", "1"], { restartPolicy: "Never" }),
  ]);
  await node.passes(100);
  expect(node.runtime.starts).toHaveLength(2);
  expect(node.reconciler.reported().instances.map((i) => i.phase)).toEqual(["Failed", "Succeeded"]);
});

test("containers live and die together", async () => {
  const node = new ManualNode();
  const containers = [
    { name: "main", command: ["serve"] },
    { name: "side", command: ["serve"] },
  ];
  node.want([instance("a", [], { containers })]);
  await node.passes(2);
  const before = node.processOf("a");
  node.runtime.killOne("a", 1);
  await node.passes(40);
  expect(node.runtime.running()).toHaveLength(2);
  expect(node.processOf("a")).not.toEqual(before);
  expect(node.record("a")).toMatchObject({ restartCount: 1 });
});

test("children that outlive their parent are stopped before the next start", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["fork"])]);
  await node.passes(2);
  node.runtime.killOne("a", 0);
  await node.passes(1);
  expect(node.record("a")).toMatchObject({ intent: "stopping" });
  await node.passes(40);
  expect(node.runtime.findAll()).toHaveLength(2);
  expect(node.runtime.violations).toEqual([]);
});

test("a command that does not exist says so and is tried again after a back-off", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["missing"])]);
  await node.passes(5);
  expect(node.reconciler.reported().instances[0]).toMatchObject({
    phase: "Pending",
    reason: "CommandNotFound",
    restartCount: 0,
  });
  expect(node.reconciler.snapshot().steps).toMatchObject([{ kind: "wait", reason: "BackOff" }]);
  expect(node.store.convergedRevision()).toBe(0);
});

test("liveness failures restart, readiness only says so", async () => {
  const node = new ManualNode();
  const probe = { exec: { command: ["check"] }, periodSeconds: 1, failureThreshold: 3 };
  const alive = [{ name: "main", command: ["serve"], livenessProbe: probe }];
  const ready = [{ name: "main", command: ["serve"], readinessProbe: probe }];
  node.want([
    instance("alive", [], { containers: alive }),
    instance("ready", [], { containers: ready }),
  ]);
  await node.passes(10);
  expect(node.reconciler.reported().instances.map((i) => i.ready)).toEqual([true, true]);
  node.probes.answer = { ok: false, message: "status 500" };
  await node.passes(35);
  expect(node.record("ready")).toMatchObject({ restartCount: 0, intent: "running" });
  expect(node.reconciler.reported().instances[1]).toMatchObject({
    ready: false,
    reason: "NotReady",
  });
  await node.passes(30);
  expect(node.record("alive")?.restartCount).toBeGreaterThan(0);
  expect(node.metrics.total("flotilla_agent_probe_failures_total")).toBeGreaterThan(3);
});

test("a startup probe gates the others", async () => {
  const node = new ManualNode();
  const probe = { exec: { command: ["check"] }, periodSeconds: 1 };
  const containers = [
    {
      name: "main",
      command: ["serve"],
      startupProbe: { ...probe, failureThreshold: 100 },
      livenessProbe: { ...probe, failureThreshold: 1 },
    },
  ];
  node.probes.answer = { ok: false, message: "not yet" };
  node.want([instance("a", [], { containers })]);
  await node.passes(100);
  expect(node.record("a")).toMatchObject({ intent: "running", restartCount: 0 });
  expect(node.reconciler.reported().instances[0]).toMatchObject({ ready: false });
  node.probes.answer = { ok: true, message: "" };
  await node.passes(30);
  expect(node.reconciler.reported().instances[0]).toMatchObject({ ready: true });
});

test("with a lost store what runs is left alone until a desired state is known, and then taken over", async () => {
  const node = new ManualNode();
  const a = instance("a", ["serve"]);
  node.want([a, instance("b", ["serve"])]);
  await node.passes(2);
  node.loseStore();
  await node.passes(100);
  expect(node.runtime.running()).toHaveLength(2);
  node.want([a]);
  await node.passes(20);
  expect(node.runtime.running()).toEqual([`a@${a.specDigest}`]);
  expect(node.runtime.starts).toHaveLength(2);
  expect(node.record("a")).toMatchObject({ intent: "running", restartCount: 0 });
});

test("a stubborn run that nobody asks for is killed after its grace", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["stubborn"])]);
  await node.passes(2);
  node.loseStore();
  node.want([]);
  await node.passes(150);
  expect(node.runtime.running()).toEqual([]);
});

test("what was removed leaves nothing: process, record and log are gone", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["serve"])]);
  await node.passes(2);
  node.want([]);
  await node.passes(5);
  expect(node.runtime.running()).toEqual([]);
  expect(node.store.instances()).toEqual([]);
  expect(node.runtime.readLog({ instanceId: "a" })).toBeUndefined();
});

test("reports are queued when something changed, and only then", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["serve"])]);
  await node.passes(5);
  const waiting = () => node.store.outbox(100).filter((m) => m.kind === "report");
  const [first] = waiting();
  await node.passes(50, 1_000);
  expect(waiting()).toEqual([first]);
  expect(node.store.outbox(100).filter((m) => m.kind === "notice")).toHaveLength(1);
});

test("not more than a handful is started in one pass", async () => {
  const node = new ManualNode();
  node.want(Array.from({ length: 20 }, (_, i) => instance(`i${i}`, ["serve"])));
  node.reconciler.pass();
  expect(node.runtime.starts).toHaveLength(8);
  await node.passes(3);
  expect(node.runtime.starts).toHaveLength(20);
});

test("a full disk at the start of one workload leaves the others alone and is tried again", async () => {
  const node = new ManualNode();
  node.want([instance("a", ["serve"])]);
  await node.passes(2);
  const putInstance = node.store.putInstance.bind(node.store);
  node.store.putInstance = () => {
    throw new Error("database or disk is full");
  };
  node.want([instance("a", ["serve"]), instance("b", ["serve"])]);
  await node.passes(20);
  expect(node.runtime.running()).toHaveLength(1);
  expect(node.log.lines.filter((l) => l.level === "error")).toHaveLength(1);
  node.store.putInstance = putInstance;
  await node.passes(3);
  expect(node.runtime.running()).toHaveLength(2);
});

/** The agent dies here. */
class Death extends AssertionError {}

const PROGRAMS = [["serve"], ["serve", "v2"], ["stubborn"], ["fork"]] as const;

/** A program, and how much it is to have of which device. */
type Wish = Readonly<
  Record<string, { readonly command: readonly string[]; readonly devices: readonly DeviceShare[] }>
>;

const anyWish: fc.Arbitrary<Wish> = fc.dictionary(
  fc.constantFrom("a", "b", "c"),
  fc.record({
    command: fc.constantFrom(...PROGRAMS),
    devices: fc.uniqueArray(
      fc.record({
        uuid: fc.constantFrom("GPU-1", "GPU-2"),
        milli: fc.constantFrom(300, 500, 1_000),
      }),
      { maxLength: 2, selector: (d) => d.uuid },
    ),
  }),
);
const anyEvent = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("want" as const), wish: anyWish }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("passes" as const),
      count: fc.integer({ min: 1, max: 30 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("die" as const),
      afterDeeds: fc.integer({ min: 0, max: 8 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("kill" as const),
      id: fc.constantFrom("a", "b", "c"),
      choice: fc.nat(5),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reboot" as const) }) },
);

/** Makes every durable write and every deed of the node count, and lets the agent die before the n-th. Returns the undoing. */
function armDeath(node: ManualNode, afterDeeds: number): () => void {
  let left = afterDeeds;
  const deed = (): void => {
    if (left-- <= 0) throw new Death("the agent dies");
  };
  const { runtime, store } = node;
  const putInstance = store.putInstance.bind(store);
  const deleteInstance = store.deleteInstance.bind(store);
  runtime.beforeDeed = deed;
  store.putInstance = (record) => {
    deed();
    putInstance(record);
  };
  store.deleteInstance = (id) => {
    deed();
    deleteInstance(id);
  };
  return () => {
    runtime.beforeDeed = () => undefined;
    store.putInstance = putInstance;
    store.deleteInstance = deleteInstance;
  };
}

async function dieDuringPasses(node: ManualNode, afterDeeds: number): Promise<void> {
  const disarm = armDeath(node, afterDeeds);
  try {
    await node.passes(30);
  } catch (error) {
    if (!(error instanceof Death)) throw error;
  } finally {
    disarm();
  }
  node.restartAgent();
}

/** As a hub would ask for it: no device is given away beyond its whole; who comes too late gets none of it. */
function wished(wish: Wish): DesiredInstance[] {
  const given = new Map<string, number>();
  return Object.entries(wish).map(([id, { command, devices }]) => {
    const own = devices.filter(({ uuid, milli }) => (given.get(uuid) ?? 0) + milli <= 1_000);
    for (const { uuid, milli } of own) given.set(uuid, (given.get(uuid) ?? 0) + milli);
    return instance(id, command, own.length === 0 ? {} : { devices: own });
  });
}

test("whatever happens, and wherever agents die, there is never a second copy and in the end observed is desired", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyEvent, { minLength: 1, maxLength: 25 }), async (events) => {
      const node = new ManualNode();
      let wish: Wish = {};
      for (const event of events) {
        if (event.kind === "want") {
          wish = event.wish;
          node.want(wished(wish));
        } else if (event.kind === "passes") await node.passes(event.count);
        else if (event.kind === "die") await dieDuringPasses(node, event.afterDeeds);
        else if (event.kind === "kill") node.runtime.killOne(event.id, event.choice);
        else node.reboot();
      }
      await node.passes(140, 5_000);
      const expected = wished(wish)
        .map((i) => `${i.id}@${runDigest(i)}`)
        .sort();
      expect(node.runtime.running()).toEqual(expected);
      expect(node.runtime.violations).toEqual([]);
      expect(node.reconciler.snapshot().steps).toEqual([]);
      expect(node.store.convergedRevision()).toBe(node.revision);
    }),
    { seed: 42, numRuns: 120 },
  );
}, 60_000);

test("devices change hands: the new holder waits, says for whom, and starts when they are free", async () => {
  const node = new ManualNode();
  const share = (milli: number) => ({ devices: [{ uuid: "GPU-1", milli }] });
  node.want([instance("a", ["stubborn"], share(1_000))]);
  await node.passes(2);
  node.want([instance("b", ["serve"], share(600)), instance("c", ["serve"], share(400))]);
  await node.passes(5);
  expect(node.runtime.running()).toHaveLength(1);
  expect(node.reconciler.snapshot().steps).toMatchObject([
    { id: "a", kind: "wait", reason: "Stopping" },
    { id: "b", reason: "DeviceBusy", message: "device GPU-1 is still in use by a" },
    { id: "c", reason: "DeviceBusy" },
  ]);
  await node.passes(30);
  expect(node.runtime.running()).toEqual(
    [instance("b", ["serve"], share(600)), instance("c", ["serve"], share(400))].map(
      (i) => `${i.id}@${runDigest(i)}`,
    ),
  );
  expect(node.runtime.violations).toEqual([]);
});

test("two instances that exchange their devices are both stopped before either is started", async () => {
  const node = new ManualNode();
  const on = (id: string, uuid: string) =>
    instance(id, ["serve"], { devices: [{ uuid, milli: 1_000 }] });
  node.want([on("a", "GPU-1"), on("b", "GPU-2")]);
  await node.passes(3);
  node.want([on("a", "GPU-2"), on("b", "GPU-1")]);
  await node.passes(10);
  expect(node.runtime.running()).toEqual([
    `a@${runDigest(on("a", "GPU-2"))}`,
    `b@${runDigest(on("b", "GPU-1"))}`,
  ]);
  expect(node.runtime.violations).toEqual([]);
});

test("a Job that has finished is not run again because its device is another one", async () => {
  const node = new ManualNode();
  const on = (uuid: string) => job("j", ["exit", "0"], { devices: [{ uuid, milli: 1_000 }] });
  node.want([on("GPU-1")]);
  await node.passes(10);
  node.want([on("GPU-2")]);
  await node.passes(10);
  expect(node.runtime.starts).toHaveLength(1);
});

test("a start that an agent's death cuts short at any deed is repaired without a second copy or a restart", async () => {
  for (let afterDeeds = 0; afterDeeds <= 6; afterDeeds++) {
    const node = new ManualNode();
    const containers = [
      { name: "main", command: ["serve"] },
      { name: "side", command: ["serve"] },
    ];
    node.want([instance("a", ["serve"]), instance("b", [], { containers })]);
    await dieDuringPasses(node, afterDeeds);
    await node.passes(60);
    expect(node.runtime.violations).toEqual([]);
    expect(node.runtime.running()).toHaveLength(3);
    expect(node.record("a")?.restartCount).toBe(0);
    expect(node.runtime.starts.filter((s) => s === "a/main")).toHaveLength(1);
  }
});
