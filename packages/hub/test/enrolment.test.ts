import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "@flotilla/shared/kernel/assert";
import { type NodeId, parseNodeId } from "@flotilla/shared/kernel/ids";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { parseJoinString } from "@flotilla/shared/kernel/join-string";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingLog, silentLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type FileCertificateAuthority,
  openCertificateAuthority,
} from "../src/adapters/pki/certificate-authority.ts";
import { openDesiredSigner } from "../src/adapters/pki/desired-signer.ts";
import { enrolmentCrypto } from "../src/adapters/pki/enrolment-crypto.ts";
import { NODE_CERTIFICATE_MS, RENEWAL_GRACE_MS } from "../src/adapters/pki/limits.ts";
import { disconnectRefusedNodes, StoreAdmission } from "../src/app/enrolment/admission.ts";
import { EnrolmentService } from "../src/app/enrolment/enrolment-service.ts";
import { ENROLMENT_METRICS } from "../src/app/enrolment/metrics.ts";
import type { EnrolmentAnswer } from "../src/app/enrolment/ports.ts";
import {
  GUESSES_PER_ADDRESS_MAX,
  GUESSES_PER_TOKEN_MAX,
  LOCKOUT_MS,
} from "../src/domain/enrolment/guess-limiter.ts";
import { makeDeviceKey, renewalProof } from "./support/device-keys.ts";
import { MemoryStore } from "./support/memory-store.ts";

const NOW_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const ADDRESS = "192.0.2.1";

let directory = "";
let clock: ManualClock;
let store: MemoryStore;
let ca: FileCertificateAuthority;
let service: EnrolmentService;
let admission: StoreAdmission;
let log: RecordingLog;
let events: { reason: string; message: string }[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "enrolment-"));
  clock = new ManualClock({ wallMs: NOW_MS });
  store = new MemoryStore();
  log = new RecordingLog();
  events = [];
  ca = await openCertificateAuthority(
    { directory },
    { clock, random: systemRandom(), log: silentLog() },
  );
  service = new EnrolmentService(
    { mqttUrl: "mqtts://hub.example:8883", apiAddress: "hub.example:8443", shard: "0" },
    {
      ca,
      signer: openDesiredSigner({ directory }),
      store,
      crypto: enrolmentCrypto({ random: systemRandom() }),
      clock,
      random: systemRandom(),
      log,
      metrics: createMetrics(ENROLMENT_METRICS),
      events: { record: ({ reason, message }) => events.push({ reason, message }) },
    },
  );
  admission = new StoreAdmission({}, { store, log });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const id = (name: string): NodeId => must(parseNodeId(name), "a node id");

/** A token as the resource API stores it; the text that the device sends. */
async function makeToken(
  name: string,
  spec: Partial<ObjectOf<"JoinToken">["spec"]> = {},
  lifeMs = HOUR_MS,
): Promise<string> {
  const { secret, secretHash } = service.mintSecret();
  const object: ObjectOf<"JoinToken"> = {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "JoinToken",
    metadata: { name, uid: name, generation: 1, creationTimestamp: isoTime(clock.wallMs()) },
    spec: { site: "factory-1", ...spec },
    status: { secretHash, expiresAt: isoTime(clock.wallMs() + lifeMs) },
  };
  await store.commit({
    changes: [{ key: { kind: "JoinToken", namespace: "", name }, expect: "absent", object }],
  });
  const parsed = parseJoinString(service.joinString(name, secret));
  if ("error" in parsed) throw new Error(parsed.error);
  expect(parsed.caFingerprint).toBe(ca.fingerprint);
  expect(parsed.apiUrl).toBe("https://hub.example:8443");
  return parsed.token;
}

async function join1(nodeName: string, token: string, address = ADDRESS) {
  const device = await makeDeviceKey();
  const answer = await service.join({ token, nodeName, csr: device.csr }, address);
  return { ...device, answer, certificate: answer.certificate, serial: serialOf(answer) };
}

async function renewWith(
  device: { privateKey: string; certificate: string },
  nodeId: string,
  change: Partial<{ csr: string; message: string }> = {},
) {
  const next = await makeDeviceKey();
  const proof = renewalProof(device, { nodeId, csr: next.csr });
  const answer = await service.renew({ ...proof, ...change }, ADDRESS);
  return { ...next, answer, certificate: answer.certificate, serial: serialOf(answer) };
}

const serialOf = (answer: EnrolmentAnswer): string =>
  new X509Certificate(answer.certificate).serialNumber.toLowerCase();

