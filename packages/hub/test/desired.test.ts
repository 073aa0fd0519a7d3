import type { DesiredState } from "@flotilla/shared/model/desired-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { DOWN_MESSAGE_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import {
  DESIRED_GATHER_MS_MAX,
  DESIRED_REVISION_MAX,
  RAISE_SETTLE_MS,
} from "../src/app/desired/desired-service.ts";
import { birthBody, fakeSigner, hubCore, nodeIdOf, put, up } from "./support/hub-core.ts";
import { emptyDisk, type MemoryDisk, MemoryStore } from "./support/memory-store.ts";
import { assignment, desiredInstance, edgeNode } from "./support/node-builders.ts";
import { temporaryDir, testStore } from "./support/store.ts";

const N1 = nodeIdOf("n1");

/** A hub process on this disk, its desired service running. */
function startHub(disk: MemoryDisk = emptyDisk()) {
  const store = new MemoryStore(disk);
  const hub = hubCore(store);
  const end = new AbortController();
  const running = hub.desired.run(end.signal);
  const stop = async () => {
    end.abort();
    await running;
  };
  onTestFinished(stop);
  const settle = () => hub.clock.advance(100);
  const stateOf = (node = "n1"): DesiredState | undefined => {
    const stored = store.desired(node);
    return stored === undefined ? undefined : JSON.parse(stored.payload);
  };
  return { ...hub, store, stop, settle, stateOf };
}

async function startedHub(...assignments: readonly ObjectOf<"Assignment">[]) {
  const hub = startHub();
  hub.link.connected.add("n1");
  await put(hub.store, edgeNode("n1"), ...assignments);
  await hub.settle();
  return hub;
}

const ids = (state: DesiredState | undefined) => state?.instances.map((i) => i.id);

test("an assignment becomes a signed revision, told to the node and shown in its status", async () => {
  const { stateOf, store, link } = await startedHub(assignment("api-0", "n1"));
  expect(stateOf()).toMatchObject({ nodeId: "n1", revision: 1 });
  expect(ids(stateOf())).toEqual(["shop.web.api-0"]);
  const stored = store.desired("n1");
  expect(stored?.signature).toBe(fakeSigner().sign(stored?.payload ?? ""));
  expect(store.get("EdgeNode", "", "n1")?.status?.desiredRevision).toBe(1);
  expect(link.sent).toMatchObject([
    { nodeId: "n1", message: { kind: "desired-notify", body: { revision: 1 } } },
  ]);
});

test("changes that come together make one revision, and a status report makes none", async () => {
  const { store, settle, stateOf } = await startedHub();
  for (let i = 0; i < 20; i++) await put(store, assignment(`api-${i}`, "n1"));
  await settle();
  expect(stateOf()).toMatchObject({ revision: 1 });
  expect(stateOf()?.instances).toHaveLength(20);
  const one = assignment("api-0", "n1");
  await put(store, { ...one, status: { message: "seen" } });
  await put(store, { ...one, metadata: { ...one.metadata, labels: { a: "b" } } });
  await settle();
  expect(store.desired("n1")?.revision).toBe(1);
});

test("a change by itself is signed at once; while changes keep coming they are gathered, but not for ever", async () => {
  const { store, clock, settle, stateOf } = await startedHub();
  await put(store, assignment("api-0", "n1"));
  await clock.advance(DESIRED_GATHER_MS_MAX / 5);
  expect(stateOf()).toMatchObject({ revision: 1 });
  for (let i = 1; i <= 40; i++) {
    await put(store, assignment(`api-${i}`, "n1"));
    await clock.advance(DESIRED_GATHER_MS_MAX / 20);
  }
  expect([2, 3]).toContain(stateOf()?.revision);
  await settle();
  expect(stateOf()?.instances).toHaveLength(41);
});

test("an assignment that moves changes both nodes; the last one that goes leaves an empty state", async () => {
  const { store, settle, stateOf } = await startedHub(assignment("api-0", "n1"));
  await put(store, edgeNode("n2"), assignment("api-0", "n2"));
  await settle();
  expect(ids(stateOf("n1"))).toEqual([]);
  expect(stateOf("n1")?.revision).toBe(2);
  expect(ids(stateOf("n2"))).toEqual(["shop.web.api-0"]);
  const key = { kind: "Assignment", namespace: "shop", name: "api-0" } as const;
  await store.commit({ changes: [{ key, expect: "any", object: undefined }] });
  await settle();
  expect(stateOf("n2")).toMatchObject({ revision: 2, instances: [] });
});

