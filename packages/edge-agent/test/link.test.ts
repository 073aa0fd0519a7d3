import { CodedError } from "@flotilla/shared/kernel/errors";
import { canonicalJson } from "@flotilla/shared/kernel/json";
import type { DesiredState } from "@flotilla/shared/model/desired-state";
import { HEARTBEAT_INTERVAL_MS } from "@flotilla/shared/model/lease";
import { Codec } from "@flotilla/shared/protocol/codec";
import { DOWN_MESSAGE_BYTES_MAX, UP_PACKET_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import { HUB_STATE_TOPIC } from "@flotilla/shared/protocol/topics";
import type { LogChunk } from "@flotilla/shared/protocol/up/log-chunk";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import type { SqliteAgentStore } from "../src/adapters/store/sqlite-agent-store.ts";
import { BACK_OFF, LinkService, PULL_INTERVAL_MS } from "../src/app/link/link-service.ts";
import type { Credentials } from "../src/app/link/ports.ts";
import { QUESTIONS_MAX, type Question } from "../src/app/link/questions.ts";
import { ACK_TIMEOUT_MS, OUTBOX_WINDOW } from "../src/app/link/session-sender.ts";
import type { AgentStore } from "../src/app/state/ports.ts";
import { desiredState } from "./support/desired.ts";
import { FakeLink, type FakePublish } from "./support/fake-link.ts";
import { memoryAgentStore } from "./support/memory-agent-store.ts";

const codec = new Codec();
const SIGNATURE = `${"A".repeat(86)}==`;
const KEY_ID = "0123456789abcdef";

const credentials: Credentials = {
  nodeId: "n1",
  shard: "0",
  certificate: "cert",
  privateKey: "key",
  caCertificate: "ca",
  signingKey: "signing",
  mqttUrl: "mqtts://hub:8883",
  apiUrl: "https://hub:6443",
  certificateNotBeforeMs: 0,
  certificateExpiresMs: 1,
};

const BIRTH_FACTS = {
  agentVersion: "0.1.0",
  bootId: "boot-1",
  inventory: {
    architecture: "x64",
    operatingSystem: "Debian",
    kernelVersion: "6",
    cpuModel: "",
    manufacturer: "",
    machineModel: "",
    runtimes: ["process"],
    gpus: [],
  },
  reading: {
    capacity: { milliCpu: 1000, memoryBytes: 1, diskBytes: 1, gpuCount: 0 },
    usage: { cpuRatio: 0, memoryUsedBytes: 0, diskUsedBytes: 0 },
  },
  reported: { acceptedRevision: 0, convergedRevision: 0, instances: [] },
};

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

function setUp(
  over: {
    readonly store?: SqliteAgentStore;
    readonly wallMs?: number;
    readonly credentials?: Credentials | undefined;
    readonly onLogGet?: () => Promise<LogChunk>;
    readonly wrapStore?: (store: SqliteAgentStore) => AgentStore;
  } = {},
) {
  const store = over.store ?? memoryAgentStore();
  const clock = new ManualClock(over.wallMs === undefined ? {} : { wallMs: over.wallMs });
  const link = new FakeLink();
  const metrics = new RecordingMetrics();
  const log = new RecordingLog();
  const accepted: DesiredState[] = [];
  let unauthorizedCount = 0;
  const service = new LinkService(
    {},
    {
      link,
      store: over.wrapStore?.(store) ?? store,
      credentials: { load: () => ("credentials" in over ? over.credentials : credentials) },
      codec,
      verifier: { verify: (d) => d.signature === SIGNATURE && d.keyId === KEY_ID },
      clock,
      random: new SeededRandom(5),
      log,
      metrics,
      onDesiredAccepted: (state) => accepted.push(state),
      onLogGet:
        over.onLogGet ?? (async () => ({ instance: "i", text: "the log", truncated: false })),
      birthFacts: () => BIRTH_FACTS,
      onUnauthorized: () => {
        unauthorizedCount += 1;
      },
    },
  );
  const controller = new AbortController();
  // A turn later, so that a test can first say what the hub does.
  const running = Promise.resolve().then(() => service.run(controller.signal));
  running.catch(() => undefined);
  const stop = async (): Promise<void> => {
    controller.abort();
    await clock.advance(0);
    await running.catch(() => undefined);
  };
  stops.push(stop);
  const enqueueNotice = (n: number): void => {
    store.enqueue({ kind: "notice", body: { n } });
    service.wake();
  };
  return {
    store,
    clock,
    link,
    metrics,
    log,
    accepted,
    service,
    running,
    stop,
    enqueueNotice,
    unauthorized: () => unauthorizedCount,
  };
}

function offer(over: Partial<DesiredState> = {}): Record<string, string> {
  return { payload: canonicalJson(desiredState(over)), signature: SIGNATURE, keyId: KEY_ID };
}

test("a session begins with a birth, then the pull, then what waited, and every message is one that the hub understands", async () => {
  const { store, clock, link } = setUp();
  store.enqueue({ kind: "report", body: {}, coalesceKey: "capacity" });
  store.enqueue({
    kind: "notice",
    body: { type: "Normal", reason: "Started", message: "", happenedAt: 1 },
  });
  await clock.advance(0);
  const { published, options } = link.last;
  expect(link.last.kinds).toEqual(["birth", "desired-get", "notice"]);
  expect(published.map((p) => p.topic)).toEqual([
    "fl/v1/0/n1/up/birth",
    "fl/v1/0/n1/up/desired-get",
    "fl/v1/0/n1/up/notice",
  ]);
  expect(published.map((p) => [p.message.epoch, p.message.seq])).toEqual([
    [1, 1],
    [1, 2],
    [1, 3],
  ]);
  for (const { message } of published)
    expect(codec.decodeUp(new TextEncoder().encode(JSON.stringify(message))).ok).toBe(true);
  expect(codec.decodeUp(options.will.payload)).toMatchObject({
    ok: true,
    message: { kind: "death", epoch: 1, seq: 0, body: { bootId: "boot-1" } },
  });
  expect(options.subscriptions).toEqual(["fl/v1/0/n1/down", HUB_STATE_TOPIC]);
  expect(store.outboxCount()).toBe(0);
});

test("nothing but the birth is sent before it is acknowledged, and no outbox before the pull is", async () => {
  const { clock, link, enqueueNotice } = setUp();
  const waiting: FakePublish[] = [];
  link.onOpen = (session) => {
    session.onPublish = (publish) => waiting.push(publish);
  };
  enqueueNotice(1);
  await clock.advance(0);
  expect(link.last.kinds).toEqual(["birth"]);
  waiting[0]?.ack();
  await clock.advance(0);
  expect(link.last.kinds).toEqual(["birth", "desired-get"]);
  waiting[1]?.ack();
  await clock.advance(0);
  expect(link.last.kinds).toEqual(["birth", "desired-get", "notice"]);
});

test("the outbox is drained in order, a window at a time, and what was not acknowledged is sent again with its id", async () => {
  const { store, clock, link, enqueueNotice } = setUp();
  for (let n = 0; n < OUTBOX_WINDOW + 4; n++) enqueueNotice(n);
  let acks = 0;
  link.onOpen = (session) => {
    session.onPublish = (publish) => {
      if (publish.message.kind !== "notice" || ++acks <= 10) publish.ack();
    };
  };
  await clock.advance(0);
  const first = link.last.published.filter((p) => p.message.kind === "notice");
  expect(first).toHaveLength(OUTBOX_WINDOW);
  link.last.end();
  await clock.advance(0);
  expect(store.outboxCount()).toBe(OUTBOX_WINDOW + 4 - 10);
  link.onOpen = () => undefined;
  await clock.advance(BACK_OFF.baseMs);
  const again = link.last.published.filter((p) => p.message.kind === "notice");
  expect(again.map((p) => p.message.body["n"])).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  expect(again[0]?.message.id).toBe(first[10]?.message.id);
  expect(store.outboxCount()).toBe(0);
});

test("with cuts anywhere, every notice reaches the hub, in order but for repetitions, and no number is given twice", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 6 }),
      fc.nat({ max: 40 }),
      async (cuts, count) => {
        const { store, clock, link, enqueueNotice, stop } = setUp();
        const received: number[] = [];
        const positions: string[] = [];
        link.onOpen = (session) => {
          const cutAfter = cuts[link.sessions.length - 1] ?? Number.POSITIVE_INFINITY;
          session.onPublish = (publish) => {
            positions.push(`${publish.message.epoch}.${publish.message.seq}`);
            const { n } = publish.message.body;
            if (typeof n === "number") received.push(n);
            if (session.published.length > cutAfter) session.end();
            else publish.ack();
          };
        };
        for (let n = 0; n < count; n++) enqueueNotice(n);
        await clock.advance(BACK_OFF.capMs * (cuts.length + 1));
        expect(store.outboxCount()).toBe(0);
        const firsts = received.filter((n, i) => received.indexOf(n) === i);
        expect(firsts).toEqual(Array.from({ length: count }, (_, n) => n));
        expect(new Set(positions).size).toBe(positions.length);
        await stop();
      },
    ),
    { seed: 42, numRuns: 25 },
  );
});

