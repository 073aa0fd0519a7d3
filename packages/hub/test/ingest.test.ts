import { encode } from "@flotilla/shared/protocol/codec";
import { UP_PACKET_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OBJECT_LENGTH_MAX } from "../src/adapters/store/staging.ts";
import {
  INGEST_BATCH_DELAY_MS,
  INGEST_BATCH_LENGTH_MAX,
  INGEST_QUEUE_LENGTH_MAX,
} from "../src/app/ingest/ingest-service.ts";
import { birthBody, hubCore, nodeIdOf, put, up } from "./support/hub-core.ts";
import { MemoryStore } from "./support/memory-store.ts";
import {
  assignment,
  desiredInstance,
  edgeNode,
  reading,
  reportedInstance,
} from "./support/node-builders.ts";
import { temporaryDir, testStore } from "./support/store.ts";

const N1 = nodeIdOf("n1");
const N2 = nodeIdOf("n2");

async function setUp() {
  const store = new MemoryStore();
  await put(store, edgeNode("n1"), edgeNode("n2"));
  const hub = hubCore(store);
  hub.link.connected.add("n1").add("n2");
  /** One message, alone in its batch. */
  const receive = async (kind: string, payload: Uint8Array, node = N1) => {
    const received = hub.ingest.receive(node, kind, payload);
    received.catch(() => {});
    await hub.clock.advance(INGEST_BATCH_DELAY_MS);
    return await received;
  };
  const status = (name = "n1") => store.get("EdgeNode", "", name)?.status;
  const dropped = (reason: string) =>
    hub.metrics.total("flotilla_hub_ingest_dropped_total", { reason });
  return { ...hub, store, receive, status, dropped };
}

describe("messages that are none", () => {
  test.each([
    ["not-utf8", Uint8Array.of(0xff, 0xfe)],
    ["not-json", new TextEncoder().encode("{")],
    ["too-deep", new TextEncoder().encode("[".repeat(40) + "]".repeat(40))],
    ["too-large", new Uint8Array(UP_PACKET_BYTES_MAX + 1)],
    ["bad-envelope", new TextEncoder().encode("{}")],
    [
      "unknown-kind",
      new TextEncoder().encode(
        JSON.stringify({ v: 1, kind: "x", id: "1", epoch: 1, seq: 1, sentAt: 0, body: {} }),
      ),
    ],
    ["bad-body", up("birth", { epoch: 1, seq: 1 }, birthBody({ agentVersion: "" }))],
    [
      "bad-body",
      up("report", { epoch: 1, seq: 1 }, { reading: reading({ capacity: { diskBytes: -1 } }) }),
    ],
    ["kind-mismatch", up("notice", { epoch: 1, seq: 1 }, notice("x"))],
  ])("%s is acknowledged, counted and stored nowhere", async (reason, payload) => {
    const { ingest, dropped, store } = await setUp();
    const commits = store.commits.length;
    await ingest.receive(N1, "birth", payload);
    expect(dropped(reason)).toBe(1);
    expect(store.commits).toHaveLength(commits);
  });

  test("a message of a node that is not enrolled changes nothing and holds no lease", async () => {
    const { ingest, leases, dropped, store } = await setUp();
    await ingest.receive(
      nodeIdOf("stranger"),
      "birth",
      up("birth", { epoch: 1, seq: 1 }, birthBody()),
    );
    expect(dropped("not-enrolled")).toBe(1);
    expect(leases.ageMs("stranger", 0)).toBeUndefined();
    expect(store.cursor("stranger")).toBeUndefined();
  });

  test("a node writes nothing of another node, whatever it claims to run", async () => {
    const { receive, store, metrics } = await setUp();
    await put(store, assignment("api-0", "n2"));
    const reported = {
      acceptedRevision: 1,
      convergedRevision: 1,
      instances: [reportedInstance("shop.web.api-0", { phase: "Failed" })],
    };
    await receive("birth", up("birth", { epoch: 1, seq: 1 }, birthBody({ reported })), N1);
    expect(store.get("Assignment", "shop", "api-0")?.status).toBeUndefined();
    expect(metrics.total("flotilla_hub_ingest_unassigned_instances_total")).toBe(1);
  });
});