test("a node that was never given anything gets no signed nothing", async () => {
  const { store, link } = await startedHub();
  expect(store.desired("n1")).toBeUndefined();
  expect(link.sent).toEqual([]);
});

test("the plan of a site's prober is part of its signed state, and goes when another node takes over", async () => {
  const { store, settle, stateOf } = await startedHub();
  const site = (name: string): ObjectOf<"Site"> => ({
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "Site",
    metadata: { name, uid: `uid-${name}`, generation: 1 },
    spec: { probe: { host: `${name}.example`, port: 443 } },
  });
  const ready = (name: string) => edgeNode(name, { life: "ready" });
  await put(store, ready("n1"), site(ready("n1").spec.site), site("elsewhere"));
  await settle();
  expect(stateOf()).toMatchObject({ revision: 1, instances: [] });
  expect(stateOf()?.probe?.targets).toEqual([
    { site: "elsewhere", host: "elsewhere.example", port: 443 },
  ]);
  await put(store, ready("n0"));
  await settle();
  expect(stateOf("n0")?.probe?.targets).toHaveLength(1);
  expect(stateOf()).not.toHaveProperty("probe");
});

test("a node pulls the state that it does not have, and only that", async () => {
  const { desired, store } = await startedHub(assignment("api-0", "n1"));
  const answer = desired.answerDesiredGet(N1, 0);
  expect(answer).toMatchObject({
    kind: "desired",
    body: { payload: store.desired("n1")?.payload, keyId: fakeSigner().keyId },
  });
  expect(desired.answerDesiredGet(N1, 1)).toBeUndefined();
  expect(desired.answerDesiredGet(nodeIdOf("n2"), 0)).toBeUndefined();
});

test("a node that was away is told at its birth, and its pull is answered over ingest", async () => {
  const hub = await startedHub();
  hub.link.connected.delete("n1");
  await put(hub.store, assignment("api-0", "n1"));
  await hub.settle();
  expect(hub.link.sent).toEqual([]);
  hub.link.connected.add("n1");
  const taken = [
    hub.ingest.receive(N1, "birth", up("birth", { epoch: 1, seq: 1 }, birthBody())),
    hub.ingest.receive(
      N1,
      "desired-get",
      up("desired-get", { epoch: 1, seq: 2 }, { haveRevision: 0 }),
    ),
  ];
  await hub.settle();
  await Promise.all(taken);
  expect(hub.link.kinds("n1")).toEqual(["desired-notify", "desired"]);
});

test("killed between signing and telling, the hub tells the node at its next birth, with the same revision", async () => {
  const before = await startedHub();
  // The process dies when the commit is on disk and before anything is sent.
  const disk = before.store.disk;
  before.link.send = () => new Promise(() => {});
  await put(before.store, assignment("api-0", "n1"));
  await before.settle();
  expect(disk.desired.get("n1")?.revision).toBe(1);
  const after = startHub(structuredClone(disk));
  after.link.connected.add("n1");
  await after.settle();
  expect(after.store.desired("n1")).toEqual(disk.desired.get("n1"));
  after.desired.observed(N1, 0);
  await after.settle();
  expect(after.link.sent).toMatchObject([{ message: { body: { revision: 1 } } }]);
});

test("killed before a state was stored, the hub compiles it at its next start", async () => {
  const disk = emptyDisk();
  await put(new MemoryStore(disk), edgeNode("n1"), assignment("api-0", "n1"));
  const { settle, stateOf } = startHub(disk);
  await settle();
  expect(stateOf()).toMatchObject({ revision: 1 });
});

test("a store that fails is tried again; nothing is told before it is durable", async () => {
  const { store, settle, link, clock, stateOf } = await startedHub();
  let sentBeforeCommit = 0;
  store.beforeCommit = (commit) => {
    if (commit.desired !== undefined) sentBeforeCommit += link.sent.length;
  };
  await put(store, assignment("api-0", "n1"));
  store.failures.push(new Error("disk full"));
  await settle();
  expect(stateOf()).toBeUndefined();
  await clock.advance(5_000);
  expect(stateOf()?.revision).toBe(1);
  expect(sentBeforeCommit).toBe(0);
  expect(link.kinds("n1")).toEqual(["desired-notify"]);
});