test("with nothing to say the lease is kept by an empty report, which is not stored", async () => {
  const { clock, link, store, enqueueNotice } = setUp();
  await clock.advance(0);
  await clock.advance(HEARTBEAT_INTERVAL_MS);
  expect(link.last.kinds.slice(2)).toEqual(["report"]);
  expect(link.last.published.at(-1)?.message.body).toEqual({});
  await clock.advance(HEARTBEAT_INTERVAL_MS / 2);
  enqueueNotice(1);
  await clock.advance(HEARTBEAT_INTERVAL_MS - 1);
  expect(link.last.kinds.slice(2)).toEqual(["report", "notice"]);
  await clock.advance(1);
  expect(link.last.kinds.slice(2)).toEqual(["report", "notice", "report"]);
  expect(store.outboxCount()).toBe(0);
});

test("a machine that slept through its heartbeats sends one at once when it wakes", async () => {
  const { clock, link } = setUp();
  await clock.advance(1);
  const before = link.last.published.length;
  clock.suspend(3_600_000);
  await clock.advance(HEARTBEAT_INTERVAL_MS);
  expect(link.last.published.length).toBeGreaterThan(before);
});

test("a hub that acknowledges nothing is left after half a minute", async () => {
  const { clock, link } = setUp();
  link.onOpen = (session) => {
    session.onPublish = () => undefined;
  };
  await clock.advance(ACK_TIMEOUT_MS - 1);
  expect(link.last.isOver).toBe(false);
  await clock.advance(1);
  expect(link.sessions[0]?.isOver).toBe(true);
});

