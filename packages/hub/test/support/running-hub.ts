import { readFileSync } from "node:fs";
import { type RequestOptions, request } from "node:https";
import { join } from "node:path";
import { must } from "@flotilla/shared/kernel/assert";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { runServices } from "@flotilla/shared/platform/supervisor";
import { Codec, encode } from "@flotilla/shared/protocol/codec";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import { downTopic, upTopic } from "@flotilla/shared/protocol/topics";
import type { UpBodies, UpMessage } from "@flotilla/shared/protocol/up";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import mqtt, { type MqttClient } from "mqtt";
import { parse } from "yaml";
import { hubConfig } from "../../src/main/config.ts";
import { HUB_METRICS, openHub } from "../../src/main/wiring.ts";
import { makeDeviceKey } from "./device-keys.ts";
import type { Answer } from "./http-server.ts";
import { birthBody, nodeIdOf } from "./hub-core.ts";

/** A whole hub in this process, as `main/hub.ts` makes it, and how to talk to it. */
export async function runHub(dataDir: string) {
  const log = new RecordingLog();
  const any = "127.0.0.1:0";
  const config = hubConfig({
    dataDir,
    apiListen: any,
    mqttListen: any,
    artifactListen: any,
    uploadListen: any,
    deltaWorkers: 1,
  });
  const platform = {
    clock: systemClock(),
    random: systemRandom(),
    log,
    metrics: createMetrics(HUB_METRICS),
  };
  const hub = await openHub(config, platform);
  const stopping = new AbortController();
  const ended = runServices({ services: hub.services, signal: stopping.signal }, platform);
  const ca = readFileSync(join(dataDir, "pki/ca.crt"), "utf8");
  const text = readFileSync(hub.kubeconfigPath, "utf8");
  const kubeconfig: { readonly users: readonly { readonly user: { readonly token: string } }[] } =
    parse(text);
  const token = must(kubeconfig.users[0], "a user").user.token;
  const call = async (method: string, path: string, body?: unknown): Promise<Answer> =>
    answerOf(
      new URL(path, hub.apiUrl),
      { method, ca, agent: false, headers: { authorization: `Bearer ${token}` } },
      body === undefined ? undefined : JSON.stringify(body),
    );
  return {
    log,
    call,
    /** From the artifact server, as this node. */
    fetch: async (node: ConnectedNode, path: string): Promise<Buffer> => {
      const status: { readonly server: string } = JSON.parse(
        (await call("GET", "/artifacts/v1")).text,
      );
      return bytesOf(new URL(`/v1/${path}`, status.server), { ca, ...node.credentials });
    },
    connect: (name: string) => connectNode(name, { ca, mqttUrl: hub.mqttUrl, call }),
    stop: async () => {
      stopping.abort();
      await ended;
      await hub.close();
    },
  };
}

export type RunningHub = Awaited<ReturnType<typeof runHub>>;

function answerOf(url: URL, options: RequestOptions, body: string | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, options, (incoming) => {
      let text = "";
      incoming.setEncoding("utf8");
      incoming.on("data", (chunk: string) => (text += chunk));
      incoming.on("end", () =>
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text }),
      );
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

function bytesOf(url: URL, options: RequestOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { ...options, agent: false }, (incoming) => {
      const pieces: Buffer[] = [];
      incoming.on("data", (piece: Buffer) => pieces.push(piece));
      incoming.on("end", () => resolve(Buffer.concat(pieces)));
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}

/** A node that has enrolled and is connected over real MQTT. It asks, and waits for the answer. */
export class ConnectedNode {
  readonly enrolment: { readonly signingKey: string };
  readonly credentials: { readonly cert: string; readonly key: string };
  readonly #client: MqttClient;
  readonly #nodeId;
  readonly #answers = new Map<string, (message: DownMessage) => void>();
  #seq = 0;

  constructor(
    name: string,
    deps: Pick<ConnectedNode, "enrolment" | "credentials"> & { readonly client: MqttClient },
  ) {
    this.#nodeId = nodeIdOf(name);
    this.#client = deps.client;
    this.enrolment = deps.enrolment;
    this.credentials = deps.credentials;
    const codec = new Codec();
    this.#client.on("message", (_topic, payload) => {
      const decoded = codec.decodeDown(payload);
      if (!decoded.ok) throw new Error(`a down message that no agent reads: ${decoded.failure}`);
      const { message } = decoded;
      this.#answers.get(message.replyTo ?? "")?.(message);
    });
  }

  async begin(): Promise<void> {
    await this.#client.subscribeAsync(downTopic({ shard: "0", nodeId: this.#nodeId }), { qos: 1 });
    await this.#publish("birth", birthBody());
  }

  async ask<K extends "artifact-get" | "bytes-get">(
    kind: K,
    body: UpBodies[K],
  ): Promise<DownMessage> {
    const id = `q-${this.#seq + 1}`;
    const answer = new Promise<DownMessage>((resolve) => this.#answers.set(id, resolve));
    await this.#publish(kind, body, id);
    return answer;
  }

  async end(): Promise<void> {
    await this.#client.endAsync(true);
  }

  async #publish<K extends UpMessage["kind"]>(
    kind: K,
    body: UpBodies[K],
    id = `m-${this.#seq + 1}`,
  ): Promise<void> {
    const message = { v: 1, id, epoch: 1, seq: ++this.#seq, sentAt: 0, kind, body } as UpMessage;
    const topic = upTopic({ shard: "0", nodeId: this.#nodeId }, kind);
    await this.#client.publishAsync(topic, Buffer.from(encode(message)), { qos: 1 });
  }
}

async function connectNode(
  name: string,
  hub: {
    readonly ca: string;
    readonly mqttUrl: string;
    readonly call: (method: string, path: string, body?: unknown) => Promise<Answer>;
  },
): Promise<ConnectedNode> {
  const made = await hub.call("POST", "/apis/edge.kurator.dev/v1alpha1/jointokens", {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "JoinToken",
    metadata: { name: `token-${name}` },
    spec: { site: "site-1" },
  });
  const { status }: { readonly status: { readonly joinString: string } } = JSON.parse(made.text);
  const token = /^flotilla:\/\/[^/]+\/([^#]+)#/.exec(status.joinString)?.[1];
  const key = await makeDeviceKey();
  const answer = await hub.call("POST", "/enrolment/v1/join", {
    token,
    nodeName: name,
    csr: key.csr,
  });
  const enrolment: { readonly certificate: string } & ConnectedNode["enrolment"] = JSON.parse(
    answer.text,
  );
  const credentials = { cert: enrolment.certificate, key: key.privateKey };
  const client = mqtt.connect(hub.mqttUrl, {
    clientId: name,
    clean: true,
    reconnectPeriod: 0,
    protocolVersion: 4,
    ca: hub.ca,
    ...credentials,
  });
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    client.once("error", reject);
  });
  const node = new ConnectedNode(name, { client, enrolment, credentials });
  await node.begin();
  return node;
}