const node = (name: string): ObjectOf<"EdgeNode"> =>
  must(store.get("EdgeNode", "", name), "the node is stored");

async function change(name: string, spec: Partial<ObjectOf<"EdgeNode">["spec"]>): Promise<void> {
  const object = node(name);
  await store.commit({
    changes: [
      {
        key: { kind: "EdgeNode", namespace: "", name },
        expect: "any",
        object: { ...object, spec: { ...object.spec, ...spec } },
      },
    ],
  });
}

test("a join token makes a node at its site, with its labels and a certificate that is admitted", async () => {
  const token = await makeToken("t1", { nodeLabels: { zone: "a" } });
  const joined = await join1("node-1", token);
  expect(joined.answer).toMatchObject({
    nodeId: "node-1",
    shard: "0",
    mqttUrl: "mqtts://hub.example:8883",
    caCertificate: ca.caCertificate,
  });
  expect(joined.answer.signingKey).toContain("BEGIN PUBLIC KEY");
  expect(node("node-1")).toMatchObject({
    metadata: { labels: { zone: "a", "edge.kurator.dev/site": "factory-1" }, generation: 1 },
    spec: { site: "factory-1" },
    status: {
      life: "registered",
      certificateSerial: joined.serial,
      certificateExpiresAt: isoTime(NOW_MS + NODE_CERTIFICATE_MS),
    },
  });
  expect(store.get("Site", "", "factory-1")).toBeDefined();
  expect(store.get("JoinToken", "", "t1")?.status).toMatchObject({
    usedBy: "node-1",
    usedAt: isoTime(NOW_MS),
  });
  expect(admission.admits(id("node-1"), joined.serial)).toBe(true);
  expect(admission.admits(id("node-1"), "00ff")).toBe(false);
  expect(admission.admits(id("node-2"), joined.serial)).toBe(false);
  expect(events).toEqual([expect.objectContaining({ reason: "Enrolled" })]);
});

test("neither a token nor its secret is ever written to the log", async () => {
  const token = await makeToken("t1");
  await join1("node-1", token);
  await join1("node-2", token).catch(() => {});
  await join1("node-2", `${token}x`).catch(() => {});
  const secret = token.split(".").at(-1) ?? "";
  expect(JSON.stringify(log.lines)).not.toContain(secret);
  expect(log.lines.length).toBeGreaterThan(0);
});

test("a used token is refused", async () => {
  const token = await makeToken("t1");
  await join1("node-1", token);
  await expect(join1("node-2", token)).rejects.toMatchObject({ code: "token-used" });
});

test("of two joins with one token at the same instant exactly one wins", async () => {
  const token = await makeToken("t1");
  const outcomes = await Promise.allSettled([join1("node-1", token), join1("node-2", token)]);
  expect(outcomes.map((o) => o.status).toSorted()).toEqual(["fulfilled", "rejected"]);
  const lost = outcomes.find((o) => o.status === "rejected");
  expect(lost?.reason).toMatchObject({ code: "token-used" });
  expect(store.list("EdgeNode")).toHaveLength(1);
});

test("of two joins under one name with two tokens exactly one wins", async () => {
  const tokens = [await makeToken("t1"), await makeToken("t2")];
  const outcomes = await Promise.allSettled(tokens.map((token) => join1("node-1", token)));
  expect(outcomes.map((o) => o.status).toSorted()).toEqual(["fulfilled", "rejected"]);
  const lost = outcomes.find((o) => o.status === "rejected");
  expect(lost?.reason).toMatchObject({ code: "duplicate-node" });
  const unspent = store.list("JoinToken").filter((t) => t.status?.usedAt === undefined);
  expect(unspent).toHaveLength(1);
});

test("two first nodes of a new site both join, and the site is made once", async () => {
  const tokens = [await makeToken("t1"), await makeToken("t2")];
  await Promise.all(tokens.map((token, i) => join1(`node-${i}`, token)));
  expect(store.list("Site")).toHaveLength(1);
  expect(store.list("EdgeNode")).toHaveLength(2);
});

test("a store that cannot write spends no token", async () => {
  const token = await makeToken("t1");
  store.failures.push(new Error("disk full"));
  await expect(join1("node-1", token)).rejects.toThrow("disk full");
  await join1("node-1", token);
});

test("an expired token is refused, and no token lives longer than a day", async () => {
  const short = await makeToken("t1", {}, 60_000);
  const long = await makeToken("t2", { ttl: "90d" }, 90 * 24 * HOUR_MS);
  clock.setWall(NOW_MS + 60_000);
  await expect(join1("node-1", short)).rejects.toMatchObject({ code: "token-expired" });
  clock.setWall(NOW_MS + 24 * HOUR_MS);
  await expect(join1("node-1", long)).rejects.toMatchObject({ code: "token-expired" });
});