test("a desired state that is the hub's, for this node and newer is stored and told; notify leads to a pull", async () => {
  const { clock, link, store, accepted, metrics } = setUp();
  await clock.advance(0);
  link.last.send("desired-notify", { revision: 3 });
  link.last.send("desired-notify", { revision: 4 });
  await clock.advance(0);
  expect(link.last.kinds).toEqual(["birth", "desired-get", "desired-get"]);
  link.last.send("desired", offer({ revision: 4 }));
  expect(store.desired()?.state.revision).toBe(4);
  expect(accepted.map((s) => s.revision)).toEqual([4]);
  link.last.send("desired-notify", { revision: 4 });
  await clock.advance(0);
  expect(link.last.kinds).toHaveLength(3);
  link.last.send("desired", offer({ revision: 4 }));
  expect(metrics.total("flotilla_agent_desired_total", { reason: "AlreadyHeld" })).toBe(1);
  expect(accepted).toHaveLength(1);
});

test.each([
  [
    "a forged signature",
    { ...offer({ revision: 9 }), signature: `${"B".repeat(86)}==` },
    "BadSignature",
  ],
  ["a wrong key id", { ...offer({ revision: 9 }), keyId: "f".repeat(16) }, "BadSignature"],
  ["another node's", offer({ revision: 9, nodeId: "n2" }), "OtherNode"],
  ["a replayed older one", offer({ revision: 2 }), "OlderRevision"],
  [
    "the same revision with another content",
    offer({ revision: 4, issuedAt: "later" }),
    "RevisionReused",
  ],
  ["a truncated one", { ...offer({ revision: 9 }), payload: '{"nodeId":"n1"' }, "NotADesiredState"],
])("%s is refused, told once to the hub, and changes nothing", async (_, body, reason) => {
  const { clock, link, store, accepted } = setUp();
  await clock.advance(0);
  link.last.send("desired", offer({ revision: 4 }));
  for (let i = 0; i < 5; i++) link.last.send("desired", body);
  await clock.advance(0);
  expect(store.desired()?.state.revision).toBe(4);
  expect(accepted).toHaveLength(1);
  const notices = link.last.published.filter((p) => p.message.kind === "notice");
  expect(notices.map((p) => p.message.body["reason"])).toEqual([`Desired${reason}`]);
});