describe("epoch and sequence", () => {
  test("a repeated and an older message are acknowledged and dropped", async () => {
    const { receive, dropped, store } = await setUp();
    await receive("birth", up("birth", { epoch: 1, seq: 1 }, birthBody()));
    await receive("notice", up("notice", { epoch: 1, seq: 3 }, notice("first")));
    await receive("notice", up("notice", { epoch: 1, seq: 3 }, notice("first")));
    await receive("notice", up("notice", { epoch: 1, seq: 2 }, notice("late")));
    expect(dropped("duplicate")).toBe(2);
    expect(store.list("Event")).toMatchObject([{ message: "first", count: 1 }]);
    expect(store.cursor("n1")).toEqual({ nodeId: "n1", epoch: 1, seq: 3 });
  });

  test("a redelivered birth is a duplicate; another one at the same place is told its epoch is behind", async () => {
    const { receive, dropped, link } = await setUp();
    const birth = up("birth", { epoch: 1, seq: 1 }, birthBody());
    await receive("birth", birth);
    await receive("report", up("report", { epoch: 1, seq: 2 }, {}));
    await receive("birth", birth);
    expect(dropped("duplicate")).toBe(1);
    expect(link.kinds("n1")).toEqual([]);
    const restored = JSON.parse(new TextDecoder().decode(birth));
    await receive("birth", encode({ ...restored, id: "another" }));
    expect(link.sent.at(-1)).toMatchObject({
      nodeId: "n1",
      message: { kind: "epoch-behind", body: { seenEpoch: 1 } },
    });
  });

  test("a birth of a lower epoch is told the seen one, and changes nothing", async () => {
    const { receive, link, status } = await setUp();
    await receive("birth", up("birth", { epoch: 5, seq: 1 }, birthBody()));
    await receive("birth", up("birth", { epoch: 4, seq: 9 }, birthBody({ bootId: "old" })));
    expect(link.sent.at(-1)?.message).toMatchObject({
      kind: "epoch-behind",
      body: { seenEpoch: 5 },
    });
    expect(status()).toMatchObject({ epoch: 5, bootId: "boot-1" });
  });

  test("a birth of a newer epoch starts the sequence anew", async () => {
    const { receive, store, status } = await setUp();
    await receive("birth", up("birth", { epoch: 1, seq: 900 }, birthBody()));
    await receive("birth", up("birth", { epoch: 2, seq: 1 }, birthBody()));
    await receive("report", up("report", { epoch: 2, seq: 2 }, {}));
    expect(store.cursor("n1")).toMatchObject({ epoch: 2, seq: 2 });
    expect(status()?.epoch).toBe(2);
  });

  test("without a birth of its epoch a report is not taken and a birth is asked for; a notice is not lost", async () => {
    const { receive, link, status, store } = await setUp();
    await receive("report", up("report", { epoch: 2, seq: 5 }, { reading: reading() }));
    await receive("notice", up("notice", { epoch: 2, seq: 6 }, notice("disk worn")));
    expect(link.kinds("n1")).toEqual(["rebirth", "rebirth"]);
    expect(status()?.capacity).toBeUndefined();
    expect(store.list("Event").map((e) => e.message)).toEqual(["disk worn"]);
    expect(store.cursor("n1")).toBeUndefined();
  });

  test("a batch asks a node for one birth only", async () => {
    const { ingest, clock, link } = await setUp();
    const all = [1, 2, 3].map((seq) =>
      ingest.receive(N1, "report", up("report", { epoch: 2, seq }, {})),
    );
    await clock.advance(INGEST_BATCH_DELAY_MS);
    await Promise.all(all);
    expect(link.kinds("n1")).toEqual(["rebirth"]);
  });
});

