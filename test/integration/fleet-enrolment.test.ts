import { X509Certificate } from "node:crypto";
import { cpSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { FileCredentialStore } from "@flotilla/edge-agent/adapters/credentials/file-credential-store";
import { MqttLink } from "@flotilla/edge-agent/adapters/mqtt/mqtt-link";
import type { Credentials, SessionOptions } from "@flotilla/edge-agent/app/link/ports";
import { must } from "@flotilla/shared/kernel/assert";
import { systemClock } from "@flotilla/shared/platform/clock";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { apply, converged, deployment, settled } from "./support/applications.ts";
import type { HubProcess } from "./support/hub-process.ts";
import { sleep, until } from "./support/until.ts";
import { joinString, nodesReady, World, worldOfTest } from "./support/world.ts";

const TIMEOUT_MS = 120_000;

describe("join strings", () => {
  let world: World;
  let hub: HubProcess;
  let other: HubProcess;
  beforeAll(async () => {
    world = new World({ seed: 401 });
    [hub, other] = await Promise.all([world.startHub("hub"), world.startHub("other")]);
  }, TIMEOUT_MS);
  afterEach(({ task }) => {
    if (task.result?.state === "fail") process.stderr.write(world.describe());
  });
  afterAll(() => world.end());

  test("a name that is taken is refused to a token that does not name it, and given to one that does", async () => {
    const first = world.makeAgent("taken");
    await first.join(await joinString(hub, { site: "plant" }));
    const second = world.makeAgent("taken", { directory: "second" });
    const refused = await second.tryJoin(await joinString(hub, { site: "plant" }));
    expect(refused.status).toBe(1);
    expect(refused.err).toMatch(/^error: a node taken exists already\ntry: .*nodeName/);
    await second.join(await joinString(hub, { site: "plant", nodeName: "taken" }));
    const { items } = await hub.api.list("EdgeNode");
    expect(items.filter((n) => n.metadata.name === "taken")).toHaveLength(1);
  });

  test("a used token is refused and says that it was used", async () => {
    const token = await joinString(hub, { site: "plant" });
    await world.makeAgent("used-1").join(token);
    const { status, err } = await world.makeAgent("used-2").tryJoin(token);
    expect(status).toBe(1);
    expect(err).toMatch(/used/);
    expect(err).toMatch(/try: /);
    expect(err).not.toContain(secretOf(token));
  });

  test("an expired token is refused and says that it has expired", async () => {
    const token = await joinString(hub, { site: "plant", ttl: "1s" });
    await sleep(1_100);
    const { status, err } = await world.makeAgent("late").tryJoin(token);
    expect(status).toBe(1);
    expect(err).toMatch(/expired/);
    await expect(hub.api.get("EdgeNode", "late")).rejects.toThrow("404");
  });

  test("a token of another hub is refused as unknown", async () => {
    const own = await joinString(hub, { site: "plant" });
    const foreign = await joinString(other, { site: "plant" });
    const mixed = own.replace(tokenOf(own), tokenOf(foreign));
    const { status, err } = await world.makeAgent("foreign").tryJoin(mixed);
    expect(status).toBe(1);
    expect(err).toMatch(/unknown|wrong/);
    await expect(hub.api.get("EdgeNode", "foreign")).rejects.toThrow("404");
  });

  test("at a hub of another CA the join stops before a byte of the token has left", async () => {
    const wanted = await joinString(hub, { site: "plant" });
    const [, caFingerprint = ""] = wanted.split("#");
    const [, foreignFingerprint = ""] = (await joinString(other, { site: "plant" })).split("#");
    const lured = wanted.replace(`:${hub.apiPort}/`, `:${other.apiPort}/`);
    expect(foreignFingerprint).not.toBe(caFingerprint);
    const real = await world.makeAgent("lured").tryJoin(lured);
    expect(real.status).toBe(1);
    expect(real.err).toMatch(/CA certificate is not the one of the join string\ntry: /);

    const fake = await wiretap(readFileSync(join(other.dataDir, "pki/ca.crt"), "utf8"));
    const tapped = await world
      .makeAgent("tapped")
      .tryJoin(wanted.replace(`:${hub.apiPort}/`, `:${fake.port}/`));
    fake.close();
    expect(tapped.status).toBe(1);
    expect(fake.received()).toMatch(/^GET \/ca\.pem/);
    const { name, secret } = partsOf(wanted);
    expect(fake.received()).not.toContain(name);
    for (let at = 0; at + 8 <= secret.length; at++)
      expect(fake.received()).not.toContain(secret.slice(at, at + 8));
    expect((await hub.api.get("JoinToken", name)).status?.usedAt).toBeUndefined();
  });
});

/** A listener that answers every request with a CA certificate and keeps every byte that it gets. */
async function wiretap(caCertificate: string) {
  let received = "";
  const server = createServer((socket) => {
    socket.setEncoding("latin1");
    socket.on("error", () => undefined);
    socket.on("data", (chunk: string) => {
      received += chunk;
      socket.end(
        `HTTP/1.1 200 OK\r\nContent-Type: application/x-pem-file\r\nContent-Length: ${caCertificate.length}\r\nConnection: close\r\n\r\n${caCertificate}`,
      );
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    received: () => received,
    close: () => server.close(),
  };
}

function tokenOf(text: string): string {
  return text.split("/").at(-1)?.split("#")[0] ?? "";
}

function partsOf(text: string): { readonly name: string; readonly secret: string } {
  const token = tokenOf(text);
  const dot = token.lastIndexOf(".");
  return { name: token.slice(0, dot), secret: token.slice(dot + 1) };
}

function secretOf(text: string): string {
  return partsOf(text).secret;
}

test(
  "of two agents with one certificate at most one is served, and the node gets a Warning",
  async () => {
    const world = worldOfTest(402);
    const hub = await world.startHub();
    const agent = await world.startAgent("n1", hub);
    await nodesReady(hub, 1);
    await agent.process.terminate();
    cpSync(agent.stateDir, join(world.folder, "copy"), { recursive: true });
    const copy = world.makeAgent("n1", { directory: "copy" });
    agent.start();
    copy.start();
    let sessionsMax = 0;
    await until(
      "the Warning DuplicateNode",
      async () => {
        sessionsMax = Math.max(sessionsMax, await hub.api.metric("flotilla_hub_broker_sessions"));
        const events = await hub.api.list("Event");
        return events.items.some((e) => e.reason === "DuplicateNode" && e.type === "Warning");
      },
      { timeoutMs: 90_000 },
    );
    expect(sessionsMax).toBe(1);
    expect((await hub.api.list("EdgeNode")).items).toHaveLength(1);
    expect(agent.process.isRunning && copy.process.isRunning).toBe(true);
  },
  TIMEOUT_MS,
);

function credentialsOf(stateDir: string): Credentials {
  const store = new FileCredentialStore({ directory: stateDir }, { log: silentLog() });
  return must(store.load(), "the node is enrolled");
}

test(
  "with node A's certificate nothing of node B can be read or written, neither under A's name nor under B's",
  async () => {
    const world = worldOfTest(815);
    const hub = await world.startHub();
    const [a, b] = await Promise.all([world.startAgent("a", hub), world.startAgent("b", hub)]);
    await nodesReady(hub, 2);
    await a.process.terminate();
    const own = credentialsOf(a.stateDir);
    const before = await hub.api.get("EdgeNode", "b");
    const heard: string[] = [];
    const connect = async (change: Partial<SessionOptions>) => {
      const options: SessionOptions = {
        url: own.mqttUrl,
        nodeId: "a",
        certificate: own.certificate,
        privateKey: own.privateKey,
        caCertificate: own.caCertificate,
        will: { topic: "fl/v1/0/a/up/death", payload: Buffer.from("{}") },
        subscriptions: ["fl/v1/0/a/down"],
        keepaliveSeconds: 20,
        connectTimeoutMs: 10_000,
        ...change,
      };
      return new MqttLink({ clock: systemClock() }).open(
        options,
        (topic) => heard.push(topic),
        AbortSignal.timeout(60_000),
      );
    };
    const refused = async (what: string, change: Partial<SessionOptions>) => {
      const opened = await connect(change);
      if (opened.ok) await opened.session.close();
      expect(opened.ok, what).toBe(false);
    };
    await refused("B's client id", { nodeId: "b" });
    await refused("B's will", {
      will: { topic: "fl/v1/0/b/up/death", payload: Buffer.from("{}") },
    });
    await refused("B's down topic", { subscriptions: ["fl/v1/0/b/down"] });
    await refused("a wildcard over all nodes", { subscriptions: ["fl/v1/0/+/down"] });
    await refused("everything", { subscriptions: ["#"] });
    for (const kind of ["report", "birth", "notice", "desired-get", "death"]) {
      const opened = await connect({});
      if (!opened.ok) throw new Error(`A itself was not let in: ${JSON.stringify(opened.end)}`);
      await expect(
        opened.session.publish(`fl/v1/0/b/up/${kind}`, Buffer.from("{}"), { retain: false }),
        kind,
      ).rejects.toBeInstanceOf(Error);
      await opened.session.ended;
    }
    expect(heard.filter((topic) => topic.includes("/b/"))).toEqual([]);
    expect(new X509Certificate(own.certificate).subject).toContain("CN=a");
    // B was neither cut off nor changed by any of it.
    expect((await b.status()).link.connected).toBe(true);
    const after = await hub.api.get("EdgeNode", "b");
    expect(after.status?.epoch).toBe(before.status?.epoch);
    expect(after.status?.life).toBe("ready");
    expect(await hub.api.metric("flotilla_hub_broker_denied_total")).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);

test(
  "a revoked node is cut off within five seconds, its workloads run on, and both ways back in work",
  async () => {
    const world = worldOfTest(1010);
    const hub = await world.startHub();
    const agent = await world.startAgent("n1", hub);
    await nodesReady(hub, 1);
    await apply(hub, "shop", [deployment("web", world.countingCommand(), { replicas: 2 })]);
    await settled(hub, "shop");
    const pids = agent.copies().map((c) => c.pid);
    const revoke = async (revoked: boolean | null) => {
      await hub.api.patch("EdgeNode", "n1", { spec: { revoked } });
    };
    const revokedMs = performance.now();
    await revoke(true);
    await until(
      "the session to end",
      async () => (await hub.api.metric("flotilla_hub_broker_sessions")) === 0,
    );
    expect(performance.now() - revokedMs).toBeLessThan(5_000);
    await until("the agent to know", async () => !(await agent.status()).link.connected);
    expect(agent.copies().map((c) => c.pid)).toEqual(pids);

    await revoke(null);
    await agent.online();
    await settled(hub, "shop");
    await converged(hub);
    expect(agent.copies().map((c) => c.pid)).toEqual(pids);

    await revoke(true);
    await until("the session to end again", async () => !(await agent.status()).link.connected);
    await agent.process.terminate();
    await revoke(null);
    const old = credentialsOf(agent.stateDir);
    const device = world.makeAgent("n1", { directory: "new-device" });
    await device.join(await joinString(hub, { site: "plant", nodeName: "n1" }));
    device.start();
    await device.online();
    await settled(hub, "shop");
    expect(device.copies()).toHaveLength(2);
    expect(credentialsOf(device.stateDir).certificate).not.toBe(old.certificate);
    agent.start();
    await until("the old device to be refused", async () => {
      const { link } = await agent.status();
      return !link.connected && /refused|unauthorized/.test(link.detail);
    });
    expect((await device.status()).link.connected).toBe(true);
  },
  TIMEOUT_MS,
);
