import { once } from "node:events";
import { connect as tcpConnect } from "node:net";
import type { TLSSocket } from "node:tls";
import { systemClock } from "@flotilla/shared/platform/clock";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import { UP_PACKET_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import fc from "fast-check";
import type { MqttClient } from "mqtt";
import { afterEach, expect, test } from "vitest";
import { createBroker } from "../src/adapters/broker/embedded-broker.ts";
import type { BrokerLimits } from "../src/adapters/broker/limits.ts";
import { NODE_CERTIFICATE_MS } from "../src/adapters/pki/limits.ts";
import {
  BrokerHarness,
  closedAfterMs,
  closeOf,
  connectOutcome,
  connectPacket,
  dataOf,
  fixedHeader,
  id,
  packet,
  pause,
  publishPacket,
  subscribePacket,
  until,
} from "./support/broker-harness.ts";

let harness: BrokerHarness | undefined;
afterEach(async () => {
  await harness?.stop();
  harness = undefined;
});

async function start(limits: Partial<BrokerLimits> = {}): Promise<BrokerHarness> {
  harness = await BrokerHarness.start(limits);
  return harness;
}

const HUB_STATE = "fl/v1/hub/state";
const BIRTH = "fl/v1/0/node-1/up/birth";

function rebirth(reason = "because"): DownMessage {
  return { v: 1, kind: "rebirth", id: "m1", sentAt: 1, body: { reason } };
}

async function metric(h: BrokerHarness, line: string): Promise<number> {
  const found = (await h.metrics.text()).split("\n").find((l) => l.startsWith(`${line} `));
  return Number(found?.split(" ").at(-1) ?? 0);
}

/** What becomes of a publication: `acknowledged`, or `closed`. */
function publishOutcome(client: MqttClient, topic: string): Promise<string> {
  return new Promise((resolve) => {
    client.once("close", () => resolve("closed"));
    client.publish(topic, "x", { qos: 1 }, (error) => {
      if (error === undefined || error === null) resolve("acknowledged");
    });
  });
}

// ---- who may connect

test("a node with its own certificate connects; the hub is told, and told again when it leaves", async () => {
  const h = await start();
  const client = await h.connected(await h.device("node-1"));
  expect(h.broker.link.isConnected(id("node-1"))).toBe(true);
  expect(h.changes).toEqual(["node-1 up"]);
  await client.endAsync();
  await until(() => !h.broker.link.isConnected(id("node-1")));
  expect(h.changes).toEqual(["node-1 up", "node-1 down"]);
  expect(h.received).toEqual([]);
});

test("without a certificate, or with one of a foreign CA, nobody gets as far as MQTT", async () => {
  const h = await start();
  expect(await connectOutcome(h.client(undefined))).not.toBe("connected");
  const foreign = await h.device("node-1", await h.foreignCa());
  expect(await connectOutcome(h.client(foreign))).not.toBe("connected");
  const expired = h.client(await h.device("node-1", h.ca, 0));
  expect(await connectOutcome(expired)).not.toBe("connected");
  const server = await h.ca.serverCredentials({ name: "api", hosts: [] });
  const asServer = h.client({ name: "localhost", serial: "", ...server });
  expect(await connectOutcome(asServer)).not.toBe("connected");
  expect(h.changes).toEqual([]);
});

test("plain TCP and TLS 1.1 are refused", async () => {
  const h = await start();
  const plain = tcpConnect(h.port, "127.0.0.1");
  plain.on("error", () => {});
  await once(plain, "connect");
  plain.write(connectPacket("node-1"));
  await closeOf(plain);
  const device = await h.device("node-1");
  const oldTls: object = { maxVersion: "TLSv1.1", minVersion: "TLSv1" };
  const old = h.client(device, oldTls);
  expect(await connectOutcome(old)).not.toBe("connected");
  expect(h.changes).toEqual([]);
});

test.each([
  ["another node's client id", { clientId: "node-2" }, "code 2"],
  ["a session that outlives the connection", { clean: false }, "code 2"],
  ["no keepalive", { keepalive: 0 }, "code 6"],
  ["a keepalive of a day", { keepalive: 65_535 }, "code 6"],
  ["MQTT 5", { protocolVersion: 5 as const }, "code 1"],
  [
    "a will on another node's topic",
    {
      will: { topic: "fl/v1/0/node-2/up/death", payload: Buffer.from("x"), qos: 1, retain: false },
    },
    "code 5",
  ],
  [
    "a will that is no death",
    { will: { topic: BIRTH, payload: Buffer.from("x"), qos: 1, retain: false } },
    "code 5",
  ],
] as const)("a CONNECT with %s is refused", async (_name, options, outcome) => {
  const h = await start();
  const client = h.client(await h.device("node-1"), options as object);
  expect(await connectOutcome(client)).toBe(outcome);
  expect(h.changes).toEqual([]);
  expect(h.received).toEqual([]);
});

test("a node that is not admitted is refused with code 5", async () => {
  const h = await start();
  const device = await h.device("node-1");
  h.refused.add(`node-1 ${device.serial}`);
  expect(await connectOutcome(h.client(device))).toBe("code 5");
});

test("a node that is revoked while connected is cut off within two seconds and leaves no will", async () => {
  const h = await start();
  const device = await h.device("node-1");
  const will = { topic: "fl/v1/0/node-1/up/death", payload: Buffer.from("x"), qos: 1 as const };
  const client = await h.connected(device, { will: { ...will, retain: false } });
  const closed = closeOf(client);
  h.refused.add(`node-1 ${device.serial}`);
  const startMs = Date.now();
  h.broker.link.disconnect(id("node-1"), "revoked");
  expect(h.broker.link.isConnected(id("node-1"))).toBe(false);
  await closed;
  expect(Date.now() - startMs).toBeLessThan(2_000);
  expect(await connectOutcome(h.client(device))).toBe("code 5");
  expect(h.received).toEqual([]);
  expect(h.changes).toEqual(["node-1 up", "node-1 down"]);
});

test("a resumed TLS session is known by its certificate, and refused when that is no longer admitted", async () => {
  const h = await start();
  const device = await h.device("node-1");
  const first = await h.raw(device);
  const session = new Promise<Buffer>((resolve) => first.once("session", resolve));
  first.write(connectPacket("node-1"));
  const ticket = await session;
  first.destroy();
  const resumed = await h.raw(device, ticket);
  expect(resumed.isSessionReused()).toBe(true);
  resumed.write(connectPacket("node-1"));
  expect((await dataOf(resumed)).toString("hex")).toBe("20020000");
  h.refused.add(`node-1 ${device.serial}`);
  const again = await h.raw(device, ticket);
  again.write(connectPacket("node-1"));
  expect((await dataOf(again)).toString("hex")).toBe("20020005");
});

test("live sessions are asked about again, so that a missed revocation ends too", async () => {
  const h = await start({ admissionRecheckMs: 100 });
  const [one, two] = [await h.device("node-1"), await h.device("node-2")];
  const client = await h.connected(one);
  await h.connected(two);
  h.refused.add(`node-1 ${one.serial}`);
  await closeOf(client);
  expect(h.broker.link.isConnected(id("node-1"))).toBe(false);
  expect(h.broker.link.isConnected(id("node-2"))).toBe(true);
});

test("a session ends soon after its certificate has", async () => {
  const h = await start({ admissionRecheckMs: 100 });
  const leftMs = 2_500;
  const device = await h.device("node-1", h.ca, Date.now() - NODE_CERTIFICATE_MS + leftMs);
  const client = await h.connected(device);
  await closeOf(client);
  const again = h.client(device);
  expect(await connectOutcome(again)).not.toBe("connected");
});

test("a port that is taken is an error of the start, after which nothing is left open", async () => {
  const h = await start();
  const server = await h.ca.serverCredentials({ name: "broker", hosts: [] });
  const second = createBroker(
    {
      host: "127.0.0.1",
      port: h.port,
      tls: { ...server, caCertificate: h.ca.caCertificate },
      shard: "0",
      term: 1,
    },
    {
      uplink: { receive: async () => {}, sessionChanged: () => {} },
      admission: { admits: () => true },
      clock: systemClock(),
      log: h.log,
      metrics: h.metrics,
    },
  );
  await second.close();
  await expect(second.listen()).rejects.toMatchObject({ code: "EADDRINUSE" });
  await second.close();
  await h.connected(await h.device("node-1"));
});

// ---- topics

test.each([
  [BIRTH, "acknowledged"],
  ["fl/v1/0/node-1/up/report", "acknowledged"],
  ["fl/v1/0/node-1/up/death", "acknowledged"],
  ["fl/v1/0/node-1/up/kind-of-the-future", "acknowledged"],
  ["fl/v1/0/node-2/up/birth", "closed"],
  ["fl/v1/1/node-1/up/birth", "closed"],
  ["fl/v2/0/node-1/up/birth", "closed"],
  ["fl/v1/0/node-1/up", "closed"],
  ["fl/v1/0/node-1/up/birth/x", "closed"],
  ["fl/v1/0/node-1/up/", "closed"],
  ["fl/v1/0/node-1/down", "closed"],
  ["fl/v1/0/node-2/down", "closed"],
  ["fl/v1/0/node-1 /up/birth", "closed"],
  ["fl/v1/0/NODE-1/up/birth", "closed"],
  ["/fl/v1/0/node-1/up/birth", "closed"],
  [HUB_STATE, "closed"],
  ["$SYS/x/new/clients", "closed"],
  ["x", "closed"],
])("node-1 publishes on %s: %s", async (topic, outcome) => {
  const h = await start();
  const witness = await h.subscribed(await h.device("node-2"));
  const seen: string[] = [];
  await witness.subscribeAsync(HUB_STATE);
  witness.on("message", (t, payload) => seen.push(`${t} ${payload.toString()}`));
  const client = await h.connected(await h.device("node-1"));
  expect(await publishOutcome(client, topic)).toBe(outcome);
  expect(h.received.map((m) => m.nodeId)).toEqual(outcome === "closed" ? [] : ["node-1"]);
  expect(seen.filter((m) => m.endsWith(" x"))).toEqual([]);
});

test.each([
  ["fl/v1/0/node-1/down", 1],
  [HUB_STATE, 1],
  ["fl/v1/0/node-2/down", 128],
  ["fl/v1/1/node-1/down", 128],
  ["fl/v1/0/node-1/up/birth", 128],
  ["fl/v1/0/node-2/up/birth", 128],
  ["fl/v1/0/node-1/down/x", 128],
  ["#", 128],
  ["+", 128],
  ["fl/#", 128],
  ["fl/v1/0/+/down", 128],
  ["fl/v1/0/node-1/+", 128],
  ["fl/v1/0/node-1/down/#", 128],
  ["$SYS/#", 128],
  ["$SYS/+/new/clients", 128],
  ["$share/g/fl/v1/0/node-1/down", 128],
])("node-1 subscribes to %s and is answered %i", async (topic, granted) => {
  const h = await start();
  const socket = await h.rawConnected(await h.device("node-1"));
  socket.write(subscribePacket([topic]));
  const answer = await dataOf(socket);
  expect([...answer.subarray(0, 5)]).toEqual([0x90, 3, 0, 1, granted]);
});

test("a node is sent what is for it, and nothing that is for another", async () => {
  const h = await start();
  const [one, two] = [
    await h.subscribed(await h.device("node-1")),
    await h.subscribed(await h.device("node-2")),
  ];
  const seen: string[] = [];
  one.on("message", (topic, payload) => seen.push(`1 ${topic} ${payload.toString()}`));
  two.on("message", (topic, payload) => seen.push(`2 ${topic} ${payload.toString()}`));
  expect(await h.broker.link.send(id("node-1"), rebirth())).toBe(true);
  await until(() => seen.length > 0);
  await pause(50);
  expect(seen).toEqual([`1 fl/v1/0/node-1/down ${JSON.stringify(rebirth())}`]);
});

test("sending to a node that is absent, or has not subscribed, says so", async () => {
  const h = await start();
  expect(await h.broker.link.send(id("node-1"), rebirth())).toBe(false);
  await h.connected(await h.device("node-1"));
  expect(await h.broker.link.send(id("node-1"), rebirth())).toBe(false);
  expect(h.broker.link.isConnected(id("node-9"))).toBe(false);
  h.broker.link.disconnect(id("node-9"), "nobody");
});

test("the hub's state is retained with its term, and told to be offline when the broker stops", async () => {
  const h = await start();
  const client = await h.connected(await h.device("node-1"));
  const seen: { term: number; online: boolean }[] = [];
  client.on("message", (topic, payload) => {
    if (topic === HUB_STATE) seen.push(JSON.parse(payload.toString()));
  });
  await client.subscribeAsync(HUB_STATE, { qos: 1 });
  await until(() => seen.length === 1);
  const closed = closeOf(client);
  await h.broker.close();
  await closed;
  expect(seen).toMatchObject([
    { term: 7, online: true },
    { term: 7, online: false },
  ]);
});

test("what a node publishes is not retained", async () => {
  const h = await start();
  const device = await h.device("node-1");
  const client = await h.connected(device);
  await client.publishAsync(BIRTH, "x", { qos: 1, retain: true });
  expect(h.received).toHaveLength(1);
  await client.endAsync();
  // Its own up topic cannot be subscribed to at all, so a retained message would only be memory.
  const again = await h.rawConnected(device);
  again.write(subscribePacket([BIRTH]));
  const answer = await dataOf(again);
  expect([...answer]).toEqual([0x90, 3, 0, 1, 128]);
});

// ---- acknowledgement

test("a message is acknowledged when the hub has stored it, not before", async () => {
  const h = await start();
  const client = await h.connected(await h.device("node-1"));
  let stored = (): void => {};
  h.store = () => new Promise((resolve) => (stored = resolve));
  let acknowledged = false;
  const published = client.publishAsync(BIRTH, "x", { qos: 1 }).then(() => (acknowledged = true));
  await until(() => h.received.length === 1);
  await pause(200);
  expect(acknowledged).toBe(false);
  stored();
  await published;
  expect(acknowledged).toBe(true);
});

test("when a message cannot be stored the session is closed without an acknowledgement", async () => {
  const h = await start();
  const client = await h.connected(await h.device("node-1"));
  h.store = () => Promise.reject(new Error("disk full"));
  expect(await publishOutcome(client, BIRTH)).toBe("closed");
  await until(() => !h.broker.link.isConnected(id("node-1")));
  expect(await metric(h, 'flotilla_hub_broker_closed_total{reason="not-stored"}')).toBe(1);
});

test("messages of one node come in the order in which it sent them", async () => {
  const h = await start();
  const client = await h.connected(await h.device("node-1"));
  h.store = () => pause(Math.random() * 5);
  const all = Array.from({ length: 100 }, (_, i) =>
    client.publishAsync(BIRTH, String(i), { qos: 1 }),
  );
  await Promise.all(all);
  expect(h.received.map((m) => m.payload)).toEqual(
    Array.from({ length: 100 }, (_, i) => String(i)),
  );
});

test("a broken link leaves the node's will, a farewell does not, and a stopping hub declares nobody dead", async () => {
  const h = await start();
  const will = { topic: "fl/v1/0/node-1/up/death", payload: Buffer.from("x"), qos: 1 as const };
  const options = { will: { ...will, retain: false } };
  const device = await h.device("node-1");
  const first = await h.connected(device, options);
  first.stream.destroy();
  await until(() => h.received.length === 1);
  expect(h.received[0]).toMatchObject({ nodeId: "node-1", kind: "death" });
  const second = await h.connected(device, options);
  await second.endAsync();
  await until(() => !h.broker.link.isConnected(id("node-1")));
  await h.connected(device, options);
  await h.broker.close();
  expect(h.received).toHaveLength(1);
});

test("a stopping broker waits for what is being stored, and acknowledges it", async () => {
  const h = await start();
  const client = await h.connected(await h.device("node-1"));
  h.store = () => pause(300);
  let acknowledged = false;
  client.publish(BIRTH, "x", { qos: 1 }, () => (acknowledged = true));
  await until(() => h.received.length === 1);
  await h.broker.close();
  await until(() => acknowledged);
  expect(acknowledged).toBe(true);
});

// ---- two sessions of one node

test("the newest session of a node wins, and the older one's will is not its death", async () => {
  const h = await start();
  const device = await h.device("node-1");
  const will = { topic: "fl/v1/0/node-1/up/death", payload: Buffer.from("x"), qos: 1 as const };
  const first = await h.connected(device, { will: { ...will, retain: false } });
  const closed = closeOf(first);
  const second = await h.subscribed(device);
  await closed;
  const seen: string[] = [];
  second.on("message", (topic) => seen.push(topic));
  expect(await h.broker.link.send(id("node-1"), rebirth())).toBe(true);
  await until(() => seen.length === 1);
  expect(h.received).toEqual([]);
  expect(h.changes).toEqual(["node-1 up", "node-1 down", "node-1 up"]);
  expect(h.incidents).toEqual([]);
});

test("two devices with one certificate are both refused for a while, the operator is told, and others are served", async () => {
  const h = await start({ quarantineMs: 1_500 });
  const device = await h.device("node-1");
  for (let i = 0; i < 4; i++) await h.connected(device);
  expect(await connectOutcome(h.client(device))).toBe("code 3");
  await until(() => !h.broker.link.isConnected(id("node-1")));
  expect(await connectOutcome(h.client(device))).toBe("code 3");
  expect(h.incidents).toEqual([
    { kind: "duplicate-session", nodeId: "node-1", addresses: ["127.0.0.1"] },
  ]);
  await h.connected(await h.device("node-2"));
  await pause(1_600);
  await h.connected(device);
});

// ---- hostile bytes

test("a CONNECT of 200 MB is closed at its header and costs no memory", async () => {
  const h = await start();
  const device = await h.device("node-1");
  await closedAfterMs((await h.raw(device)).end());
  globalThis.gc?.();
  const beforeBytes = process.memoryUsage().rss;
  const socket = await h.raw(device);
  socket.write(fixedHeader(0x10, 200 * 1024 * 1024));
  const chunk = Buffer.alloc(64 * 1024);
  let sentBytes = 0;
  let closed = false;
  socket.once("close", () => (closed = true));
  socket.resume();
  while (!closed && sentBytes < 200 * 1024 * 1024) {
    sentBytes += chunk.length;
    if (!socket.write(chunk))
      await new Promise<void>((resolve) => {
        socket.once("drain", () => resolve());
        socket.once("close", () => resolve());
      });
  }
  expect(closed).toBe(true);
  expect(sentBytes).toBeLessThan(4 * 1024 * 1024);
  expect(process.memoryUsage().rss - beforeBytes).toBeLessThan(8 * 1024 * 1024);
  expect(await metric(h, 'flotilla_hub_broker_closed_total{reason="packet-too-large"}')).toBe(1);
});

const oversized = fixedHeader(0x32, 100 * 1024 * 1024);
const five = Buffer.from([0x32, 0x80, 0x80, 0x80, 0x80, 0x01]);
const topicBytes = (hex: string): Buffer => Buffer.from(`fl/v1/0/node-1/up/${hex}`, "latin1");

test.each<readonly [string, Buffer, string]>([
  ["a PUBLISH of 100 MB", oversized, "packet-too-large"],
  ["a length of five bytes", five, "packet-length"],
  ["a topic with NUL", publishPacket(topicBytes("a\0b"), "x"), "topic-malformed"],
  ["a topic that is no UTF-8", publishPacket(topicBytes("\xc3\x28"), "x"), "topic-malformed"],
  ["an overlong UTF-8 slash", publishPacket(topicBytes("\xc0\xaf"), "x"), "topic-malformed"],
  ["a surrogate in the topic", publishPacket(topicBytes("\xed\xa0\x80"), "x"), "topic-malformed"],
  ["a wildcard in a PUBLISH", publishPacket("fl/v1/0/+/up/birth", "x"), "topic-malformed"],
  ["an empty topic", publishPacket("", "x"), "topic-malformed"],
  ["a topic longer than its packet", packet(0x32, Buffer.from([0, 200, 65])), "topic-malformed"],
  ["a topic of 60 kB", publishPacket("x".repeat(60_000), "x"), "topic-too-long"],
  ["a topic of 201 levels", publishPacket("x/".repeat(100), "x"), "topic-too-deep"],
  ["QoS 2", publishPacket(BIRTH, "x", 2), "qos"],
  ["QoS 3", publishPacket(BIRTH, "x", 3), "qos"],
  ["a second CONNECT", connectPacket("node-1"), "second-connect"],
  ["a reserved packet type", packet(0xf0), "packet-type"],
  ["packet type 0", packet(0x00), "packet-type"],
  ["a packet that only a server sends", packet(0x20, Buffer.from([0, 0])), "packet-type"],
  ["a SUBSCRIBE with wrong flags", packet(0x80, Buffer.alloc(6)), "packet-type"],
  ["a PINGREQ with a body", packet(0xc0, Buffer.from([1])), "packet-too-large"],
  [
    "a SUBSCRIBE with 5,000 filters",
    subscribePacket(Array.from({ length: 5_000 }, (_, i) => `f/${i}`)),
    "packet-too-large",
  ],
  [
    "a SUBSCRIBE with 200 short filters",
    subscribePacket(Array.from({ length: 200 }, (_, i) => `f${i}`)),
    "denied",
  ],
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "packet-type"],
])("after CONNECT, %s closes the session at once", async (_name, bytes, reason) => {
  const h = await start();
  const witness = await h.connected(await h.device("node-2"));
  const socket = await h.rawConnected(await h.device("node-1"));
  socket.write(bytes);
  expect(await closedAfterMs(socket)).toBeLessThan(2_000);
  expect(await metric(h, `flotilla_hub_broker_closed_total{reason="${reason}"}`)).toBe(1);
  expect(h.received).toEqual([]);
  await witness.publishAsync("fl/v1/0/node-2/up/birth", "x", { qos: 1 });
});

