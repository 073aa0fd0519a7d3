import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "@flotilla/shared/kernel/assert";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, beforeEach, expect, test } from "vitest";
import { enrolmentCrypto } from "../src/adapters/pki/enrolment-crypto.ts";
import { SqliteResourceStore } from "../src/adapters/store/sqlite-resource-store.ts";
import { disconnectRefusedNodes, StoreAdmission } from "../src/app/enrolment/admission.ts";
import { EnrolmentService } from "../src/app/enrolment/enrolment-service.ts";
import { ENROLMENT_METRICS } from "../src/app/enrolment/metrics.ts";
import {
  BrokerHarness,
  closeOf,
  connectOutcome,
  type Device,
  id,
  until,
} from "./support/broker-harness.ts";
import { makeDeviceKey, renewalProof } from "./support/device-keys.ts";

let hub: BrokerHarness;
let store: SqliteResourceStore;
let dataDir = "";
let service: EnrolmentService;

beforeEach(async () => {
  hub = await BrokerHarness.start();
  dataDir = mkdtempSync(join(tmpdir(), "enrolment-broker-"));
  store = new SqliteResourceStore({ dataDir }, { clock: systemClock(), log: silentLog() });
  service = new EnrolmentService(
    { mqttUrl: `mqtts://127.0.0.1:${hub.port}`, apiAddress: "127.0.0.1:1", shard: "0" },
    {
      ca: hub.ca,
      signer: { publicKey: "key" },
      store,
      crypto: enrolmentCrypto({ random: systemRandom() }),
      clock: systemClock(),
      random: systemRandom(),
      log: silentLog(),
      metrics: createMetrics(ENROLMENT_METRICS),
    },
  );
  const admission = new StoreAdmission({}, { store, log: silentLog() });
  hub.admits = (nodeId, serial) => admission.admits(nodeId, serial);
  disconnectRefusedNodes({ store, link: hub.broker.link });
});
afterEach(async () => {
  await hub.stop();
  store.close();
  rmSync(dataDir, { recursive: true, force: true });
});

async function joined(nodeName: string, tokenNodeName?: string): Promise<Device> {
  const { secret, secretHash } = service.mintSecret();
  const name = `t-${store.revision}`;
  await store.commit({
    changes: [
      {
        key: { kind: "JoinToken", namespace: "", name },
        expect: "absent",
        object: {
          apiVersion: "edge.kurator.dev/v1alpha1",
          kind: "JoinToken",
          metadata: { name, uid: name, generation: 1, creationTimestamp: isoTime(Date.now()) },
          spec: {
            site: "site-1",
            ...(tokenNodeName === undefined ? {} : { nodeName: tokenNodeName }),
          },
          status: { secretHash },
        },
      },
    ],
  });
  const key = await makeDeviceKey();
  const answer = await service.join({ token: `${name}.${secret}`, nodeName, csr: key.csr }, "a");
  return deviceOf(nodeName, key.privateKey, answer.certificate);
}

function deviceOf(name: string, privateKey: string, certificate: string): Device {
  const serial = new X509Certificate(certificate).serialNumber.toLowerCase();
  return { name, privateKey, certificate, serial };
}

async function renewed(device: Device): Promise<Device> {
  const key = await makeDeviceKey();
  const proof = renewalProof(device, { nodeId: device.name, csr: key.csr });
  const answer = await service.renew(proof, "a");
  return deviceOf(device.name, key.privateKey, answer.certificate);
}

test("a node that enrolled connects; revoked in the store, it is gone within two seconds and stays out", async () => {
  const device = await joined("node-1");
  const client = await hub.connected(device);
  const closed = closeOf(client);
  const node = must(store.get("EdgeNode", "", "node-1"), "enrolled");
  const startMs = Date.now();
  await store.commit({
    changes: [
      {
        key: { kind: "EdgeNode", namespace: "", name: "node-1" },
        expect: "any",
        object: { ...node, spec: { ...node.spec, revoked: true } },
      },
    ],
  });
  await closed;
  expect(Date.now() - startMs).toBeLessThan(2_000);
  expect(await connectOutcome(hub.client(device))).toBe("code 5");
});

test("a node that was deleted is gone, and its certificate is refused", async () => {
  const device = await joined("node-1");
  const closed = closeOf(await hub.connected(device));
  const key = { kind: "EdgeNode", namespace: "", name: "node-1" } as const;
  await store.commit({ changes: [{ key, expect: "any", object: undefined }] });
  await closed;
  expect(await connectOutcome(hub.client(device))).toBe("code 5");
});

test("the old certificate serves until the renewed one has connected, then no longer", async () => {
  const first = await joined("node-1");
  const second = await renewed(first);
  await (await hub.connected(first)).endAsync();
  await until(() => !hub.broker.link.isConnected(id("node-1")));
  const client = await hub.connected(second);
  await until(
    () => store.get("EdgeNode", "", "node-1")?.status?.certificateSerial === second.serial,
  );
  expect(await connectOutcome(hub.client(first))).toBe("code 5");
  expect(client.connected).toBe(true);
});

test("a device that takes a name over ends the session of the one before", async () => {
  const first = await joined("node-1");
  const closed = closeOf(await hub.connected(first));
  const second = await joined("node-1", "node-1");
  await closed;
  expect(await connectOutcome(hub.client(first))).toBe("code 5");
  await hub.connected(second);
});

test("of two joins with one token at the same instant exactly one wins, and what it won survives a restart", async () => {
  const { secret, secretHash } = service.mintSecret();
  const key = { kind: "JoinToken", namespace: "", name: "t1" } as const;
  const metadata = { name: "t1", uid: "t1", generation: 1 };
  await store.commit({
    changes: [
      {
        key,
        expect: "absent",
        object: {
          apiVersion: "edge.kurator.dev/v1alpha1",
          kind: "JoinToken",
          metadata: { ...metadata, creationTimestamp: isoTime(Date.now()) },
          spec: { site: "site-1" },
          status: { secretHash },
        },
      },
    ],
  });
  const { csr } = await makeDeviceKey();
  const joins = ["node-1", "node-2"].map((nodeName) =>
    service.join({ token: `t1.${secret}`, nodeName, csr }, "a"),
  );
  const outcomes = await Promise.allSettled(joins);
  expect(outcomes.map((o) => o.status).toSorted()).toEqual(["fulfilled", "rejected"]);
  store.close();
  store = new SqliteResourceStore({ dataDir }, { clock: systemClock(), log: silentLog() });
  const nodes = store.list("EdgeNode").map((n) => n.metadata.name);
  expect(nodes).toEqual([store.get("JoinToken", "", "t1")?.status?.usedBy]);
});
