import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { DESIRED_SIGNATURE_CONTEXT } from "@flotilla/shared/protocol/down/desired";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { RecordingLog, silentLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, beforeAll, expect, test } from "vitest";
import { FileCredentialStore } from "../src/adapters/credentials/file-credential-store.ts";
import { Ed25519Verifier } from "../src/adapters/credentials/signature-verifier.ts";
import { ANSWER_BYTES_MAX } from "../src/adapters/enrolment/http-client.ts";
import { HttpsEnrolmentClient } from "../src/adapters/enrolment/https-enrolment-client.ts";
import { DeviceKeyMaker } from "../src/adapters/enrolment/key-maker.ts";
import {
  EnrolmentService,
  RENEWAL_INTERVAL_MIN_MS,
} from "../src/app/enrolment/enrolment-service.ts";
import type { EnrolmentAnswer, EnrolmentClient, KeyMaker } from "../src/app/enrolment/ports.ts";
import type { Credentials } from "../src/app/link/ports.ts";
import { type Answerer, type EnrolmentHub, startEnrolmentHub } from "./support/enrolment-hub.ts";
import { type KeyAndCertificate, makeTestCa, type TestCa } from "./support/pki.ts";

const SECRET = "s3cret-s3cret-s3cret-s3cret";
const TOKEN = `line-1.${SECRET}`;
const DAY_MS = 86_400_000;
const NOW_MS = Date.parse("2026-06-01");
const keys = new DeviceKeyMaker();
const signing = generateKeyPairSync("ed25519");
const SIGNING_KEY = signing.publicKey.export({ type: "spki", format: "pem" }).toString();
let ca: TestCa;
let server: KeyAndCertificate;

beforeAll(async () => {
  ca = await makeTestCa();
  server = await ca.server();
});

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "agent-enrolment-"));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const times = { notBeforeMs: NOW_MS, notAfterMs: NOW_MS + 90 * DAY_MS };

/** Signs what a device asks for, as the hub does. */
async function issue(
  csr: string,
  nodeId: string,
  over: Partial<EnrolmentAnswer> & { readonly from?: number } = {},
): Promise<EnrolmentAnswer> {
  const { from, ...rest } = over;
  const shift = from === undefined ? times : { notBeforeMs: from, notAfterMs: from + 90 * DAY_MS };
  return {
    nodeId,
    shard: "0",
    certificate: await ca.signCsr(nodeId, csr, shift),
    caCertificate: ca.certificate,
    signingKey: SIGNING_KEY,
    mqttUrl: "mqtts://127.0.0.1:8883",
    ...rest,
  };
}

async function startHub(
  over: { readonly tls?: KeyAndCertificate; readonly ca?: string; readonly answer?: Answerer } = {},
): Promise<EnrolmentHub> {
  const hub = await startEnrolmentHub({
    tls: over.tls ?? server,
    ca: over.ca ?? ca.certificate,
    answer:
      over.answer ??
      (async (_path, body) => ({
        status: 200,
        body: await issue(body["csr"] ?? "", body["nodeName"] ?? "n1"),
      })),
  });
  cleanups.push(() => hub.close());
  return hub;
}

const joinString = (hub: EnrolmentHub): string =>
  `flotilla://127.0.0.1:${hub.port}/${TOKEN}#sha256:${ca.fingerprint}`;

function setUp(
  over: {
    readonly client?: EnrolmentClient;
    readonly wallMs?: number;
    readonly timeoutMs?: number;
    readonly keys?: KeyMaker;
  } = {},
) {
  const directory = temporaryDirectory();
  const log = new RecordingLog();
  const credentials = new FileCredentialStore({ directory }, { log });
  const clock = new ManualClock({ wallMs: over.wallMs ?? NOW_MS });
  const metrics = new RecordingMetrics();
  let renewedCount = 0;
  const service = new EnrolmentService(
    {},
    {
      client: over.client ?? new HttpsEnrolmentClient({ timeoutMs: over.timeoutMs ?? 5_000 }),
      keys: over.keys ?? keys,
      credentials,
      clock,
      random: new SeededRandom(9),
      log,
      metrics,
      onRenewed: () => {
        renewedCount += 1;
      },
    },
  );
  return { directory, log, credentials, clock, metrics, service, renewed: () => renewedCount };
}