test.each<readonly [string, Buffer]>([
  ["zeros", Buffer.alloc(64)],
  ["0xff", Buffer.alloc(64, 0xff)],
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
  ["a PUBLISH before CONNECT", publishPacket(BIRTH, "x")],
  ["a CONNECT of 5 kB", connectPacket("x".repeat(5_000))],
  ["an empty CONNECT", packet(0x10)],
  ["a CONNECT without a protocol", packet(0x10, Buffer.alloc(12))],
])("before CONNECT, %s closes the connection at once", async (_name, bytes) => {
  const h = await start();
  const socket = await h.raw(await h.device("node-1"));
  socket.write(bytes);
  expect(await closedAfterMs(socket)).toBeLessThan(2_000);
  expect(h.changes).toEqual([]);
});

test("broken packets of any kind close at most their own session", async () => {
  const h = await start({ acceptPerSecond: 10_000, acceptBurst: 10_000 });
  const witness = await h.connected(await h.device("node-2"));
  const device = await h.device("node-1");
  const valid = [
    connectPacket("node-1"),
    publishPacket(BIRTH, "hello"),
    subscribePacket(["fl/v1/0/node-1/down", HUB_STATE]),
    packet(0xa2, Buffer.from([0, 1, 0, 1, 97])),
    packet(0x40, Buffer.from([0, 1])),
    packet(0xc0),
    packet(0xe0),
  ];
  const flip = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
  const mutated = fc
    .tuple(
      fc.constantFrom(...valid),
      fc.array(flip, { maxLength: 4 }),
      fc.uint8Array({ maxLength: 30 }),
    )
    .map(([bytes, flips, tail]) => {
      const copy = Buffer.concat([bytes, tail]);
      for (const [at, value] of flips) copy.writeUInt8(value, at % copy.length);
      return copy;
    });
  const afterConnect = fc.sample(mutated, { seed: 42, numRuns: 80 });
  for (const [i, bytes] of afterConnect.entries()) {
    const socket = await h.raw(device);
    if (i % 4 !== 0) socket.write(connectPacket("node-1"));
    socket.end(bytes);
    await closedAfterMs(socket);
  }
  await witness.publishAsync("fl/v1/0/node-2/up/birth", "x", { qos: 1 });
  expect(h.broker.link.isConnected(id("node-2"))).toBe(true);
  expect(h.received.filter((m) => m.nodeId !== "node-1")).toHaveLength(1);
  await until(() => !h.broker.link.isConnected(id("node-1")));
});

