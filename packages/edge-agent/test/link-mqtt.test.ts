import { once } from "node:events";
import { createServer as createTcpServer, type Server } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { systemClock } from "@flotilla/shared/platform/clock";
import { systemRandom } from "@flotilla/shared/platform/random";
import { Codec } from "@flotilla/shared/protocol/codec";
import { DOWN_MESSAGE_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { Aedes } from "aedes";
import { afterEach, beforeAll, expect, test } from "vitest";
import { MqttLink } from "../src/adapters/mqtt/mqtt-link.ts";
import { LinkService } from "../src/app/link/link-service.ts";
import type { Session, SessionOptions } from "../src/app/link/ports.ts";
import { memoryAgentStore } from "./support/memory-agent-store.ts";
import { type KeyAndCertificate, makeTestCa, type TestCa } from "./support/pki.ts";
import { portOf, startTcpProxy } from "./support/tcp-proxy.ts";

const clock = systemClock();
const link = new MqttLink({ clock });
const DOWN = "fl/v1/0/n1/down";
const UP = "fl/v1/0/n1/up/report";
let ca: TestCa;
let node: KeyAndCertificate;
let hub: KeyAndCertificate;

beforeAll(async () => {
  ca = await makeTestCa();
  node = await ca.client("n1");
  hub = await ca.server();
});

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function listen(server: Server, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return portOf(server.address());
}

/** A real broker over mutual TLS. */
async function startBroker(
  options: { readonly hub?: KeyAndCertificate; readonly port?: number } = {},
): Promise<{ readonly broker: Aedes; readonly port: number; readonly stop: () => Promise<void> }> {
  const broker = await Aedes.createBroker();
  const { privateKey, certificate } = options.hub ?? hub;
  const sockets = new Set<TLSSocket>();
  const server = createServer(
    { key: privateKey, cert: certificate, ca: ca.certificate, requestCert: true },
    (socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      broker.handle(socket);
    },
  );
  server.on("tlsClientError", () => undefined);
  const port = await listen(server, options.port);
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => {
      server.close(resolve);
    });
    await new Promise<void>((resolve) => {
      broker.close(() => resolve());
    });
  };
  cleanups.push(stop);
  return { broker, port, stop };
}

function optionsFor(port: number, over: Partial<SessionOptions> = {}): SessionOptions {
  return {
    url: `mqtts://127.0.0.1:${port}`,
    nodeId: "n1",
    certificate: node.certificate,
    privateKey: node.privateKey,
    caCertificate: ca.certificate,
    will: { topic: "fl/v1/0/n1/up/death", payload: new TextEncoder().encode("dead") },
    subscriptions: [DOWN],
    keepaliveSeconds: 20,
    connectTimeoutMs: 5_000,
    ...over,
  };
}

async function openSession(
  port: number,
  over: Partial<SessionOptions> = {},
  onMessage: (topic: string, payload: Uint8Array) => void = () => undefined,
): Promise<Session> {
  const opened = await open(optionsFor(port, over), onMessage);
  if (!opened.ok) throw new Error(`not opened: ${JSON.stringify(opened.end)}`);
  cleanups.push(() => opened.session.close());
  return opened.session;
}

