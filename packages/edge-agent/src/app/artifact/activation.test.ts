import { expect, test } from "vitest";
import { release } from "../../../test/support/artifact-fakes.ts";
import { ArtifactNode, pin } from "../../../test/support/artifact-node.ts";
import { instance } from "../../../test/support/reconcile-builders.ts";

/** An instance whose spec, as the hub would digest it, covers what is switched by a restart. */
function withPins(id: string, pins: readonly ReturnType<typeof pin>[], command = ["serve"]) {
  const restarting = pins.filter((p) => p.reload === "restart").map((p) => `${p.name}${p.counter}`);
  const plain = instance(id, command);
  const specDigest = `${plain.specDigest}+${restarting.join()}`;
  return instance(id, command, { artifacts: [...pins], specDigest });
}

const detector = (counter: number, more: Parameters<typeof pin>[2] = {}) =>
  pin("detector", counter, more);

/** A node on which version 1 is good. */
async function withVersionOne(more: Parameters<typeof pin>[2] = {}): Promise<ArtifactNode> {
  const node = new ArtifactNode();
  node.want([withPins("a", [detector(1, more)])]);
  await node.passes(30);
  expect(node.slots("a")).toMatchObject({ phase: "committed" });
  return node;
}

test("what it runs with is fetched and checked first, then it is started, and good after its window", async () => {
  const node = new ArtifactNode();
  node.sources.isOnline = false;
  node.want([withPins("a", [detector(1)])]);
  await node.passes(5);
  expect(node.runtime.running()).toEqual([]);
  expect(node.reconciler.snapshot().steps).toMatchObject([
    { kind: "wait", id: "a", reason: "ArtifactsPending" },
  ]);
  expect(node.reported("a")).toMatchObject({
    phase: "Pending",
    reason: "ArtifactsPending",
    artifacts: [{ name: "detector", version: "1.0.0", phase: "Downloading", percent: 0 }],
  });
  node.sources.isOnline = true;
  await node.passes(100);
  expect(node.runtime.running()).toHaveLength(1);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.sources.fetched[0]).toMatchObject({ isUrgent: true });
  expect(node.reported("a")).toMatchObject({
    phase: "Running",
    artifacts: [{ phase: "Active", activeVersion: "1.0.0" }],
  });
  expect(node.trust.installedTargets).toEqual(["models/detector/1/model.bin"]);
  expect(node.reconciler.snapshot().steps).toEqual([]);
  expect(node.reconciler.reported().artifacts).toMatchObject({
    held: [{ name: "detector", counter: 1 }],
  });
  expect(node.violations).toEqual([]);
});

test("a node without artifacts is told nothing of them", async () => {
  const node = new ArtifactNode();
  node.want([instance("a", ["serve"])]);
  await node.passes(5);
  const reported = node.reconciler.reported();
  expect(Object.keys(reported)).toEqual(["acceptedRevision", "convergedRevision", "instances"]);
  expect(reported.instances[0]).not.toHaveProperty("artifacts");
  expect(node.activation.book.all()).toEqual([]);
});

test("an update goes on beside the running version, and only the switch interrupts it", async () => {
  const node = await withVersionOne();
  const before = node.runtime.starts.length;
  node.sources.isOnline = false;
  node.want([withPins("a", [detector(2)])]);
  await node.passes(50);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.runtime.starts).toHaveLength(before);
  expect(node.reported("a")).toMatchObject({
    phase: "Running",
    ready: true,
    artifacts: [{ version: "2.0.0", phase: "Downloading", activeVersion: "1.0.0" }],
  });
  node.sources.isOnline = true;
  await node.passes(150);
  expect(node.activeCounter("a")).toBe(2);
  expect(node.sources.fetched.at(-1)).toMatchObject({ isUrgent: false, bases: 1 });
  expect(node.runtime.starts).toHaveLength(before + 1);
  expect(node.slots("a")).toMatchObject({ phase: "committed" });
  expect(node.reconciler.snapshot().steps).toEqual([]);
  expect(node.violations).toEqual([]);
});