test("packets that follow CONNECT without waiting are served once it is accepted, whatever the cut of the bytes", async () => {
  const h = await start();
  const device = await h.device("node-1");
  const all = Buffer.concat([
    connectPacket("node-1"),
    subscribePacket(["fl/v1/0/node-1/down"]),
    publishPacket(BIRTH, "hello"),
    publishPacket(BIRTH, "y".repeat(10_000)),
  ]);
  for (const size of [1, 7, all.length]) {
    const socket = await h.raw(device);
    const answers: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => answers.push(chunk));
    for (let at = 0; at < all.length; at += size) {
      socket.write(all.subarray(at, at + size));
      if (size < 100 && at < 100) await pause(1);
    }
    await until(() => Buffer.concat(answers).length >= 4 + 5 + 4 + 4);
    const hex = Buffer.concat(answers).toString("hex");
    expect(hex.match(/^20020000(?=9003|4002)|9003000101|40020001/g)?.toSorted()).toEqual([
      "20020000",
      "40020001",
      "40020001",
      "9003000101",
    ]);
    socket.destroy();
    await until(() => !h.broker.link.isConnected(id("node-1")));
  }
  expect(h.received.map((m) => m.payload.length)).toEqual([5, 10_000, 5, 10_000, 5, 10_000]);
});