test("a join string becomes credentials, durable as one file that only its owner reads, and is used once", async () => {
  const hub = await startHub();
  const { service, credentials, directory, log } = setUp();
  const joined = await service.join({ joinString: joinString(hub), nodeName: "n1" });
  expect(credentials.load()).toEqual(joined);
  expect(joined).toMatchObject({
    nodeId: "n1",
    shard: "0",
    apiUrl: `https://127.0.0.1:${hub.port}`,
    mqttUrl: "mqtts://127.0.0.1:8883",
    certificateNotBeforeMs: times.notBeforeMs,
    certificateExpiresMs: times.notAfterMs,
  });
  expect(keys.isUsable(joined)).toBe(true);
  expect(readdirSync(directory)).toEqual(["credentials.json"]);
  expect(statSync(join(directory, "credentials.json")).mode & 0o777).toBe(0o600);
  expect(hub.requests).toMatchObject([
    { path: "/enrolment/v1/join", body: { token: TOKEN, nodeName: "n1" } },
  ]);
  expect(await service.join({ joinString: joinString(hub), nodeName: "n1" })).toEqual(joined);
  expect(hub.requests).toHaveLength(1);
  const logged = JSON.stringify(log.lines);
  expect(logged).not.toContain(SECRET);
  expect(logged).not.toContain("PRIVATE");
});

test("a hub with another CA gets not one byte of the token", async () => {
  const other = await makeTestCa("impostor");
  const hub = await startHub({ ca: other.certificate, tls: await other.server() });
  const { service, credentials } = setUp();
  await expect(service.join({ joinString: joinString(hub), nodeName: "n1" })).rejects.toMatchObject(
    { code: "ca-mismatch" },
  );
  expect(hub.received()).toMatch(/^GET \/ca\.pem /);
  expect(hub.received()).not.toContain("line-1");
  expect(hub.received()).not.toContain(SECRET);
  expect(credentials.load()).toBeUndefined();
});

test("one that shows the true CA certificate but has none of it gets nothing either", async () => {
  const other = await makeTestCa("impostor");
  const hub = await startHub({ tls: await other.server() });
  await expect(
    setUp().service.join({ joinString: joinString(hub), nodeName: "n1" }),
  ).rejects.toMatchObject({ code: "hub-unreachable" });
  expect(hub.requests).toEqual([]);
  expect(hub.received()).not.toContain(SECRET);
});

test.each([
  ["nothing", ""],
  ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
  ["HTML", "<html>"],
])("a CA file that holds %s is a mismatch", async (_, text) => {
  const hub = await startHub({ ca: text });
  await expect(
    setUp().service.join({ joinString: joinString(hub), nodeName: "n1" }),
  ).rejects.toMatchObject({ code: "ca-mismatch" });
});

test("two certificates in the CA file are a mismatch, also when the first is the right one", async () => {
  const other = await makeTestCa("second");
  const hub = await startHub({ ca: `${ca.certificate}\n${other.certificate}` });
  await expect(
    setUp().service.join({ joinString: joinString(hub), nodeName: "n1" }),
  ).rejects.toMatchObject({ code: "ca-mismatch" });
});

test("a refusal carries the hub's code, message and mend", async () => {
  const body = { code: "token-used", message: "the token was used", mend: "Make another." };
  const hub = await startHub({ answer: async () => ({ status: 410, body }) });
  await expect(
    setUp().service.join({ joinString: joinString(hub), nodeName: "n1" }),
  ).rejects.toMatchObject({
    code: "enrolment-refused",
    message: "the token was used",
    mend: "Make another.",
    fields: { hubCode: "token-used", status: 410 },
  });
});

test.each<[string, Answerer]>([
  ["is no JSON", async () => ({ status: 200, body: "{" })],
  ["lacks a field", async () => ({ status: 200, body: { nodeId: "n1" } })],
  ["never ends", async () => ({ status: 200, body: "x".repeat(ANSWER_BYTES_MAX + 1) })],
  [
    "is for another node",
    async (_, b) => ({ status: 200, body: await issue(b["csr"] ?? "", "n2") }),
  ],
  [
    "has a certificate for another key",
    async () => ({
      status: 200,
      body: await issue((await keys.makeKeyAndCsr("n1")).csr, "n1"),
    }),
  ],
  [
    "leads to a broker without TLS",
    async (_, b) => ({
      status: 200,
      body: await issue(b["csr"] ?? "", "n1", { mqttUrl: "mqtt://127.0.0.1" }),
    }),
  ],
])("an answer that %s is refused and nothing is stored", async (_, answer) => {
  const hub = await startHub({ answer });
  const { service, directory } = setUp();
  await expect(service.join({ joinString: joinString(hub), nodeName: "n1" })).rejects.toMatchObject(
    { code: "bad-answer" },
  );
  expect(existsSync(join(directory, "credentials.json"))).toBe(false);
});

test("an answer with another CA than the join string's is a mismatch", async () => {
  const other = await makeTestCa("other");
  const hub = await startHub({
    answer: async (_, b) => ({
      status: 200,
      body: await issue(b["csr"] ?? "", "n1", { caCertificate: other.certificate }),
    }),
  });
  await expect(
    setUp().service.join({ joinString: joinString(hub), nodeName: "n1" }),
  ).rejects.toMatchObject({ code: "ca-mismatch" });
});