test.each<[string, Uint8Array, string]>([
  ["an oversized one", new Uint8Array(DOWN_MESSAGE_BYTES_MAX + 1), "too-large"],
  ["no UTF-8", Uint8Array.of(0xff, 0xfe), "not-utf8"],
  ["no JSON", new TextEncoder().encode("{"), "not-json"],
  ["nesting without end", new TextEncoder().encode("[".repeat(10_000)), "too-deep"],
  ["no envelope", new TextEncoder().encode("{}"), "bad-envelope"],
  [
    "an unknown kind",
    new TextEncoder().encode(JSON.stringify({ v: 1, kind: "later", id: "x", sentAt: 1, body: {} })),
    "unknown-kind",
  ],
  [
    "a body of another shape",
    new TextEncoder().encode(
      JSON.stringify({ v: 1, kind: "desired-notify", id: "x", sentAt: 1, body: { revision: "1" } }),
    ),
    "bad-body",
  ],
])("a message that is %s is counted and the session goes on", async (_, bytes, reason) => {
  const { clock, link, metrics } = setUp();
  await clock.advance(0);
  link.last.sendBytes(bytes);
  link.last.sendBytes(bytes, HUB_STATE_TOPIC);
  await clock.advance(HEARTBEAT_INTERVAL_MS);
  expect(metrics.total("flotilla_agent_link_ignored_total", { reason })).toBe(1);
  expect(metrics.total("flotilla_agent_link_ignored_total", { reason: "bad-hub-state" })).toBe(1);
  expect(link.sessions).toHaveLength(1);
  expect(link.last.kinds.at(-1)).toBe("report");
});

test("with the device's clock at 1970 expiry is judged by the hub's", async () => {
  const { clock, link, metrics, accepted } = setUp({ wallMs: 0 });
  await clock.advance(0);
  const hubMs = 1_750_000_000_000;
  link.last.send("desired", offer({ revision: 1 }), { sentAt: hubMs, expiresAt: hubMs + 5_000 });
  expect(accepted).toHaveLength(1);
  await clock.advance(6_000);
  link.last.send("desired", offer({ revision: 2 }), { sentAt: hubMs, expiresAt: hubMs + 5_000 });
  expect(accepted).toHaveLength(1);
  expect(metrics.total("flotilla_agent_link_ignored_total", { reason: "expired" })).toBe(1);
  expect(link.last.published[0]?.message).toMatchObject({ kind: "birth" });
});

test("a rebirth is answered by a birth; an epoch that is behind is raised first, and only once", async () => {
  const { clock, link, store } = setUp();
  await clock.advance(0);
  link.last.send("rebirth", { reason: "lost it" });
  await clock.advance(0);
  expect(link.last.kinds).toEqual(["birth", "desired-get", "birth", "desired-get"]);
  link.last.send("epoch-behind", { seenEpoch: 41 });
  link.last.send("epoch-behind", { seenEpoch: 41 });
  await clock.advance(0);
  const births = link.last.published.filter((p) => p.message.kind === "birth");
  expect(births.map((p) => [p.message.epoch, p.message.seq])).toEqual([
    [1, 1],
    [1, 3],
    [42, 1],
  ]);
  expect(store.epoch).toBe(42);
  link.last.send("epoch-behind", { seenEpoch: 2 ** 50 });
  expect(store.epoch).toBe(42);
});