test("a node that is ahead of a restored hub gets a revision above its own, with the same content", async () => {
  const { desired, settle, stateOf, link, events, clock } = await startedHub(
    assignment("api-0", "n1"),
  );
  desired.observed(N1, 57);
  await clock.advance(RAISE_SETTLE_MS);
  await settle();
  expect(stateOf()).toMatchObject({ revision: 58 });
  expect(ids(stateOf())).toEqual(["shop.web.api-0"]);
  expect(link.sent.at(-1)?.message).toMatchObject({ body: { revision: 58 } });
  expect(events.map((e) => e.reason)).toContain("DesiredRevisionBehind");
  desired.observed(N1, 57);
  await clock.advance(RAISE_SETTLE_MS);
  await settle();
  expect(stateOf()?.revision).toBe(58);
});

test("a hub that lost everything tells a node nothing until its controllers have placed again what runs there", async () => {
  const { desired, settle, stateOf, store, link, clock } = await startedHub();
  desired.observed(N1, 7);
  await settle();
  expect(stateOf()).toBeUndefined();
  await clock.advance(RAISE_SETTLE_MS / 2);
  await put(store, assignment("api-0", "n1"), assignment("api-1", "n1"));
  desired.answerDesiredGet(N1, 7);
  await clock.advance(RAISE_SETTLE_MS);
  await settle();
  expect(stateOf()).toMatchObject({ revision: 8 });
  expect(ids(stateOf())).toEqual(["shop.web.api-0", "shop.web.api-1"]);
  const above = link.sent.flatMap(({ message }) =>
    message.kind === "desired-notify" && message.body.revision > 7 ? [message.body.revision] : [],
  );
  expect(above).toEqual([8]);
});

test("what a node has accepted from a hub that is lost is replaced, also when the new hub has come to the same number", async () => {
  const { desired, settle, stateOf, link, clock } = await startedHub(assignment("api-0", "n1"));
  expect(stateOf()?.revision).toBe(1);
  const told = link.sent.length;
  desired.observed(N1, 1, true);
  await settle();
  expect(link.sent).toHaveLength(told);
  await clock.advance(RAISE_SETTLE_MS);
  await settle();
  expect(stateOf()).toMatchObject({ revision: 2 });
  expect(link.sent.at(-1)?.message).toMatchObject({ body: { revision: 2 } });
  desired.observed(N1, 0, true);
  await clock.advance(RAISE_SETTLE_MS);
  await settle();
  expect(stateOf()?.revision).toBe(2);
});

test("a node that claims a revision beyond all counting is not followed", async () => {
  const { desired, settle, stateOf, events } = await startedHub(assignment("api-0", "n1"));
  desired.observed(N1, DESIRED_REVISION_MAX + 1);
  desired.observed(N1, Number.MAX_VALUE);
  await settle();
  expect(stateOf()?.revision).toBe(1);
  expect(events.map((e) => e.reason)).toContain("DesiredRevisionImplausible");
});

test("a state that is too large is refused: the node keeps the last one, its condition says why, and mends", async () => {
  const big = (name: string) =>
    assignment(
      name,
      "n1",
      desiredInstance(`shop.web.${name}`, {
        containers: [{ name: "main", args: ["x".repeat(DOWN_MESSAGE_BYTES_MAX / 2)] }],
      }),
    );
  const { store, settle, stateOf, events } = await startedHub(big("api-0"));
  await put(store, big("api-1"));
  await settle();
  const condition = () =>
    store
      .get("EdgeNode", "", "n1")
      ?.status?.conditions?.find((c) => c.type === "DesiredStateTooLarge")?.status;
  expect(ids(stateOf())).toEqual(["shop.web.api-0"]);
  expect(condition()).toBe("True");
  expect(events.map((e) => e.reason)).toContain("DesiredStateTooLarge");
  await put(store, assignment("api-1", "n1"));
  await settle();
  expect(ids(stateOf())).toEqual(["shop.web.api-0", "shop.web.api-1"]);
  expect(condition()).toBe("False");
});