test("a version that ends at once is gone back from after three tries, and not tried again until an operator asks", async () => {
  const node = await withVersionOne();
  node.runtime.crashes = (id) => node.activeCounter(id) === 2;
  node.want([withPins("a", [detector(2)])]);
  await node.passes(200);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.reported("a")).toMatchObject({
    phase: "Running",
    artifacts: [
      { version: "2.0.0", phase: "RolledBack", activeVersion: "1.0.0", reason: "CrashLoop" },
    ],
  });
  expect(node.notices()).toContain("ArtifactRolledBack");
  expect(node.reconciler.snapshot().steps).toMatchObject([
    { kind: "wait", id: "a", reason: "RolledBack" },
  ]);
  const starts = node.runtime.starts.length;
  expect(starts).toBe(1 + 3 + 1);
  await node.reboot();
  await node.passes(100, 1_000);
  expect(node.runtime.starts).toHaveLength(starts + 1);
  expect(node.activeCounter("a")).toBe(1);
  node.runtime.crashes = () => false;
  node.retry("a");
  await node.passes(100);
  expect(node.activeCounter("a")).toBe(2);
  expect(node.slots("a")).toMatchObject({ phase: "committed", failed: [] });
  expect(node.violations).toEqual([]);
});

test("a version that does not become ready in time, or is unhealthy, is gone back from", async () => {
  for (const kind of ["readinessProbe", "livenessProbe"] as const) {
    const node = new ArtifactNode();
    const probe = { exec: { command: ["check"] }, periodSeconds: 1, failureThreshold: 3 };
    const containers = [{ name: "main", command: ["serve"], [kind]: probe }];
    const at = (counter: number) =>
      instance("a", [], {
        containers,
        artifacts: [detector(counter, { healthWindowMs: 10_000 })],
        specDigest: `d${counter}`,
      });
    node.probe = (id) => ({ ok: node.activeCounter(id) !== 2, message: "no answer" });
    node.want([at(1)]);
    await node.passes(200);
    expect(node.slots("a")).toMatchObject({ phase: "committed" });
    node.want([at(2)]);
    await node.passes(400, 1_000);
    expect(node.activeCounter("a")).toBe(1);
    expect(node.reported("a")?.artifacts).toMatchObject([
      { phase: "RolledBack", reason: kind === "readinessProbe" ? "NotReady" : "LivenessFailed" },
    ]);
    expect(node.reported("a")).toMatchObject({ ready: true });
    expect(node.violations).toEqual([]);
  }
});

test("a first version that fails is tried on, and says so", async () => {
  const node = new ArtifactNode();
  node.runtime.crashes = () => true;
  node.want([withPins("a", [detector(1)])]);
  await node.passes(200);
  expect(node.reported("a")).toMatchObject({
    artifacts: [{ phase: "Failed", reason: "CrashLoop" }],
  });
  expect(node.notices()).toContain("ArtifactFailed");
  // Another version takes its place, and is on trial in turn.
  node.runtime.crashes = (id) => node.activeCounter(id) !== 2;
  node.want([withPins("a", [detector(2)])]);
  await node.passes(100);
  expect(node.reported("a")).toMatchObject({ artifacts: [{ phase: "Active" }] });
  expect(node.violations).toEqual([]);
});

test("under a running workload files are switched first, then it is told, by signal, by POST or not at all", async () => {
  const http = { port: 8080, path: "/reload" };
  for (const more of [
    { reload: "signal" as const, signal: "SIGUSR1" as const },
    { reload: "http" as const, http },
    { reload: "none" as const },
  ]) {
    const node = await withVersionOne(more);
    const process = node.reconciler.snapshot().records[0]?.processes;
    node.want([withPins("a", [detector(2, more)])]);
    await node.passes(50);
    expect(node.activeCounter("a")).toBe(2);
    expect(node.reconciler.snapshot().records[0]?.processes).toEqual(process);
    expect(node.runtime.told).toEqual(more.reload === "signal" ? ["a/main SIGUSR1"] : []);
    expect(node.posts).toEqual(more.reload === "http" ? ["/reload"] : []);
    expect(node.slots("a")).toMatchObject({ phase: "committed", reloads: [] });
    expect(node.reconciler.snapshot().steps).toEqual([]);
    expect(node.violations).toEqual([]);
  }
});

test("a workload that refuses to reload gets its last good files back, under it", async () => {
  const more = { reload: "http" as const, http: { port: 8080, path: "/reload" } };
  const node = await withVersionOne(more);
  const starts = node.runtime.starts.length;
  node.answerPost = () => ({ ok: false, message: "status 500" });
  node.want([withPins("a", [detector(2, more)])]);
  await node.passes(10);
  node.answerPost = () => ({ ok: true, message: "" });
  await node.passes(100);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.reported("a")?.artifacts).toMatchObject([
    { phase: "RolledBack", reason: "ReloadFailed", message: "POST /reload: status 500" },
  ]);
  expect(node.runtime.starts).toHaveLength(starts);
  expect(node.slots("a")).toMatchObject({ phase: "committed", reloads: [] });
});