test("a hub that is away, or silent, is unreachable within the time-out", async () => {
  const silent = await startHub({ answer: () => new Promise(() => undefined) });
  const { service } = setUp({ timeoutMs: 300 });
  await expect(
    service.join({ joinString: joinString(silent), nodeName: "n1" }),
  ).rejects.toMatchObject({ code: "hub-unreachable" });
  await silent.close();
  await expect(
    service.join({ joinString: joinString(silent), nodeName: "n1" }),
  ).rejects.toMatchObject({ code: "hub-unreachable" });
});

test("a text that is no join string says what is wrong and does not repeat the secret", async () => {
  const bad = `flotilla://hub/${TOKEN}#sha256:12`;
  const failure = await setUp()
    .service.join({ joinString: bad, nodeName: "n1" })
    .catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "bad-join-string" });
  expect(String(failure)).not.toContain(SECRET);
});

/** Credentials of a node that joined at the beginning of `times`. */
async function enrolled(): Promise<Credentials> {
  const { privateKey, csr } = await keys.makeKeyAndCsr("n1");
  const { certificate } = await issue(csr, "n1");
  return {
    nodeId: "n1",
    shard: "0",
    certificate,
    privateKey,
    caCertificate: ca.certificate,
    signingKey: SIGNING_KEY,
    mqttUrl: "mqtts://127.0.0.1:8883",
    apiUrl: "https://127.0.0.1:1",
    certificateNotBeforeMs: times.notBeforeMs,
    certificateExpiresMs: times.notAfterMs,
  };
}

type Renewal = Parameters<EnrolmentClient["renew"]>[0];

/** A client whose renewals are answered by `renew`, and a service that runs with it. */
async function running(
  renew: (request: Renewal) => Promise<EnrolmentAnswer>,
  over: { readonly wallMs?: number } = {},
) {
  const requests: Renewal[] = [];
  let busyCount = 0;
  const whileBusy = async <T>(work: Promise<T>): Promise<T> => {
    busyCount += 1;
    return work.finally(() => {
      busyCount -= 1;
    });
  };
  const context = setUp({
    ...over,
    client: {
      join: () => Promise.reject(new Error("not asked for")),
      renew: (request) => {
        requests.push(request);
        return whileBusy(renew(request));
      },
    },
    keys: Object.assign(new DeviceKeyMaker(), {
      makeKeyAndCsr: (name: string) => whileBusy(keys.makeKeyAndCsr(name)),
    }),
  });
  const before = await enrolled();
  context.credentials.save(before);
  const controller = new AbortController();
  const done = context.service.run(controller.signal);
  cleanups.push(async () => {
    controller.abort();
    await done;
  });
  /** Keys are made off the main thread: time stands still until that is done. */
  const advance = async (ms: number): Promise<void> => {
    await context.clock.advance(ms);
    while (busyCount > 0) {
      await new Promise((resolve) => {
        setTimeout(resolve, 1);
      });
      await context.clock.advance(0);
    }
  };
  return { ...context, before, requests, advance };
}

test("at half of its life the certificate is renewed with a new key and a proof of the old one, and the link is told", async () => {
  const { requests, advance, credentials, before, renewed, clock } = await running((r) =>
    issue(r.csr, "n1", { from: NOW_MS + 50 * DAY_MS }),
  );
  await advance(44 * DAY_MS);
  expect(requests).toHaveLength(0);
  for (let day = 0; day < 11; day++) await advance(DAY_MS);
  expect(requests).toHaveLength(1);
  const [request] = requests;
  const after = credentials.load();
  expect(renewed()).toBe(1);
  expect(after?.privateKey).not.toBe(before.privateKey);
  expect(after === undefined ? false : keys.isUsable(after)).toBe(true);
  const csrHash = createHash("sha256")
    .update(request?.csr ?? "")
    .digest("hex");
  const [verb, node, at, hash] = (request?.message ?? "").split("\n");
  expect([verb, node, hash]).toEqual(["renew", "n1", csrHash]);
  expect(Number(at)).toBeLessThanOrEqual(clock.wallMs());
  const isProof = verify(
    "sha256",
    Buffer.from(request?.message ?? ""),
    createPublicKey(before.privateKey),
    Buffer.from(request?.signature ?? "", "base64"),
  );
  expect(isProof).toBe(true);
});