test("a hub that raises the epoch again and again is not followed for long", async () => {
  const { clock, link, store } = setUp();
  await clock.advance(0);
  for (let i = 0; i < 20; i++) link.last.send("epoch-behind", { seenEpoch: 100 + i * 10 });
  await clock.advance(0);
  expect(store.epoch).toBe(121);
});

test("a stop while a session is being opened does not wait for it", async () => {
  const { clock, link, stop, running } = setUp();
  const seen: AbortSignal[] = [];
  link.open = (_options, _onMessage, signal) =>
    new Promise((resolve) => {
      if (signal === undefined) return;
      seen.push(signal);
      signal.addEventListener("abort", () => resolve({ ok: false, end: { kind: "closed" } }));
    });
  await clock.advance(0);
  await stop();
  await running;
  expect(seen.map((s) => s.aborted)).toEqual([true]);
});

test("what waits is not lost under an epoch that is behind: it goes after the birth of the new one", async () => {
  const { clock, link, enqueueNotice } = setUp();
  enqueueNotice(1);
  link.onOpen = (session) => {
    session.onPublish = (publish) => {
      if (publish.message.kind === "birth" && publish.message.epoch < 8)
        session.send("epoch-behind", { seenEpoch: 7 });
      publish.ack();
    };
  };
  await clock.advance(0);
  expect(link.last.published.map((p) => `${p.message.kind} ${p.message.epoch}`)).toEqual([
    "birth 1",
    "birth 8",
    "desired-get 8",
    "notice 8",
  ]);
});

test("a log request is answered with its id; a failure is an answer too, and a long log is cut to fit", async () => {
  let answer = async (): Promise<LogChunk> => ({ instance: "i", text: "end", truncated: false });
  const { clock, link } = setUp({ onLogGet: () => answer() });
  await clock.advance(0);
  const ask = async (id: string) => {
    link.last.send("log-get", { instance: "i", tailLines: 10 }, { id });
    await clock.advance(0);
    return link.last.published.at(-1)?.message;
  };
  expect(await ask("q1")).toMatchObject({
    kind: "log-chunk",
    replyTo: "q1",
    body: { text: "end" },
  });
  answer = () => Promise.reject(new Error("no such instance"));
  expect(await ask("q2")).toMatchObject({ replyTo: "q2", body: { error: "no such instance" } });
  answer = async () => ({ instance: "i", text: `${"\u0001".repeat(120_000)}!`, truncated: false });
  const cut = await ask("q3");
  expect(cut?.body["truncated"]).toBe(true);
  expect(String(cut?.body["text"]).endsWith("!")).toBe(true);
  expect(JSON.stringify(cut).length).toBeLessThan(UP_PACKET_BYTES_MAX);
});

test("a message that is larger than a packet may be is dropped, and a birth says what a report would have", async () => {
  const { clock, link, store, service, metrics, enqueueNotice } = setUp();
  await clock.advance(0);
  store.enqueue({ kind: "report", body: { reported: "x".repeat(UP_PACKET_BYTES_MAX) } });
  enqueueNotice(1);
  service.wake();
  await clock.advance(0);
  expect(link.last.kinds.slice(2)).toEqual(["notice", "birth"]);
  expect(store.outboxCount()).toBe(0);
  expect(metrics.total("flotilla_agent_link_unsendable_total", { kind: "report" })).toBe(1);
});

test("waits between tries stay below a limit that doubles up to two minutes, and begin anew after a good session", async () => {
  const { clock, link } = setUp();
  link.failure = { kind: "unreachable", detail: "no route" };
  await clock.advance(0);
  let last = 0;
  const waits: number[] = [];
  for (let ms = 0; ms < 3_600_000 && waits.length < 12; ms += 100) {
    const before = link.openCount;
    await clock.advance(100);
    if (link.openCount > before) {
      waits.push(clock.bootMs() - last);
      last = clock.bootMs();
    }
  }
  waits.forEach((wait, n) => {
    expect(wait).toBeLessThanOrEqual(Math.min(BACK_OFF.capMs, BACK_OFF.baseMs * 2 ** n) + 200);
  });
  expect(Math.max(...waits)).toBeGreaterThan(BACK_OFF.capMs / 4);
  link.failure = undefined;
  await clock.advance(BACK_OFF.capMs);
  expect(link.sessions).toHaveLength(1);
  await clock.advance(60_000);
  link.last.end();
  await clock.advance(BACK_OFF.baseMs);
  expect(link.sessions).toHaveLength(2);
});