test("one that does not take them back either is started again with them", async () => {
  const more = { reload: "http" as const, http: { port: 8080, path: "/reload" } };
  const node = await withVersionOne(more);
  const starts = node.runtime.starts.length;
  node.answerPost = () => ({ ok: false, message: "status 500" });
  node.want([withPins("a", [detector(2, more)])]);
  await node.passes(300);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.runtime.starts).toHaveLength(starts + 1);
  expect(node.slots("a")).toMatchObject({ phase: "committed", reloads: [] });
});

test("a lock of an operator holds the switch back, not the download, not a removal, and outlives the agent", async () => {
  const node = await withVersionOne();
  node.activation.locks.lock({ instance: "a", reason: "shift runs", forMs: 60_000 });
  node.want([withPins("a", [detector(2)]), instance("b", ["serve"])]);
  await node.passes(50);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.slots("a")).toMatchObject({ phase: "prepared" });
  expect(node.reported("a")?.artifacts).toMatchObject([
    { phase: "Prepared", reason: "UpdateLocked", activeVersion: "1.0.0" },
  ]);
  expect(node.reconciler.snapshot().steps).toMatchObject([
    { id: "a", reason: "UpdateLocked", message: expect.stringContaining("shift runs") },
  ]);
  expect(node.runtime.running()).toHaveLength(2);
  await node.restartAgent();
  await node.passes(50);
  expect(node.activeCounter("a")).toBe(1);
  await node.passes(80, 1_000);
  expect(node.activeCounter("a")).toBe(2);
  node.activation.locks.lock({ reason: "all of it", forMs: 3_600_000 });
  node.want([instance("b", ["serve", "v2"])]);
  await node.passes(50);
  // `a` is gone, `b` waits with its new spec though it has no artifacts.
  expect(node.runtime.running()).toEqual([`b@${instance("b", ["serve"]).specDigest}`]);
  expect(node.reported("b")).toMatchObject({
    phase: "Running",
    message: expect.stringContaining("UpdateLocked: its new spec waits: locked by an operator"),
  });
  expect(node.activation.locks.unlock(undefined)).toBe(true);
  await node.passes(50);
  expect(node.runtime.running()).toEqual([`b@${instance("b", ["serve", "v2"]).specDigest}`]);
  expect(node.activation.book.all()).toEqual([]);
});

test("a lock file of the workload holds the switch back for a day at most", async () => {
  const node = await withVersionOne({ reload: "none" });
  node.lockFiles.set("a", { reason: "measuring", changedWallMs: node.clock.wallMs() + 10 ** 12 });
  node.want([withPins("a", [detector(2, { reload: "none" })])]);
  await node.passes(50);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.reported("a")?.artifacts).toMatchObject([
    { phase: "Prepared", reason: "UpdateLocked", message: expect.stringContaining("measuring") },
  ]);
  await node.passes(30, 3_600_000);
  expect(node.activeCounter("a")).toBe(2);
});

test("a reboot with no network starts everything again from local state", async () => {
  const node = await withVersionOne();
  node.sources.isOnline = false;
  node.trust.isOnline = false;
  await node.reboot();
  await node.passes(30);
  expect(node.runtime.running()).toHaveLength(1);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.reconciler.snapshot().steps).toEqual([]);
  expect(node.violations).toEqual([]);
});

test("a damaged file is never started with: it is fetched again, and until then the version before runs", async () => {
  const node = await withVersionOne();
  node.want([withPins("a", [detector(2)])]);
  await node.passes(100);
  expect(node.slots("a")).toMatchObject({ phase: "committed" });
  node.sources.isOnline = false;
  node.damage("a");
  await node.reboot();
  await node.passes(50);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.runtime.running()).toHaveLength(1);
  expect(node.notices()).toContain("ArtifactDamaged");
  node.sources.isOnline = true;
  await node.passes(100, 1_000);
  expect(node.activeCounter("a")).toBe(2);
  expect(node.slots("a")).toMatchObject({ phase: "committed" });
  expect(node.violations).toEqual([]);
});

test.each(["restart", "none"] as const)(
  "a file that is written to long after its check, while a lock holds the switch (%s), is found before it is used",
  async (reload) => {
    const node = await withVersionOne({ reload });
    node.activation.locks.lock({ reason: "busy", forMs: 60_000 });
    node.want([withPins("a", [detector(2, { reload })])]);
    await node.passes(50);
    expect(node.slots("a")).toMatchObject({ phase: "prepared", next: "b" });
    node.damage("a", { slot: "b" });
    node.sources.isOnline = false;
    await node.passes(100, 1_000);
    expect(node.activeCounter("a")).toBe(1);
    expect(node.notices()).toContain("ArtifactDamaged");
    node.sources.isOnline = true;
    await node.passes(400, 1_000);
    expect(node.activeCounter("a")).toBe(2);
    expect(node.slots("a")).toMatchObject({ phase: "committed" });
    expect(node.violations).toEqual([]);
  },
);