test("the largest message passes, one byte more closes", async () => {
  const h = await start();
  const client = await h.connected(await h.device("node-1"));
  await client.publishAsync(BIRTH, Buffer.alloc(UP_PACKET_BYTES_MAX, 120), { qos: 1 });
  expect(h.received[0]?.payload.length).toBe(UP_PACKET_BYTES_MAX);
  const closed = closeOf(client);
  client.publish(BIRTH, Buffer.alloc(UP_PACKET_BYTES_MAX + 1024, 120), { qos: 1 }, () => {});
  await closed;
  expect(h.received).toHaveLength(1);
});

test("who stays silent, or sends one byte now and then, is closed at the connect time-out", async () => {
  const h = await start({ connectTimeoutMs: 1_000 });
  const device = await h.device("node-1");
  const silentTcp = tcpConnect(h.port, "127.0.0.1");
  silentTcp.on("error", () => {});
  const [silent, drip] = [await h.raw(device), await h.raw(device)];
  const bytes = connectPacket("node-1");
  let at = 0;
  const timer = setInterval(() => {
    if (at < bytes.length - 1 && drip.writable) drip.write(bytes.subarray(at, ++at));
  }, 200);
  h.onStop(() => clearInterval(timer));
  const startMs = Date.now();
  silentTcp.resume();
  await Promise.all([closedAfterMs(silent), closedAfterMs(drip), closeOf(silentTcp)]);
  expect(Date.now() - startMs).toBeLessThan(4_000);
  expect(h.changes).toEqual([]);
});