test.each([
  ["a token of another hub", "t9.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
  ["no token at all", ""],
  ["a token without a secret", "t1"],
  ["a token with a short secret", "t1.abc"],
  ["a very long token", `t1.${"a".repeat(100_000)}`],
  ["a prototype's name", "constructor.AAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
])("%s is refused, and looks like a wrong secret", async (_name, token) => {
  await makeToken("t1");
  await expect(join1("node-1", token)).rejects.toMatchObject({ code: "invalid-token" });
  await expect(join1("node-1", `t1.${"A".repeat(43)}`)).rejects.toMatchObject({
    code: "invalid-token",
  });
});

test("a token for one node lets no other in, and no name is accepted that is no DNS label", async () => {
  const token = await makeToken("t1", { nodeName: "node-1" });
  await expect(join1("node-2", token)).rejects.toMatchObject({ code: "wrong-node" });
  for (const name of ["", "Node", "a.b", "../x", "x".repeat(64), "a b", "ä"])
    await expect(join1(name, token)).rejects.toMatchObject({ code: "bad-request" });
  await join1("node-1", token);
});

test("a hostile request costs no token", async () => {
  const token = await makeToken("t1");
  const join = service.join({ token, nodeName: "node-1", csr: "x" }, ADDRESS);
  await expect(join).rejects.toMatchObject({ code: "bad-request" });
  await join1("node-1", token);
});

test("a name that is taken is refused, unless the token was made for it: then the old certificate ends", async () => {
  const first = await join1("node-1", await makeToken("t1"));
  const again = join1("node-1", await makeToken("t2"));
  await expect(again).rejects.toMatchObject({ code: "duplicate-node" });

  const closed: string[] = [];
  disconnectRefusedNodes({ store, link: { disconnect: (n, why) => closed.push(`${n} ${why}`) } });
  const named = await makeToken("t3", { nodeName: "node-1", site: "factory-2" });
  const second = await join1("node-1", named);
  expect(admission.admits(id("node-1"), first.serial)).toBe(false);
  expect(admission.admits(id("node-1"), second.serial)).toBe(true);
  expect(node("node-1").spec.site).toBe("factory-2");
  expect(closed).toEqual(["node-1 enrolled again"]);
  await expect(renewWith(first, "node-1")).rejects.toMatchObject({ code: "superseded" });
});

test("a revoked name is not taken over by a token", async () => {
  await join1("node-1", await makeToken("t1"));
  await change("node-1", { revoked: true });
  const named = await makeToken("t2", { nodeName: "node-1" });
  await expect(join1("node-1", named)).rejects.toMatchObject({ code: "revoked" });
});

test("a thousand wrong guesses at one token end in a lock, for the right secret too, until it is over", async () => {
  const token = await makeToken("t1");
  const codes = new Map<string, number>();
  for (let i = 0; i < 1000; i++) {
    const guess = `t1.${String(i).padStart(43, "A")}`;
    const request = { token: guess, nodeName: "node-1", csr: "" };
    const error: unknown = await service.join(request, `10.0.0.${i % 250}`).catch((e) => e);
    const code = (error as { code: string }).code;
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  expect(codes.get("invalid-token")).toBe(GUESSES_PER_TOKEN_MAX);
  expect(codes.get("locked-out")).toBe(1000 - GUESSES_PER_TOKEN_MAX);
  await expect(join1("node-1", token)).rejects.toMatchObject({ code: "locked-out" });
  await join1("node-2", await makeToken("t2"));
  await clock.advance(LOCKOUT_MS);
  await join1("node-1", token);
});

test("an address that guesses at many names is locked, and others are not", async () => {
  const token = await makeToken("t1");
  for (let i = 0; i < 1000; i++)
    await service
      .join({ token: `x${i}.${"A".repeat(43)}`, nodeName: "n", csr: "" }, "203.0.113.9")
      .catch(() => {});
  await expect(join1("node-1", token, "203.0.113.9")).rejects.toMatchObject({ code: "locked-out" });
  expect(GUESSES_PER_ADDRESS_MAX).toBeLessThan(1000);
  await join1("node-1", token);
});

test("an address that asks for renewals in vain is locked for renewals alone", async () => {
  const token = await makeToken("t1");
  const codes = new Set<string>();
  for (let i = 0; i <= GUESSES_PER_ADDRESS_MAX; i++) {
    const request = { certificate: "x", csr: "x", message: "x", signature: "x" };
    await service.renew(request, ADDRESS).catch((error: { code: string }) => codes.add(error.code));
  }
  expect([...codes]).toEqual(["not-proven", "locked-out"]);
  const joined = await join1("node-1", token);
  await expect(renewWith(joined, "node-1")).rejects.toMatchObject({ code: "locked-out" });
  await clock.advance(LOCKOUT_MS);
  await renewWith(joined, "node-1");
});

test("a certificate is renewed by its key; the old one stays good until the new one is used", async () => {
  const first = await join1("node-1", await makeToken("t1"));
  const second = await renewWith(first, "node-1");
  expect(admission.admits(id("node-1"), first.serial)).toBe(true);
  // The answer may have been lost: the old certificate may ask again.
  const third = await renewWith(first, "node-1");
  expect(admission.admits(id("node-1"), second.serial)).toBe(false);
  expect(admission.admits(id("node-1"), third.serial)).toBe(true);
  await Promise.resolve();
  await clock.advance(0);
  expect(node("node-1").status).toMatchObject({ certificateSerial: third.serial });
  expect(node("node-1").status).not.toHaveProperty("nextCertificateSerial");
  expect(admission.admits(id("node-1"), first.serial)).toBe(false);
  await expect(renewWith(first, "node-1")).rejects.toMatchObject({ code: "superseded" });
});

test("a renewal by the renewed certificate ends the one before, and closes no session", async () => {
  const first = await join1("node-1", await makeToken("t1"));
  const second = await renewWith(first, "node-1");
  const closed: string[] = [];
  disconnectRefusedNodes({ store, link: { disconnect: (n) => closed.push(n) } });
  const third = await renewWith(second, "node-1");
  expect(admission.admits(id("node-1"), first.serial)).toBe(false);
  expect(admission.admits(id("node-1"), second.serial)).toBe(true);
  expect(admission.admits(id("node-1"), third.serial)).toBe(true);
  expect(closed).toEqual([]);
});

test("a device that was off until long after its certificate ended renews by itself", async () => {
  const first = await join1("node-1", await makeToken("t1"));
  clock.setWall(NOW_MS + NODE_CERTIFICATE_MS + RENEWAL_GRACE_MS - HOUR_MS);
  const second = await renewWith(first, "node-1");
  expect(admission.admits(id("node-1"), second.serial)).toBe(true);
  clock.setWall(NOW_MS + 2 * (NODE_CERTIFICATE_MS + RENEWAL_GRACE_MS));
  await expect(renewWith(second, "node-1")).rejects.toMatchObject({ code: "not-proven" });
});

test("revoked and deleted nodes are not renewed, and their sessions are closed", async () => {
  const closed: string[] = [];
  disconnectRefusedNodes({ store, link: { disconnect: (n, why) => closed.push(`${n} ${why}`) } });
  const first = await join1("node-1", await makeToken("t1"));
  await change("node-1", { unschedulable: true });
  expect(closed).toEqual([]);
  await change("node-1", { revoked: true });
  expect(closed).toEqual(["node-1 revoked"]);
  expect(admission.admits(id("node-1"), first.serial)).toBe(false);
  await expect(renewWith(first, "node-1")).rejects.toMatchObject({ code: "revoked" });
  await store.commit({
    changes: [
      {
        key: { kind: "EdgeNode", namespace: "", name: "node-1" },
        expect: "any",
        object: undefined,
      },
    ],
  });
  expect(closed).toEqual(["node-1 revoked", "node-1 deleted"]);
  await expect(renewWith(first, "node-1")).rejects.toMatchObject({ code: "unknown-node" });
});

test("a proof is good for one node and one request alone", async () => {
  const first = await join1("node-1", await makeToken("t1"));
  await join1("node-2", await makeToken("t2"));
  const hash = (text: string): string => createHash("sha256").update(text).digest("hex");
  const other = (await makeDeviceKey()).csr;
  const attempts = [
    renewWith(first, "node-2"),
    renewWith(first, "node-1", { csr: other }),
    renewWith(first, "node-1", { message: `renew\nnode-1\n0\n${hash(other)}`, csr: other }),
  ];
  // All at once: one that rejects while another is waited for would be nobody's.
  await Promise.all(attempts.map((a) => expect(a).rejects.toMatchObject({ code: "not-proven" })));
  expect(node("node-1").status).not.toHaveProperty("nextCertificateSerial");
});