test("a damaged file without a version before it keeps the instance from starting until it is here again", async () => {
  const node = await withVersionOne();
  node.sources.isOnline = false;
  node.damage("a");
  await node.reboot();
  await node.passes(50);
  expect(node.runtime.running()).toEqual([]);
  expect(node.reconciler.snapshot().steps).toMatchObject([{ reason: "ArtifactsPending" }]);
  node.sources.isOnline = true;
  await node.passes(100, 1_000);
  expect(node.runtime.running()).toHaveLength(1);
  expect(node.sources.fetched.at(-1)).toMatchObject({ isUrgent: true });
  expect(node.violations).toEqual([]);
});

test("what trust refuses is said, once, and leaves the active version alone", async () => {
  const node = await withVersionOne();
  node.trust.refused.add("models/detector/2/model.bin");
  node.want([withPins("a", [detector(2)]), withPins("b", [pin("labels", 1)])]);
  await node.passes(200);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.reported("a")?.artifacts).toMatchObject([
    { phase: "Failed", reason: "target-unknown", activeVersion: "1.0.0" },
  ]);
  expect(node.notices().filter((reason) => reason === "ArtifactRefused")).toHaveLength(1);
  // What is wrong with one instance holds up no other.
  expect(node.reported("b")?.artifacts).toMatchObject([{ phase: "Active" }]);
  node.trust.refused.clear();
  await node.passes(200);
  expect(node.activeCounter("a")).toBe(2);
});

test("what was accepted and is withdrawn before it has come is not installed", async () => {
  const node = await withVersionOne();
  node.sources.isOnline = false;
  node.want([withPins("a", [detector(2)])]);
  await node.passes(50);
  expect(node.reported("a")?.artifacts).toMatchObject([{ phase: "Downloading" }]);
  node.trust.refused.add("models/detector/2/model.bin");
  await node.passes(5, 1_000_000);
  node.sources.isOnline = true;
  await node.passes(50, 1_000);
  expect(node.reported("a")?.artifacts).toMatchObject([
    { phase: "Failed", reason: "target-unknown", activeVersion: "1.0.0" },
  ]);
  expect(node.activeCounter("a")).toBe(1);
});

test("of several artifacts all are switched at once, and what stays is said to be active", async () => {
  const node = new ArtifactNode();
  node.want([withPins("a", [detector(1), pin("labels", 1)])]);
  await node.passes(50);
  node.sources.isOnline = false;
  node.want([withPins("a", [detector(2), pin("labels", 1)])]);
  await node.passes(20);
  expect(node.reported("a")?.artifacts).toMatchObject([
    { name: "detector", phase: "Downloading", activeVersion: "1.0.0" },
    { name: "labels", phase: "Active", activeVersion: "1.0.0" },
  ]);
  node.sources.isOnline = true;
  await node.passes(150);
  expect([node.activeCounter("a"), node.activeCounter("a", "labels")]).toEqual([2, 1]);
});

test("what was fetched ahead is taken without waiting, and counted", async () => {
  const node = await withVersionOne();
  node.want([withPins("a", [detector(1)])], [release("detector", 2)]);
  await node.passes(50);
  expect(node.activeCounter("a")).toBe(1);
  expect(node.sources.fetched.at(-1)).toMatchObject({ isUrgent: false, bases: 1 });
  expect(node.reconciler.reported().artifacts?.held).toContainEqual({
    name: "detector",
    counter: 2,
  });
  node.sources.isOnline = false;
  node.want([withPins("a", [detector(2)])]);
  await node.passes(50);
  expect(node.activeCounter("a")).toBe(2);
  expect(node.reconciler.reported().artifacts).toMatchObject({ prestageHits: 1 });
  expect(node.metrics.total("flotilla_agent_prestage_hits_total")).toBe(1);
});

test("what runs is not interrupted by a newer wish that is not here yet, wherever the update before it stands", async () => {
  const node = await withVersionOne();
  node.want([withPins("a", [detector(2)])]);
  await node.passes(8);
  node.sources.isOnline = false;
  node.want([withPins("a", [detector(3)])]);
  await node.passes(100);
  expect(node.runtime.running()).toHaveLength(1);
  expect([1, 2]).toContain(node.activeCounter("a"));
  node.sources.isOnline = true;
  await node.passes(200);
  expect(node.activeCounter("a")).toBe(3);
  expect(node.slots("a")).toMatchObject({ phase: "committed" });
  expect(node.violations).toEqual([]);
});