test("a session whose packet drips in is closed by its keepalive", async () => {
  const h = await start();
  const device = await h.device("node-1");
  const socket = await h.raw(device);
  const hasty = connectPacket("node-1");
  hasty.writeUInt8(1, 11);
  socket.write(hasty);
  await until(() => h.broker.link.isConnected(id("node-1")));
  const timer = setInterval(() => socket.writable && socket.write(Buffer.from([0x32])), 200);
  h.onStop(() => clearInterval(timer));
  expect(await closedAfterMs(socket)).toBeLessThan(5_000);
});

test("connections of one address that do not get on are limited, and a settled node is not", async () => {
  const h = await start({ halfOpenPerAddressMax: 5 });
  const device = await h.device("node-1");
  const client = await h.connected(device);
  const sockets: TLSSocket[] = [];
  for (let i = 0; i < 5; i++) sockets.push(await h.raw(device));
  const sixth = tcpConnect(h.port, "127.0.0.1");
  sixth.on("error", () => {});
  sixth.resume();
  await closeOf(sixth);
  expect(await metric(h, 'flotilla_hub_broker_accepts_refused_total{reason="half-open"}')).toBe(1);
  await client.publishAsync(BIRTH, "x", { qos: 1 });
  sockets[0]?.destroy();
  await pause(100);
  await h.connected(await h.device("node-2"));
});