test("a secret reaches the node's state and no assignment; a change of it makes a new revision", async () => {
  const secretKeyRef = { name: "db", key: "password" };
  const withSecret = assignment(
    "api-0",
    "n1",
    desiredInstance("shop.web.api-0", {
      containers: [{ name: "main", env: [{ name: "PASSWORD", valueFrom: { secretKeyRef } }] }],
    }),
  );
  const { store, settle, stateOf, events, log } = await startedHub(withSecret);
  expect(stateOf()).toBeUndefined();
  expect(events).toMatchObject([
    { about: { kind: "Assignment" }, type: "Warning", reason: "SecretKeyMissing" },
  ]);
  const secret = (value: string) => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "db", namespace: "shop", uid: "uid-db", generation: 1 },
    data: { password: Buffer.from(value).toString("base64") },
  });
  for (const [index, value] of ["first-secret", "second-secret"].entries()) {
    await put(store, secret(value));
    await settle();
    expect(stateOf()?.revision).toBe(index + 1);
    expect(stateOf()?.instances[0]?.containers[0]?.env).toEqual([{ name: "PASSWORD", value }]);
  }
  const elsewhere = JSON.stringify([
    store.list("Assignment"),
    store.list("EdgeNode"),
    events,
    log.lines,
  ]);
  expect(elsewhere).not.toMatch(/(first|second)-secret/);
});

test("revisions only grow, whatever is changed, killed, restored and claimed", async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("assign" as const), n: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ kind: fc.constant("remove" as const), n: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ kind: fc.constant("kill" as const) }),
    fc.record({ kind: fc.constant("backup" as const) }),
    fc.record({ kind: fc.constant("restore" as const) }),
    fc.record({ kind: fc.constant("fail" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      let hub = startHub();
      await put(hub.store, edgeNode("n1"));
      let backup = structuredClone(hub.store.disk);
      // An agent as it should be: takes only revisions that grow, and tells at each meeting what it has.
      let accepted = 0;
      const meet = async () => {
        hub.link.connected.add("n1");
        hub.desired.observed(N1, accepted);
        await hub.clock.advance(30_000);
        const answer = hub.desired.answerDesiredGet(N1, accepted);
        if (answer?.kind !== "desired") return;
        const { revision } = JSON.parse(answer.body.payload);
        expect(revision).toBeGreaterThan(accepted);
        accepted = revision;
      };
      for (const s of steps) {
        if (s.kind === "assign") await put(hub.store, assignment(`api-${s.n}`, "n1"));
        if (s.kind === "remove") {
          const key = { kind: "Assignment", namespace: "shop", name: `api-${s.n}` } as const;
          await hub.store.commit({ changes: [{ key, expect: "any", object: undefined }] });
        }
        if (s.kind === "backup") backup = structuredClone(hub.store.disk);
        if (s.kind === "kill" || s.kind === "restore") {
          const disk = structuredClone(s.kind === "kill" ? hub.store.disk : backup);
          await hub.stop();
          hub = startHub(disk);
        }
        if (s.kind === "fail") {
          hub.store.failures.push(new Error("disk full"));
          await hub.store.commit({ changes: [] }).catch(() => {});
        } else await meet();
      }
      await meet();
      await meet();
      // Faults are over: what the node has accepted is what the hub wants.
      const wanted = hub.store.list("Assignment").map((a) => a.spec.desired.id);
      expect(accepted).toBe(hub.store.desired("n1")?.revision ?? 0);
      expect(ids(hub.stateOf()) ?? []).toEqual(wanted);
      await hub.stop();
    }),
    { seed: 42, numRuns: 60 },
  );
});

test("on the real store a signed revision survives the process and is not signed again", async () => {
  const dataDir = temporaryDir();
  const first = testStore({ dataDir });
  const before = hubCore(first);
  const end = new AbortController();
  const running = before.desired.run(end.signal);
  await put(first, edgeNode("n1"), assignment("api-0", "n1"));
  for (let i = 0; i < 50 && first.desired("n1") === undefined; i++) await before.clock.advance(100);
  const signed = first.desired("n1");
  expect(signed?.revision).toBe(1);
  end.abort();
  await running;
  first.close();
  const second = testStore({ dataDir });
  const after = hubCore(second);
  const endAfter = new AbortController();
  const runningAfter = after.desired.run(endAfter.signal);
  await after.clock.advance(1000);
  expect(second.desired("n1")).toEqual(signed);
  endAfter.abort();
  await runningAfter;
});