function open(
  options: SessionOptions,
  onMessage: (topic: string, payload: Uint8Array) => void,
): ReturnType<MqttLink["open"]> {
  return link.open(options, onMessage, new AbortController().signal);
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("messages go both ways over mutual TLS, and a publish resolves with the hub's acknowledgement", async () => {
  const { broker, port } = await startBroker();
  const events: string[] = [];
  const asked = Promise.withResolvers<() => void>();
  broker.authorizePublish = (_client, packet, callback) => {
    asked.resolve(() => {
      events.push(`committed ${packet.payload.toString()}`);
      callback(null);
    });
  };
  const received = Promise.withResolvers<string>();
  const session = await openSession(port, {}, (topic, payload) =>
    received.resolve(`${topic} ${new TextDecoder().decode(payload)}`),
  );
  const published = session.publish(UP, bytes("r1"), { retain: false }).then(() => {
    events.push("acknowledged");
  });
  const commit = await asked.promise;
  await clock.sleep(50);
  expect(events).toEqual([]);
  commit();
  await published;
  expect(events).toEqual(["committed r1", "acknowledged"]);
  broker.publish(
    { cmd: "publish", topic: DOWN, payload: "hello", qos: 1, retain: false, dup: false },
    () => undefined,
  );
  expect(await received.promise).toBe(`${DOWN} hello`);
  await session.close();
  expect(await session.ended).toEqual({ kind: "closed" });
  await expect(session.publish(UP, bytes("late"), { retain: false })).rejects.toThrow("ended");
});

test("a publish that is not acknowledged is rejected when the session ends, also when it is closed here", async () => {
  const { broker, port, stop } = await startBroker();
  broker.authorizePublish = () => undefined;
  const first = await openSession(port);
  const lost = first.publish(UP, bytes("x"), { retain: false });
  await Promise.all([first.close(), expect(lost).rejects.toMatchObject({ code: "session-ended" })]);
  const second = await openSession(port);
  const cut = second.publish(UP, bytes("x"), { retain: false });
  await Promise.all([stop(), expect(cut).rejects.toMatchObject({ code: "session-ended" })]);
  expect((await second.ended).kind).toBe("unreachable");
});

test("a hub of another CA, or of another name, is not trusted, and not a byte of MQTT goes to it", async () => {
  const other = await makeTestCa("other CA");
  const impostors = [await other.server(), await ca.server(["elsewhere.example"])];
  for (const impostor of impostors) {
    const { broker, port } = await startBroker({ hub: impostor });
    let packets = 0;
    broker.preConnect = (_client, _packet, callback) => {
      packets += 1;
      callback(null, true);
    };
    const opened = await open(optionsFor(port), () => undefined);
    expect(opened).toMatchObject({ ok: false, end: { kind: "unreachable" } });
    expect(packets).toBe(0);
  }
});

test("a certificate that the hub does not accept is told from a hub that is away", async () => {
  const { port } = await startBroker();
  const other = await makeTestCa("other CA");
  const stranger = await other.client("n1");
  const opened = await open(optionsFor(port, stranger), () => undefined);
  expect(opened.ok ? "opened" : opened.end.kind).toMatch(/^(unauthorized|refused)$/);
});

test.each([
  [5, "unauthorized"],
  [4, "unauthorized"],
  [3, "unreachable"],
  [2, "refused"],
] as const)("CONNACK %i is %s", async (returnCode, kind) => {
  const { broker, port } = await startBroker();
  broker.authenticate = (_client, _user, _password, callback) => {
    callback(Object.assign(new Error("no"), { returnCode }), false);
  };
  expect(await open(optionsFor(port), () => undefined)).toMatchObject({
    ok: false,
    end: { kind },
  });
});

test("a subscription that is refused is no session", async () => {
  const { broker, port } = await startBroker();
  broker.authorizeSubscribe = (_client, _subscription, callback) => callback(null, null);
  expect(await open(optionsFor(port), () => undefined)).toMatchObject({
    ok: false,
    end: { kind: "refused" },
  });
});

test("nobody listening, a server that stays silent and an address that is none are unreachable", async () => {
  const silent = createTcpServer((socket) => {
    socket.on("error", () => socket.destroy()).resume();
  });
  const port = await listen(silent);
  cleanups.push(
    () =>
      new Promise((resolve) => {
        silent.close(resolve);
      }),
  );
  const unreachable = { ok: false, end: { kind: "unreachable" } };
  const noop = (): void => undefined;
  expect(await open(optionsFor(port, { connectTimeoutMs: 300 }), noop)).toMatchObject(unreachable);
  expect(await open(optionsFor(1), noop)).toMatchObject(unreachable);
  expect(await open(optionsFor(port, { url: "not a url" }), noop)).toMatchObject(unreachable);
  expect(await open(optionsFor(port, { privateKey: "no key" }), noop)).toMatchObject(unreachable);
});

test("opening is given up at once when it is aborted, and an open session is closed", async () => {
  const silent = createTcpServer((socket) => {
    socket.on("error", () => socket.destroy()).resume();
  });
  const port = await listen(silent);
  cleanups.push(
    () =>
      new Promise((resolve) => {
        silent.close(resolve);
      }),
  );
  const controller = new AbortController();
  const opening = link.open(optionsFor(port), () => undefined, controller.signal);
  await clock.sleep(100);
  const abortedMs = clock.bootMs();
  controller.abort();
  expect(await opening).toEqual({ ok: false, end: { kind: "closed" } });
  expect(clock.bootMs() - abortedMs).toBeLessThan(1_000);

  const { port: goodPort } = await startBroker();
  const second = new AbortController();
  const opened = await link.open(optionsFor(goodPort), () => undefined, second.signal);
  second.abort();
  expect(opened.ok ? await opened.session.ended : undefined).toEqual({ kind: "closed" });
});

test("a link that is cut without a FIN is noticed within one and a half keepalives", async () => {
  const { port } = await startBroker();
  const proxy = await startTcpProxy(port);
  cleanups.push(() => proxy.close());
  const session = await openSession(proxy.port, { keepaliveSeconds: 1 });
  await clock.sleep(1_500);
  proxy.freeze();
  const frozenMs = clock.bootMs();
  expect((await session.ended).kind).toBe("unreachable");
  // 1.5 s for a keepalive of 1 s, so 30 s for the 20 s that are used.
  expect(clock.bootMs() - frozenMs).toBeLessThan(3_000);
});

test("a link that is cut is noticed as soon while messages are sent into it", async () => {
  const { port } = await startBroker();
  const proxy = await startTcpProxy(port);
  cleanups.push(() => proxy.close());
  const session = await openSession(proxy.port, { keepaliveSeconds: 1 });
  proxy.freeze();
  const frozenMs = clock.bootMs();
  let isOver = false;
  void session.ended.then(() => {
    isOver = true;
  });
  while (!isOver && clock.bootMs() - frozenMs < 10_000) {
    session.publish(UP, bytes("x"), { retain: false }).catch(() => undefined);
    await clock.sleep(100);
  }
  expect(clock.bootMs() - frozenMs).toBeLessThan(3_000);
});

test("a broker that announces a packet of 200 MB is left at its header; one within the limit is taken", async () => {
  const server = createServer({ key: hub.privateKey, cert: hub.certificate }, (socket) => {
    socket.on("error", () => socket.destroy());
    let step = 0;
    socket.on("data", (chunk) => {
      step += 1;
      if (step === 1) socket.write(Uint8Array.of(0x20, 2, 0, 0));
      if (step === 2) {
        socket.write(Uint8Array.of(0x90, 3, chunk[2] ?? 0, chunk[3] ?? 0, 1));
        socket.write(Uint8Array.of(0x30, 0x80, 0xe1, 0xeb, 0x5f));
        socket.write(Buffer.alloc(1024 * 1024));
      }
    });
  });
  const port = await listen(server);
  cleanups.push(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
      }),
  );
  const opened = await open(optionsFor(port), () => undefined);
  const end = opened.ok ? await opened.session.ended : opened.end;
  expect(end.kind).toBe("refused");

  const { broker, port: goodPort } = await startBroker();
  const received = Promise.withResolvers<number>();
  await openSession(goodPort, {}, (_topic, payload) => received.resolve(payload.byteLength));
  const payload = Buffer.alloc(DOWN_MESSAGE_BYTES_MAX, "a");
  broker.publish(
    { cmd: "publish", topic: DOWN, payload, qos: 1, retain: false, dup: false },
    () => undefined,
  );
  expect(await received.promise).toBe(DOWN_MESSAGE_BYTES_MAX);
});