describe("acknowledgement", () => {
  test("a message is acknowledged after its commit and not before", async () => {
    const { ingest, clock, store } = await setUp();
    let release = (): void => {};
    store.beforeCommit = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    let acknowledged = false;
    const received = ingest
      .receive(N1, "birth", up("birth", { epoch: 1, seq: 1 }, birthBody()))
      .then(() => {
        acknowledged = true;
      });
    await clock.advance(1000);
    expect(acknowledged).toBe(false);
    release();
    await received;
    expect(store.cursor("n1")).toMatchObject({ epoch: 1, seq: 1 });
  });

  test("a store that fails acknowledges nothing, tells nobody, and the message counts when it comes again", async () => {
    const { receive, store, status, events, link } = await setUp();
    store.failures.push(new Error("disk full"));
    const birth = up("birth", { epoch: 1, seq: 1 }, birthBody());
    await expect(receive("birth", birth)).rejects.toThrow("disk full");
    expect(status()?.life).toBe("registered");
    expect(events).toEqual([]);
    await receive("birth", birth);
    expect(status()?.life).toBe("ready");
    expect(link.sent).toEqual([]);
  });

  test("killed between commit and acknowledgement, the hub drops what is sent again", async () => {
    const dataDir = temporaryDir();
    const first = testStore({ dataDir });
    await put(first, edgeNode("n1"), assignment("api-0", "n1"));
    const before = hubCore(first);
    const birth = up("birth", { epoch: 1, seq: 1 }, birthBody());
    const text = up("notice", { epoch: 1, seq: 2 }, notice("once"));
    const taken = [
      before.ingest.receive(N1, "birth", birth),
      before.ingest.receive(N1, "notice", text),
    ];
    await before.clock.advance(INGEST_BATCH_DELAY_MS);
    await Promise.all(taken);
    const { revision } = first;
    first.close();
    const after = hubCore(testStore({ dataDir }));
    const again = after.ingest.receive(N1, "notice", text);
    await after.clock.advance(INGEST_BATCH_DELAY_MS);
    await again;
    expect(after.store.list("Event")).toMatchObject([{ message: "once", count: 1 }]);
    expect(after.metrics.total("flotilla_hub_ingest_dropped_total", { reason: "duplicate" })).toBe(
      1,
    );
    expect(after.store.revision).toBe(revision);
    expect(after.store.get("EdgeNode", "", "n1")?.status?.life).toBe("ready");
  });

  test("a write that comes between plan and commit is not overwritten", async () => {
    const { receive, store, status, metrics } = await setUp();
    let meddled = false;
    store.beforeCommit = async (commit) => {
      if (meddled || (commit.cursors ?? []).length === 0) return;
      meddled = true;
      const node = store.get("EdgeNode", "", "n1");
      if (node !== undefined)
        await put(store, { ...node, spec: { ...node.spec, unschedulable: true } });
    };
    await receive("birth", up("birth", { epoch: 1, seq: 1 }, birthBody()));
    expect(store.get("EdgeNode", "", "n1")?.spec.unschedulable).toBe(true);
    expect(status()?.life).toBe("ready");
    expect(metrics.total("flotilla_hub_ingest_conflicts_total")).toBe(1);
  });

  test("an object that is written again and again refuses the batch in the end", async () => {
    const { receive, store } = await setUp();
    let count = 0;
    store.beforeCommit = async (commit) => {
      const node = store.get("EdgeNode", "", "n1");
      if (node === undefined || (commit.cursors ?? []).length === 0) return;
      await put(store, { ...node, metadata: { ...node.metadata, labels: { n: String(count++) } } });
    };
    await expect(
      receive("birth", up("birth", { epoch: 1, seq: 1 }, birthBody())),
    ).rejects.toMatchObject({ code: "ingest-conflict" });
  });

  test("what makes an object larger than it may be is dropped alone, and harms no other node of its batch", async () => {
    const store = testStore({ dataDir: temporaryDir() });
    const large = assignment("api-0", "n1");
    const room = OBJECT_LENGTH_MAX - JSON.stringify(large).length - 64;
    const annotations = { note: "x".repeat(room) };
    await put(store, edgeNode("n1"), edgeNode("n2"), {
      ...large,
      metadata: { ...large.metadata, annotations },
    });
    const hub = hubCore(store);
    const instances = [reportedInstance("shop.web.api-0")];
    const reported = { acceptedRevision: 0, convergedRevision: 0, instances };
    const births = Promise.all([
      hub.ingest.receive(N1, "birth", up("birth", { epoch: 1, seq: 1 }, birthBody({ reported }))),
      hub.ingest.receive(N2, "birth", up("birth", { epoch: 1, seq: 1 }, birthBody())),
    ]);
    await hub.clock.advance(INGEST_BATCH_DELAY_MS);
    await births;
    expect(store.get("EdgeNode", "", "n2")?.status?.life).toBe("ready");
    expect(hub.metrics.total("flotilla_hub_ingest_dropped_total", { reason: "fold-failed" })).toBe(
      1,
    );
  });

  test("an effect that throws is logged, and the messages after it are taken", async () => {
    const { receive, desired, log, status } = await setUp();
    await receive("birth", up("birth", { epoch: 1, seq: 1 }, birthBody()));
    desired.answerDesiredGet = () => {
      throw new Error("no answer");
    };
    await receive("desired-get", up("desired-get", { epoch: 1, seq: 2 }, { haveRevision: 0 }));
    await receive(
      "report",
      up("report", { epoch: 1, seq: 3 }, { reading: reading({ usage: { cpuRatio: 0.9 } }) }),
    );
    expect(status()?.usage?.cpuRatio).toBe(0.9);
    expect(log.lines.filter((l) => l.level === "error")).toHaveLength(1);
  });

  test.each(["memory", "sqlite"])(
    "a node that is deleted leaves nothing behind, and begins anew when it is enrolled again (%s)",
    async (kind) => {
      const dataDir = temporaryDir();
      const store = kind === "memory" ? new MemoryStore() : testStore({ dataDir });
      await put(store, edgeNode("n1"));
      const hub = hubCore(store);
      const birth = async (): Promise<void> => {
        const payload = up("birth", { epoch: 1, seq: 1 }, birthBody());
        const received = hub.ingest.receive(N1, "birth", payload);
        await hub.clock.advance(INGEST_BATCH_DELAY_MS);
        await received;
      };
      await birth();
      const key = { kind: "EdgeNode", namespace: "", name: "n1" } as const;
      const signed = { nodeId: "n1", revision: 7, payload: "{}" };
      await store.commit({
        changes: [],
        desired: [{ ...signed, contentDigest: "", signature: "", keyId: "" }],
      });
      await store.commit({ changes: [{ key, expect: "any", object: undefined }] });
      expect([store.cursor("n1"), store.desired("n1")]).toEqual([undefined, undefined]);
      await put(store, edgeNode("n1"));
      await birth();
      expect(store.get("EdgeNode", "", "n1")?.status?.life).toBe("ready");
      if (store instanceof MemoryStore) return;
      store.close();
      expect(testStore({ dataDir }).desired("n1")).toBeUndefined();
    },
  );

  test("a full queue refuses at once", async () => {
    const { ingest } = await setUp();
    const payload = up("report", { epoch: 1, seq: 1 }, {});
    const waiting = Array.from({ length: INGEST_QUEUE_LENGTH_MAX + INGEST_BATCH_LENGTH_MAX }, () =>
      ingest.receive(N1, "report", payload),
    );
    const outcomes = await Promise.allSettled(waiting);
    const refused = outcomes.filter((o) => o.status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({ reason: { code: "ingest-overloaded" } });
  });
});

describe("what a message leads to", () => {
  test("ten thousand heartbeats of nodes that did not change write no line of the log", async () => {
    const { ingest, clock, store, receive } = await setUp();
    for (const node of [N1, N2])
      await receive("birth", up("birth", { epoch: 1, seq: 1 }, birthBody()), node);
    const { revision } = store;
    const commits = store.commits.length;
    for (let round = 0; round < 50; round++) {
      const beats = Array.from({ length: 100 }, (_, i) =>
        [N1, N2].map((node) =>
          ingest.receive(node, "report", up("report", { epoch: 1, seq: 2 + round * 100 + i }, {})),
        ),
      ).flat();
      await clock.advance(INGEST_BATCH_DELAY_MS);
      await Promise.all(beats);
    }
    expect(store.revision).toBe(revision);
    expect(store.cursor("n1")?.seq).toBe(5001);
    expect(store.commits.length - commits).toBeLessThanOrEqual(
      10_000 / INGEST_BATCH_LENGTH_MAX + 1,
    );
  });

  test("a notice becomes an event of its instance, or of the node when that is not assigned to it", async () => {
    const { receive, store } = await setUp();
    await put(store, assignment("api-0", "n1"), assignment("api-1", "n2"));
    await receive("birth", up("birth", { epoch: 1, seq: 1 }, birthBody()));
    for (const [seq, instance] of [
      [2, "shop.web.api-0"],
      [3, "shop.web.api-1"],
    ] as const)
      await receive("notice", up("notice", { epoch: 1, seq }, { ...notice("x"), instance }));
    const about = store.list("Event").map((e) => e.involvedObject.name);
    expect(new Set(about)).toEqual(new Set(["api-0", "n1"]));
  });

  test("a death changes no life and renews no lease", async () => {
    const { receive, ingest, clock, status, events, leases } = await setUp();
    await receive("birth", up("birth", { epoch: 1, seq: 1 }, birthBody()));
    await clock.advance(30_000);
    await ingest.receive(N1, "death", up("death", { epoch: 1, seq: 0 }, { bootId: "boot-1" }));
    expect(status()?.life).toBe("ready");
    expect(leases.ageMs("n1", clock.bootMs())).toBeGreaterThanOrEqual(30_000);
    expect(events.at(-1)).toMatchObject({ reason: "LinkLost" });
  });

  test("an assignment shows what its node reports of it", async () => {
    const { receive, store } = await setUp();
    await put(store, assignment("api-0", "n1"));
    const instances = [reportedInstance("shop.web.api-0")];
    const reported = { acceptedRevision: 1, convergedRevision: 1, instances };
    await receive("birth", up("birth", { epoch: 1, seq: 1 }, birthBody({ reported })));
    expect(store.get("Assignment", "shop", "api-0")?.status).toMatchObject({
      reported: instances[0],
      reportedBy: "n1",
    });
    await receive(
      "report",
      up("report", { epoch: 1, seq: 2 }, { reported: { ...reported, instances: [] } }),
    );
    expect(store.get("Assignment", "shop", "api-0")?.status).toEqual({});
  });

  test("at the end what waits is committed without delay", async () => {
    const { ingest, status } = await setUp();
    const received = ingest.receive(N1, "birth", up("birth", { epoch: 1, seq: 1 }, birthBody()));
    await ingest.drained();
    await received;
    expect(status()?.life).toBe("ready");
  });
});

/** One arrival: which node, which message, in an order that may repeat and reverse them. */
const arrival = fc.record({
  node: fc.constantFrom(N1, N2),
  kind: fc.constantFrom("birth", "report", "report", "reported", "notice", "death"),
  epoch: fc.integer({ min: 1, max: 3 }),
  seq: fc.integer({ min: 1, max: 12 }),
  value: fc.integer({ min: 0, max: 3 }),
});

function payloadOf(a: typeof arrival extends fc.Arbitrary<infer T> ? T : never) {
  const position = { epoch: a.epoch, seq: a.seq };
  const reported = {
    acceptedRevision: 0,
    convergedRevision: a.value,
    instances: a.value < 2 ? [] : [reportedInstance("shop.web.api-0", { restartCount: a.value })],
  };
  const values = reading({
    usage: { cpuRatio: a.value / 4 },
    capacity: { milliCpu: a.value === 3 ? 4_000_000 : 4_000 },
  });
  switch (a.kind) {
    case "birth":
      return up(
        "birth",
        position,
        birthBody({ bootId: `boot-${a.epoch}`, reading: values, reported }),
      );
    case "report":
      return up("report", position, { reading: values });
    case "reported":
      return up("report", position, { reported });
    case "notice":
      return up("notice", position, notice(`value ${a.value}`));
    case "death":
      return up("death", { ...position, seq: 0 }, { bootId: "boot-1" });
  }
}

test("a notice whose acknowledgement was lost comes again with a new number and tells nothing twice", async () => {
  const { receive, store, dropped } = await setUp();
  await receive("birth", up("birth", { epoch: 1, seq: 1 }, birthBody()));
  const sent = (epoch: number, seq: number, id: string) => {
    const payload = up("notice", { epoch, seq }, notice("disk worn"));
    return encode({ ...JSON.parse(new TextDecoder().decode(payload)), id });
  };
  await receive("notice", sent(1, 2, "a"));
  await receive("birth", up("birth", { epoch: 2, seq: 1 }, birthBody()));
  await receive("notice", sent(2, 2, "a"));
  expect(store.list("Event")).toMatchObject([{ count: 1 }]);
  expect(dropped("duplicate")).toBe(1);
  expect(store.cursor("n1")).toMatchObject({ epoch: 2, seq: 2 });
  await receive("notice", sent(2, 3, "b"));
  expect(store.list("Event")).toMatchObject([{ count: 2 }]);
});

test("an agent whose epoch is behind is asked for a birth, though its session goes on", async () => {
  const { receive, link, store } = await setUp();
  await receive("birth", up("birth", { epoch: 5, seq: 1 }, birthBody()));
  await receive("desired-get", up("desired-get", { epoch: 3, seq: 9 }, { haveRevision: 0 }));
  expect(link.kinds("n1")).toEqual(["rebirth"]);
  await receive("birth", up("birth", { epoch: 3, seq: 10 }, birthBody()));
  expect(link.kinds("n1")).toEqual(["rebirth", "epoch-behind"]);
  expect(store.cursor("n1")).toMatchObject({ epoch: 5, seq: 1 });
});

test("notices that come again after a kill of the hub, several at a time, are counted once", async () => {
  const store = new MemoryStore();
  await put(store, edgeNode("n1"));
  const receive = async (hub: ReturnType<typeof hubCore>, kind: string, payload: Uint8Array) => {
    const received = hub.ingest.receive(nodeIdOf("n1"), kind, payload);
    await hub.clock.advance(INGEST_BATCH_DELAY_MS);
    await received;
  };
  const ids = ["a", "b", "c"];
  for (const epoch of [1, 2]) {
    // A hub of its own each time: what the one before remembered is gone.
    const hub = hubCore(store, new ManualClock());
    await receive(hub, "birth", up("birth", { epoch, seq: 1 }, birthBody()));
    for (const [index, id] of ids.entries()) {
      const payload = up(
        "notice",
        { epoch, seq: 2 + index },
        { ...notice("disk worn"), instance: "n1.x" },
      );
      const again = encode({ ...JSON.parse(new TextDecoder().decode(payload)), id });
      await receive(hub, "notice", again);
    }
    // Between the two an assignment of that name has come to the node.
    await put(store, assignment("x", "n1", desiredInstance("n1.x")));
  }
  expect(store.list("Event").filter((e) => e.message === "disk worn")).toMatchObject([
    { count: 3 },
  ]);
});

test("however messages are grouped into batches, the same state, cursors and events come of them", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(arrival, fc.boolean()), { maxLength: 40 }),
      async (arrivals) => {
        const run = async (isCut: (index: number) => boolean) => {
          const store = new MemoryStore();
          await put(store, edgeNode("n1"), edgeNode("n2"), assignment("api-0", "n1"));
          const hub = hubCore(store, new ManualClock());
          for (const [index, [a]] of arrivals.entries()) {
            hub.clock.setWall(1_750_000_000_000 + index * 1000);
            const topic = a.kind === "reported" ? "report" : a.kind;
            const received = hub.ingest.receive(a.node, topic, payloadOf(a));
            if (isCut(index)) await hub.clock.advance(INGEST_BATCH_DELAY_MS);
            else received.catch(() => {});
          }
          await hub.clock.advance(INGEST_BATCH_DELAY_MS);
          const bare = (o: { metadata: { resourceVersion?: string } }) => ({
            ...o,
            metadata: { ...o.metadata, resourceVersion: "" },
          });
          return {
            nodes: store.list("EdgeNode").map(bare),
            assignments: store.list("Assignment").map(bare),
            cursors: [store.cursor("n1"), store.cursor("n2")],
            notices: store.list("Event").map((e) => ({ ...e, metadata: e.metadata.name })),
            events: hub.events
              .filter((e) => e.reason !== "LinkLost")
              .map((e) => [e.about.metadata.name, e.reason, e.message]),
          };
        };
        const oneByOne = await run(() => true);
        expect(await run(() => false)).toEqual(oneByOne);
        expect(await run((index) => arrivals[index]?.[1] ?? true)).toEqual(oneByOne);
      },
    ),
    { seed: 42, numRuns: 150 },
  );
});

function notice(message: string) {
  return { type: "Warning", reason: "Noticed", message, happenedAt: 0 } as const;
}
