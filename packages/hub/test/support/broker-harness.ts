import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { must } from "@flotilla/shared/kernel/assert";
import { type NodeId, parseNodeId } from "@flotilla/shared/kernel/ids";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { RecordingLog, silentLog } from "@flotilla/shared/testing/silent-log";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import {
  type Broker,
  type BrokerIncident,
  createBroker,
} from "../../src/adapters/broker/embedded-broker.ts";
import type { BrokerLimits } from "../../src/adapters/broker/limits.ts";
import { BROKER_METRICS } from "../../src/adapters/broker/metrics.ts";
import {
  type FileCertificateAuthority,
  openCertificateAuthority,
} from "../../src/adapters/pki/certificate-authority.ts";
import { makeDeviceKey } from "./device-keys.ts";

export interface Device {
  readonly name: string;
  readonly certificate: string;
  readonly privateKey: string;
  readonly serial: string;
}

export interface Received {
  readonly nodeId: string;
  readonly kind: string;
  readonly payload: string;
}

export const id = (name: string): NodeId => must(parseNodeId(name), "a node id");

/** A real broker on a free port with a real CA; the hub behind it is made of what it was handed. */
export class BrokerHarness {
  readonly received: Received[] = [];
  readonly changes: string[] = [];
  readonly incidents: BrokerIncident[] = [];
  readonly log = new RecordingLog();
  readonly metrics = createMetrics(BROKER_METRICS);
  /** `<node> <serial>` that are refused. */
  readonly refused = new Set<string>();
  /** Who is admitted. */
  admits: (nodeId: NodeId, serial: string) => boolean = (nodeId, serial) =>
    !this.refused.has(`${nodeId} ${serial}`);
  /** Replaces what happens to a message. */
  store: (message: Received) => Promise<void> = async () => {};
  readonly #cleanUps: (() => unknown)[] = [];
  readonly broker: Broker;
  readonly ca: FileCertificateAuthority;
  port = 0;

  private constructor(ca: FileCertificateAuthority, makeBroker: (self: BrokerHarness) => Broker) {
    this.ca = ca;
    this.broker = makeBroker(this);
  }

  static async start(limits: Partial<BrokerLimits> = {}): Promise<BrokerHarness> {
    const directory = mkdtempSync(join(tmpdir(), "broker-"));
    const ca = await openCa(directory);
    const server = await ca.serverCredentials({ name: "broker", hosts: [] });
    const harness = new BrokerHarness(ca, (self) =>
      createBroker(
        {
          host: "127.0.0.1",
          port: 0,
          tls: { ...server, caCertificate: ca.caCertificate },
          shard: "0",
          term: 7,
          limits,
        },
        {
          uplink: {
            receive: (nodeId, kind, payload) => {
              const message = { nodeId, kind, payload: Buffer.from(payload).toString() };
              self.received.push(message);
              return self.store(message);
            },
            sessionChanged: (nodeId, connected) =>
              void self.changes.push(`${nodeId} ${connected ? "up" : "down"}`),
          },
          admission: { admits: (nodeId, serial) => self.admits(nodeId, serial) },
          clock: systemClock(),
          log: self.log,
          metrics: self.metrics,
          onIncident: (incident) => void self.incidents.push(incident),
        },
      ),
    );
    harness.#cleanUps.push(() => rmSync(directory, { recursive: true, force: true }));
    harness.port = (await harness.broker.listen()).port;
    return harness;
  }