test("the whole service comes up against a real broker, and comes back when the broker does, with what waited", async () => {
  const first = await startBroker();
  const { port } = first;
  const received: string[] = [];
  const codec = new Codec();
  const record = (broker: Aedes): void => {
    broker.authorizePublish = (client, packet, callback) => {
      const decoded = codec.decodeUp(new Uint8Array(Buffer.from(packet.payload)));
      if (client !== null) received.push(decoded.ok ? decoded.message.kind : decoded.failure);
      callback(null);
    };
  };
  record(first.broker);
  const store = memoryAgentStore();
  const service = new LinkService(
    { backOff: { baseMs: 50, capMs: 200 } },
    {
      link,
      store,
      credentials: {
        load: () => ({
          nodeId: "n1",
          shard: "0",
          ...node,
          caCertificate: ca.certificate,
          signingKey: "",
          mqttUrl: `mqtts://localhost:${port}`,
          apiUrl: "https://localhost:1",
          certificateNotBeforeMs: 0,
          certificateExpiresMs: 1,
        }),
      },
      codec,
      verifier: { verify: () => true },
      clock,
      random: systemRandom(),
      log: silentLog(),
      metrics: new RecordingMetrics(),
      onDesiredAccepted: () => undefined,
      onLogGet: () => Promise.reject(new Error("none")),
      birthFacts: () => ({
        agentVersion: "0.1.0",
        bootId: "b",
        inventory: {
          architecture: "x64",
          operatingSystem: "o",
          kernelVersion: "k",
          cpuModel: "",
          manufacturer: "",
          machineModel: "",
          runtimes: [],
          gpus: [],
        },
        reading: {
          capacity: { milliCpu: 1, memoryBytes: 1, diskBytes: 1, gpuCount: 0 },
          usage: { cpuRatio: 0, memoryUsedBytes: 0, diskUsedBytes: 0 },
        },
        reported: { acceptedRevision: 0, convergedRevision: 0, instances: [] },
      }),
      onUnauthorized: () => undefined,
    },
  );
  const controller = new AbortController();
  const running = service.run(controller.signal);
  cleanups.push(async () => {
    controller.abort();
    await running;
  });
  await expect.poll(() => received, { timeout: 10_000 }).toEqual(["birth", "desired-get"]);
  await first.stop();
  store.enqueue({
    kind: "notice",
    body: { type: "Normal", reason: "Alone", message: "", happenedAt: 1 },
  });
  service.wake();
  await expect.poll(() => service.status().phase, { timeout: 10_000 }).not.toBe("online");
  received.length = 0;
  record((await startBroker({ port })).broker);
  await expect
    .poll(() => received, { timeout: 10_000 })
    .toEqual(["birth", "desired-get", "notice"]);
  await expect.poll(() => store.outboxCount()).toBe(0);
});