test("an unaccepted certificate asks for a new one; new credentials are used at once", async () => {
  const { clock, link, unauthorized, service } = setUp();
  link.failure = { kind: "unauthorized", detail: "revoked" };
  await clock.advance(0);
  await clock.advance(5_000);
  expect(unauthorized()).toBeGreaterThan(0);
  link.failure = undefined;
  service.reconnect();
  await clock.advance(0);
  expect(service.status()).toMatchObject({ phase: "online" });
  service.reconnect();
  await clock.advance(0);
  expect(link.sessions).toHaveLength(2);
  expect(service.status()).toMatchObject({ phase: "online" });
});

test("without credentials nothing is opened, and it says so", async () => {
  const { clock, link, service } = setUp({ credentials: undefined });
  await clock.advance(10_000);
  expect(link.openCount).toBe(0);
  expect(service.status().lastEnd).toMatchObject({ kind: "unauthorized" });
});

test("a desired state that a full disk could not take is asked for again, and the session goes on", async () => {
  let isFull = true;
  const { clock, link, accepted } = setUp({
    wrapStore: (store) =>
      new Proxy(store, {
        get: (target, name) => {
          if (name === "acceptDesired" && isFull)
            return () => {
              throw new CodedError("database-full", "no space");
            };
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      }),
  });
  link.onOpen = (session) => {
    session.onPublish = (publish) => {
      publish.ack();
      if (publish.message.kind === "desired-get") session.send("desired", offer({ revision: 2 }));
    };
  };
  await clock.advance(1_000);
  expect(accepted).toHaveLength(0);
  isFull = false;
  await clock.advance(60_000);
  expect(accepted).toHaveLength(1);
  expect(link.sessions).toHaveLength(1);
});

test("the desired state is pulled every five minutes also when no notification came", async () => {
  const { clock, link } = setUp();
  await clock.advance(PULL_INTERVAL_MS + 1_000);
  expect(link.last.kinds.filter((k) => k === "desired-get")).toHaveLength(2);
});

test("the retained hub state that comes with the subscription is read, and an older term is not believed", async () => {
  const { clock, link, service } = setUp();
  const state = (term: number) =>
    new TextEncoder().encode(JSON.stringify({ term, online: true, sentAt: 1 }));
  link.onOpen = (session) => session.sendBytes(state(7), HUB_STATE_TOPIC);
  await clock.advance(0);
  expect(service.status().hubTerm).toBe(7);
  link.last.sendBytes(state(6), HUB_STATE_TOPIC);
  expect(service.status().hubTerm).toBe(7);
});

test("a stop in any state closes the session, leaves no timer behind and ends the service", async () => {
  for (const prepare of ["online", "backing-off"] as const) {
    const { clock, link, stop, running, service } = setUp();
    if (prepare === "backing-off") link.failure = { kind: "refused", detail: "" };
    await clock.advance(0);
    expect(service.status().phase).toBe(prepare);
    await stop();
    await running;
    expect(link.sessions.every((s) => s.isOver)).toBe(true);
    expect(clock.sleeperCount).toBe(0);
  }
});

const BYTES_GET = {
  kind: "bytes-get",
  body: { path: "metadata/timestamp.json", offset: 0, length: 10 },
} as const;
const ARTIFACT_GET: Question = {
  kind: "artifact-get",
  body: { target: "a".repeat(64), bases: [], memoryBytes: 1, isUrgent: true, failed: [] },
};

function asking(timeoutMs = 10_000) {
  return { timeoutMs, signal: new AbortController().signal };
}

/** The code that a question fails with. */
async function codeOf(question: Promise<unknown>): Promise<string> {
  const error: unknown = await question.then(
    () => "answered",
    (e: unknown) => e,
  );
  return error instanceof CodedError ? error.code : String(error);
}

test("a question ends with its answer, in time or not, or with its session", async () => {
  const { clock, link, metrics, service } = setUp();
  expect(await codeOf(service.ask(BYTES_GET, asking()))).toBe("link-down");
  await clock.advance(0);
  const first = service.ask(BYTES_GET, asking());
  await clock.advance(0);
  const id = link.last.published.at(-1)?.message.id ?? "";
  expect(link.last.published.at(-1)?.message).toMatchObject(BYTES_GET);
  // An answer to nothing, and one of another kind, are not taken.
  link.last.send("bytes", { data: "", totalBytes: 0 }, { replyTo: "nobody" });
  link.last.send("artifact-offer", { target: "a".repeat(64), status: "unknown" }, { replyTo: id });
  expect(metrics.total("flotilla_agent_link_ignored_total", { reason: "not-asked" })).toBe(2);
  link.last.send("bytes", { data: "aGk=", totalBytes: 2 }, { replyTo: id });
  expect(await first).toEqual({ data: "aGk=", totalBytes: 2 });
  // The same answer again answers nobody.
  link.last.send("bytes", { data: "aGk=", totalBytes: 2 }, { replyTo: id });
  expect(metrics.total("flotilla_agent_link_ignored_total", { reason: "not-asked" })).toBe(3);

  const late = codeOf(service.ask(ARTIFACT_GET, asking(5_000)));
  await clock.advance(5_000);
  expect(await late).toBe("link-timeout");

  const abort = new AbortController();
  const given = codeOf(service.ask(ARTIFACT_GET, { timeoutMs: 5_000, signal: abort.signal }));
  abort.abort(new CodedError("stopped", "stopped"));
  expect(await given).toBe("stopped");

  const cut = codeOf(service.ask(ARTIFACT_GET, asking()));
  await clock.advance(0);
  link.last.end();
  expect(await cut).toBe("link-down");
  expect(clock.sleeperCount).toBe(1);
});

test("no more questions wait than may", async () => {
  const { clock, service } = setUp();
  await clock.advance(0);
  const codes = Array.from({ length: QUESTIONS_MAX + 1 }, () =>
    codeOf(service.ask(BYTES_GET, asking(1_000))),
  );
  expect(await codes[QUESTIONS_MAX]).toBe("link-busy");
  await clock.advance(1_000);
  expect(new Set(await Promise.all(codes.slice(0, QUESTIONS_MAX)))).toEqual(
    new Set(["link-timeout"]),
  );
});

test("questions wait for everything else, and no download stands in for a heartbeat", async () => {
  const { clock, link, service, store, enqueueNotice } = setUp();
  await clock.advance(0);
  const session = link.last;
  const before = session.kinds.length;
  for (let n = 0; n < OUTBOX_WINDOW + 3; n++) store.enqueue({ kind: "notice", body: { n } });
  const first = codeOf(service.ask(ARTIFACT_GET, asking()));
  enqueueNotice(99);
  await clock.advance(0);
  expect(session.kinds.slice(before)).toEqual([
    ...Array.from({ length: OUTBOX_WINDOW + 4 }, () => "notice"),
    "artifact-get",
  ]);
  await clock.advance(10_000);
  expect(await first).toBe("link-timeout");
  // A download that asks all the time: heartbeats come as they would without it.
  const start = session.published.length;
  for (let turn = 0; turn < 60; turn++) {
    const question = codeOf(service.ask(BYTES_GET, asking()));
    await clock.advance(1_000);
    const { id } = session.published.findLast((p) => p.message.kind === "bytes-get")?.message ?? {};
    session.send("bytes", { data: "", totalBytes: 0 }, { replyTo: id });
    expect(await question).toBe("answered");
  }
  const beats = session.kinds.slice(start).filter((kind) => kind === "report");
  expect(beats.length).toBeGreaterThanOrEqual(Math.floor(60_000 / HEARTBEAT_INTERVAL_MS));
});