test("connections beyond the accept rate, or beyond the limit, are closed before the handshake", async () => {
  const h = await start({ acceptBurst: 3, acceptPerSecond: 0.001 });
  const device = await h.device("node-1");
  for (let i = 0; i < 3; i++) await h.raw(device);
  expect(await connectOutcome(h.client(device))).not.toBe("connected");
  expect(await metric(h, 'flotilla_hub_broker_accepts_refused_total{reason="rate"}')).toBe(1);
  await h.stop();
  const few = await start({ connectionsMax: 1 });
  const one = await few.device("node-1");
  await few.connected(one);
  expect(await connectOutcome(few.client(await few.device("node-2")))).not.toBe("connected");
  expect(await metric(few, 'flotilla_hub_broker_accepts_refused_total{reason="limit"}')).toBe(1);
});

// ---- those who are too fast, and those who are too slow

test("a node that sends too fast is held back, loses nothing, and delays no other", async () => {
  const h = await start({ packetsPerSecond: 100, packetBurst: 50 });
  const [fast, calm] = [
    await h.connected(await h.device("node-1")),
    await h.connected(await h.device("node-2")),
  ];
  const startMs = Date.now();
  const flood = Promise.all(
    Array.from({ length: 250 }, () => fast.publishAsync(BIRTH, "x", { qos: 1 })),
  );
  await pause(50);
  const calmStartMs = Date.now();
  await calm.publishAsync("fl/v1/0/node-2/up/birth", "x", { qos: 1 });
  expect(Date.now() - calmStartMs).toBeLessThan(1_000);
  await flood;
  await fast.publishAsync(BIRTH, "last", { qos: 1 });
  expect(Date.now() - startMs).toBeGreaterThan(1_000);
  expect(h.received.filter((m) => m.nodeId === "node-1")).toHaveLength(251);
  expect(await metric(h, "flotilla_hub_broker_throttled_total")).toBeGreaterThan(0);
});

