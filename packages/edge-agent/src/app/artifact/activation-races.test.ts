import { describe, expect, test } from "vitest";
import { ArtifactNode, pin } from "../../../test/support/artifact-node.ts";
import { instance } from "../../../test/support/reconcile-builders.ts";

/** Wishes that change while the one before is still being carried out. */

type More = Parameters<typeof pin>[2];

const HTTP = { reload: "http", http: { port: 8080, path: "/reload" } } as const;

/** An instance with one artifact; its spec, as the hub would digest it, covers what is switched by a restart. */
function wanted(counter: number, more: More = {}) {
  const own = pin("detector", counter, more);
  const plain = instance("a", ["serve"]);
  const covered = own.reload === "restart" ? `${own.counter} ${own.path}` : "";
  return instance("a", ["serve"], {
    artifacts: [own],
    specDigest: `${plain.specDigest} ${covered}`,
  });
}

/** A node on which version 1 is good. */
async function withVersionOne(more: More = {}): Promise<ArtifactNode> {
  const node = new ArtifactNode();
  node.want([wanted(1, more)]);
  await node.passes(30);
  expect(node.slots("a")).toMatchObject({ phase: "committed" });
  return node;
}

/** How the instance stands, and how it does with a version that is good. */
const stateOf = (node: ArtifactNode) => ({
  counter: node.activeCounter("a"),
  phase: node.slots("a")?.phase,
  reloads: node.slots("a")?.reloads,
  told: node.reported("a")?.artifacts?.map((a) => [a.phase, a.activeVersion]),
  violations: node.violations,
});
const goodWith = (counter: number) => ({
  counter,
  phase: "committed",
  reloads: [],
  told: [["Active", `${counter}.0.0`]],
  violations: [],
});

describe("a workload that takes its time to reload", () => {
  /** It does not answer until it is let. */
  async function reloading(): Promise<{ readonly node: ArtifactNode; readonly let: () => void }> {
    const node = await withVersionOne(HTTP);
    const answer = Promise.withResolvers<{ readonly ok: boolean; readonly message: string }>();
    node.answerPost = () => answer.promise;
    node.want([wanted(2, HTTP)]);
    await node.passes(30);
    return { node, let: () => answer.resolve({ ok: true, message: "" }) };
  }

  test("is told once", async () => {
    const { node, let: answer } = await reloading();
    expect(node.posts).toEqual(["/reload"]);
    expect(node.slots("a")).toMatchObject({ phase: "trial" });
    answer();
    await node.passes(50);
    expect(node.posts).toEqual(["/reload"]);
    expect(stateOf(node)).toEqual(goodWith(2));
  });

  test("is told of the version before when that is wanted again meanwhile", async () => {
    const { node, let: answer } = await reloading();
    node.want([wanted(1, HTTP)]);
    await node.passes(10);
    answer();
    await node.passes(100);
    expect(node.posts).toEqual(["/reload", "/reload"]);
    expect(stateOf(node)).toEqual(goodWith(1));
  });
});

test.each([1, 2, 3, 5, 8])(
  "versions that are wanted in quick succession, every %i passes: the last is what runs",
  async (passes) => {
    const node = await withVersionOne();
    for (const counter of [2, 3, 2, 1, 3, 4, 1, 2]) {
      node.want([wanted(counter)]);
      await node.passes(passes, 50);
    }
    await node.passes(200);
    expect(stateOf(node)).toEqual(goodWith(2));
  },
);

test("what failed, or was dropped, gives its room to others: its links go when its content does", async () => {
  const halves = (node: ArtifactNode) =>
    node.disk.list("/state/artifacts/slots/a").filter((name) => name !== "current");
  const dropped = await withVersionOne();
  dropped.activation.locks.lock({ reason: "shift runs", forMs: 3_600_000 });
  dropped.want([wanted(2)]);
  await dropped.passes(30);
  // Lies ready, and room is needed: it stays.
  dropped.makeWay();
  expect(halves(dropped)).toEqual(["a", "b"]);
  dropped.want([wanted(1)]);
  await dropped.passes(10);
  const failed = await withVersionOne();
  failed.runtime.crashes = (id) => failed.activeCounter(id) === 2;
  failed.want([wanted(2)]);
  await failed.passes(300, 1_000);
  expect(failed.slots("a")).toMatchObject({ phase: "committed", current: "a" });
  for (const node of [dropped, failed]) {
    expect(halves(node)).toEqual(["a", "b"]);
    node.makeWay();
    expect(halves(node)).toEqual(["a"]);
    expect(node.activation.service.needed().size).toBe(node === dropped ? 1 : 2);
    await node.reboot();
    await node.passes(30);
    expect(node.activeCounter("a")).toBe(1);
    expect(node.violations).toEqual([]);
  }
});

test.each([0, 1, 2, 4, 7, 11])(
  "an instance that leaves %i passes into an update and comes back with another version gets that",
  async (passes) => {
    const node = await withVersionOne();
    node.want([wanted(2)]);
    await node.passes(passes, 50);
    node.want([]);
    await node.passes(passes, 50);
    node.want([wanted(3)]);
    await node.passes(200);
    expect(stateOf(node)).toEqual(goodWith(3));
  },
);

describe.each(["restart", "signal", "none"] as const)("with reload %s", (reload) => {
  /** Version 2 is on trial for an hour. */
  async function onTrial(): Promise<ArtifactNode> {
    const node = await withVersionOne({ reload });
    node.want([wanted(2, { reload, healthWindowMs: 3_600_000 })]);
    await node.passes(30);
    expect(node.slots("a")).toMatchObject({ phase: "trial" });
    return node;
  }

  test("the version before, wanted again during a long trial, is back at once, and the other has not failed", async () => {
    const node = await onTrial();
    node.want([wanted(1, { reload })]);
    await node.passes(30);
    expect(stateOf(node)).toEqual(goodWith(1));
    expect(node.slots("a")).toMatchObject({ failed: [] });
    expect(node.reconciler.snapshot().steps).toEqual([]);
    node.want([wanted(2, { reload })]);
    await node.passes(60);
    expect(stateOf(node)).toEqual(goodWith(2));
  });

  test("a lock holds that back too, and a reboot in the middle changes nothing", async () => {
    const node = await onTrial();
    node.activation.locks.lock({ reason: "shift runs", forMs: 60_000 });
    node.want([wanted(1, { reload })]);
    await node.passes(30);
    expect(node.activeCounter("a")).toBe(2);
    node.activation.locks.unlock(undefined);
    await node.passes(1);
    await node.reboot();
    await node.passes(60);
    expect(stateOf(node)).toEqual(goodWith(1));
  });

  test("an artifact that is taken off leaves nothing behind", async () => {
    const node = await withVersionOne({ reload });
    node.want([instance("a", ["serve"])]);
    await node.passes(50);
    expect(node.runtime.running()).toHaveLength(1);
    expect(node.slots("a")).toBeUndefined();
    expect(node.reported("a")?.artifacts).toBeUndefined();
    expect(node.disk.list("/state/artifacts/slots")).toEqual([]);
  });

  test("files that are wanted at another path are there, and at the old one no more", async () => {
    const node = await withVersionOne({ reload });
    node.want([wanted(1, { reload, path: "elsewhere" })]);
    await node.passes(50);
    expect(node.reported("a")?.artifacts).toMatchObject([{ phase: "Active" }]);
    const half = `/state/artifacts/slots/a/${node.slots("a")?.current}`;
    expect(node.disk.list(half)).toEqual([".files.json", "elsewhere"]);
  });
});