  async stop(): Promise<void> {
    for (const cleanUp of this.#cleanUps.toReversed()) await cleanUp();
    await this.broker.close();
  }

  onStop(cleanUp: () => unknown): void {
    this.#cleanUps.push(cleanUp);
  }

  async device(
    name: string,
    ca: FileCertificateAuthority = this.ca,
    nowMs: number = Date.now(),
  ): Promise<Device> {
    const key = await makeDeviceKey();
    const issued = await ca.issueNodeCertificate({
      csr: key.csr,
      nodeId: name,
      nowMs,
    });
    return { name, privateKey: key.privateKey, ...issued };
  }

  async foreignCa(): Promise<FileCertificateAuthority> {
    const directory = mkdtempSync(join(tmpdir(), "broker-foreign-"));
    this.onStop(() => rmSync(directory, { recursive: true, force: true }));
    return openCa(directory);
  }

  /** An mqtt.js client that does not come back by itself; it may not be connected yet. */
  client(device: Device | undefined, options: Partial<IClientOptions> = {}): MqttClient {
    const client = mqtt.connect(`mqtts://127.0.0.1:${this.port}`, {
      clientId: device?.name ?? "nobody",
      clean: true,
      keepalive: 60,
      reconnectPeriod: 0,
      connectTimeout: 5_000,
      protocolVersion: 4,
      ca: this.ca.caCertificate,
      ...(device === undefined ? {} : { cert: device.certificate, key: device.privateKey }),
      ...options,
    });
    client.on("error", () => {});
    this.onStop(() => client.end(true));
    return client;
  }

  /** A client that is connected. Throws when it was refused. */
  async connected(device: Device, options: Partial<IClientOptions> = {}): Promise<MqttClient> {
    const client = this.client(device, options);
    const outcome = await connectOutcome(client);
    if (outcome !== "connected") throw new Error(outcome);
    await until(() => this.broker.link.isConnected(id(device.name)));
    return client;
  }

  /** Connected, and subscribed to its down topic. */
  async subscribed(device: Device, options: Partial<IClientOptions> = {}): Promise<MqttClient> {
    const client = await this.connected(device, options);
    await client.subscribeAsync(`fl/v1/0/${device.name}/down`, { qos: 1 });
    return client;
  }

  /** A bare TLS connection, handshake done. */
  async raw(device: Device | undefined, session?: Buffer): Promise<TLSSocket> {
    const socket = tlsConnect({
      host: "127.0.0.1",
      port: this.port,
      ca: this.ca.caCertificate,
      ...(session === undefined ? {} : { session }),
      ...(device === undefined ? {} : { cert: device.certificate, key: device.privateKey }),
    });
    socket.on("error", () => {});
    this.onStop(() => socket.destroy());
    await once(socket, "secureConnect");
    return socket;
  }

  /** A bare connection that has sent CONNECT and got CONNACK 0. */
  async rawConnected(device: Device): Promise<TLSSocket> {
    const socket = await this.raw(device);
    socket.write(connectPacket(device.name));
    const answer = await dataOf(socket);
    if (answer.toString("hex") !== "20020000") throw new Error(answer.toString("hex"));
    await until(() => this.broker.link.isConnected(id(device.name)));
    return socket;
  }
}

function openCa(directory: string): Promise<FileCertificateAuthority> {
  return openCertificateAuthority(
    { directory },
    { clock: systemClock(), random: systemRandom(), log: silentLog() },
  );
}

/** `connected`, or how it was refused. */
export function connectOutcome(client: MqttClient): Promise<string> {
  return new Promise((resolve) => {
    client.once("connect", () => resolve("connected"));
    client.once("error", (error) =>
      resolve("code" in error && typeof error.code === "number" ? `code ${error.code}` : "error"),
    );
    client.once("close", () => resolve("closed"));
  });
}

export async function until(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const endMs = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${condition.toString()}`);
    await pause(10);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** The next bytes. Rejects when the socket fails first. */
export async function dataOf(socket: TLSSocket): Promise<Buffer> {
  const [data]: unknown[] = await once(socket, "data");
  if (!Buffer.isBuffer(data)) throw new Error("no bytes");
  return data;
}

/** Resolves when it is closed, whatever error comes before. */
export function closeOf(emitter: {
  once(event: "close", listener: () => void): unknown;
}): Promise<void> {
  return new Promise((resolve) => {
    emitter.once("close", () => resolve());
  });
}

/** Milliseconds until the socket is closed. */
export async function closedAfterMs(socket: TLSSocket): Promise<number> {
  const startMs = Date.now();
  socket.resume();
  if (!socket.closed) await closeOf(socket);
  return Date.now() - startMs;
}

function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Any packet: first byte, remaining length, body. */
export function packet(first: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([fixedHeader(first, body.length), body]);
}

export function fixedHeader(first: number, length: number): Buffer {
  const bytes = [first];
  let left = length;
  do {
    const more = left >= 128;
    bytes.push((left % 128) | (more ? 128 : 0));
    left = Math.floor(left / 128);
  } while (left > 0);
  return Buffer.from(bytes);
}

export function connectPacket(clientId: string): Buffer {
  return packet(0x10, text("MQTT"), Buffer.from([4, 2, 0, 60]), text(clientId));
}

export function publishPacket(topic: string | Buffer, payload: string | Buffer, qos = 1): Buffer {
  const packetId = qos > 0 ? Buffer.from([0, 1]) : Buffer.alloc(0);
  return packet(0x30 | (qos << 1), text(topic), packetId, Buffer.from(payload));
}

export function subscribePacket(filters: readonly string[]): Buffer {
  const parts = filters.flatMap((filter) => [text(filter), Buffer.from([1])]);
  return packet(0x82, Buffer.from([0, 1]), ...parts);
}