test("a node that floods without end is closed", async () => {
  const h = await start({ packetsPerSecond: 100, packetBurst: 20, throttledMsMax: 500 });
  const socket = await h.rawConnected(await h.device("node-1"));
  const pings = Buffer.concat(Array.from({ length: 30 }, () => packet(0xc0)));
  const timer = setInterval(() => socket.writable && socket.write(pings), 50);
  h.onStop(() => clearInterval(timer));
  expect(await closedAfterMs(socket)).toBeLessThan(10_000);
  const other = await h.rawConnected(await h.device("node-2"));
  other.write(Buffer.concat(Array.from({ length: 5_000 }, () => packet(0xc0))));
  expect(await closedAfterMs(other)).toBeLessThan(2_000);
  expect(await metric(h, 'flotilla_hub_broker_closed_total{reason="flood"}')).toBe(1);
});

test("a reader that is frozen is dropped and delays no healthy one", async () => {
  const h = await start({ drainTimeoutMs: 1_500 });
  const frozen = await h.rawConnected(await h.device("node-1"));
  frozen.write(subscribePacket(["fl/v1/0/node-1/down"]));
  await once(frozen, "data");
  frozen.pause();
  const healthy = await h.subscribed(await h.device("node-2"));
  const latencies: number[] = [];
  let sentMs = 0;
  healthy.on("message", () => latencies.push(Date.now() - sentMs));
  const big = rebirth("z".repeat(200_000));
  for (let i = 0; i < 40; i++) {
    await h.broker.link.send(id("node-1"), big);
    sentMs = Date.now();
    await h.broker.link.send(id("node-2"), rebirth());
    await until(() => latencies.length === i + 1);
  }
  expect(Math.max(...latencies)).toBeLessThan(500);
  await until(() => !h.broker.link.isConnected(id("node-1")), 5_000);
  expect(await metric(h, 'flotilla_hub_broker_closed_total{reason="frozen"}')).toBe(1);
  expect(await h.broker.link.send(id("node-1"), big)).toBe(false);
});