test("a hub that does not accept the certificate leads to a renewal at once, also when the clock says 1970, but not to a storm of them", async () => {
  const { requests, advance, service, renewed } = await running((r) => issue(r.csr, "n1"), {
    wallMs: 0,
  });
  await advance(DAY_MS);
  expect(requests).toHaveLength(0);
  service.renewSoon();
  await advance(0);
  expect([requests.length, renewed()]).toEqual([1, 1]);
  for (let i = 0; i < 5; i++) service.renewSoon();
  await advance(RENEWAL_INTERVAL_MIN_MS / 2);
  expect(requests).toHaveLength(1);
  await advance(RENEWAL_INTERVAL_MIN_MS);
  expect(requests).toHaveLength(2);
});

test("a clock that is years ahead costs one renewal, not one after the other", async () => {
  const { requests, advance } = await running((r) => issue(r.csr, "n1"), {
    wallMs: NOW_MS + 3_650 * DAY_MS,
  });
  for (let hour = 0; hour < 24; hour++) await advance(3_600_000);
  expect(requests).toHaveLength(1);
  for (let day = 0; day < 60; day++) await advance(DAY_MS);
  expect(requests).toHaveLength(2);
});

test("a renewal that fails keeps what there is and is tried again, ever more rarely, within an hour", async () => {
  let fails = true;
  const { requests, advance, service, credentials, before, renewed, metrics } = await running(
    async (r) => {
      if (fails) throw new CodedError("hub-unreachable", "away");
      return issue(r.csr, "n1");
    },
  );
  service.renewSoon();
  for (let minute = 0; minute < 60; minute++) await advance(60_000);
  expect(requests.length).toBeGreaterThan(2);
  expect(requests.length).toBeLessThan(20);
  expect(credentials.load()).toEqual(before);
  expect(
    metrics.total("flotilla_agent_certificate_renewals_total", { outcome: "hub-unreachable" }),
  ).toBe(requests.length);
  fails = false;
  await advance(3_700_000);
  expect(renewed()).toBeGreaterThan(0);
  expect(credentials.load()).not.toEqual(before);
});

test("a renewed certificate that is not for this key does not take the place of the good one", async () => {
  const { service, advance, credentials, before, renewed } = await running(async () =>
    issue((await keys.makeKeyAndCsr("n1")).csr, "n1"),
  );
  service.renewSoon();
  await advance(0);
  expect(credentials.load()).toEqual(before);
  expect(renewed()).toBe(0);
});

test.each(["", "{", "[]", '{"nodeId":"n1"}'])(
  "a credentials file that holds %j is said, without its content, and counts as none",
  (text) => {
    const directory = temporaryDirectory();
    const log = new RecordingLog();
    const store = new FileCredentialStore({ directory }, { log });
    expect(store.load()).toBeUndefined();
    writeFileSync(join(directory, "credentials.json"), text);
    expect(store.load()).toBeUndefined();
    expect(log.lines.map((l) => l.level)).toEqual(["error"]);
  },
);

test("a save replaces the credentials as a whole", async () => {
  const directory = temporaryDirectory();
  const store = new FileCredentialStore({ directory }, { log: silentLog() });
  const [first, second] = [await enrolled(), await enrolled()];
  store.save(first);
  store.save(second);
  expect(store.load()).toEqual(second);
  expect(readFileSync(join(directory, "credentials.json"), "utf8")).not.toContain(
    JSON.stringify(first.privateKey).slice(1, -1),
  );
});

test("only the hub's key, over this very text and for this purpose, makes a signature", async () => {
  const own = await enrolled();
  const verifier = new Ed25519Verifier({ credentials: { load: () => own } });
  const spki = signing.publicKey.export({ type: "spki", format: "der" });
  const keyId = createHash("sha256").update(spki).digest("hex").slice(0, 16);
  const payload = '{"nodeId":"n1","revision":1,"text":"grün"}';
  const by = (text: string, key = signing.privateKey): string =>
    sign(null, Buffer.from(text), key).toString("base64");
  const signature = by(DESIRED_SIGNATURE_CONTEXT + payload);
  expect(verifier.verify({ payload, signature, keyId })).toBe(true);
  const stranger = generateKeyPairSync("ed25519").privateKey;
  const forged = [
    { payload: `${payload} `, signature, keyId },
    { payload, signature: by(payload), keyId },
    { payload, signature: by(DESIRED_SIGNATURE_CONTEXT + payload, stranger), keyId },
    { payload, signature, keyId: "0".repeat(16) },
    { payload, signature: "", keyId },
    { payload, signature: signature.slice(0, 40), keyId },
    { payload, signature: "%".repeat(88), keyId },
  ];
  for (const desired of forged) expect(verifier.verify(desired)).toBe(false);
  const without = new Ed25519Verifier({ credentials: { load: () => undefined } });
  expect(without.verify({ payload, signature, keyId })).toBe(false);
  const broken = new Ed25519Verifier({
    credentials: { load: () => ({ ...own, signingKey: "no key" }) },
  });
  expect(broken.verify({ payload, signature, keyId })).toBe(false);
});