test("a frozen reader with little to read is dropped by the drain time-out alone", async () => {
  const h = await start({ drainTimeoutMs: 1_000, sendBufferBytesMax: 2 ** 30 });
  const frozen = await h.rawConnected(await h.device("node-1"));
  frozen.write(subscribePacket(["fl/v1/0/node-1/down"]));
  await once(frozen, "data");
  frozen.pause();
  for (let i = 0; i < 60; i++) await h.broker.link.send(id("node-1"), rebirth("z".repeat(200_000)));
  await until(() => !h.broker.link.isConnected(id("node-1")), 10_000);
  expect(await metric(h, 'flotilla_hub_broker_closed_total{reason="frozen"}')).toBe(1);
});

test("a message that is larger than any may be is not sent", async () => {
  const h = await start();
  const client = await h.subscribed(await h.device("node-1"));
  expect(await h.broker.link.send(id("node-1"), rebirth("z".repeat(1_100_000)))).toBe(false);
  expect(await h.broker.link.send(id("node-1"), rebirth())).toBe(true);
  expect(client.connected).toBe(true);
});

test("a new server certificate is taken without ending a session", async () => {
  const h = await start();
  const client = await h.connected(await h.device("node-1"));
  const server = await h.ca.serverCredentials({ name: "broker", hosts: ["new.example"] });
  h.broker.setTls({ ...server, caCertificate: h.ca.caCertificate });
  const socket = await h.raw(await h.device("node-2"));
  expect(socket.getPeerX509Certificate()?.checkHost("new.example")).toBe("new.example");
  expect(client.connected).toBe(true);
});
