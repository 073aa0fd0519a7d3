import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterEach, expect, test } from "vitest";
import {
  ArtifactHarness,
  keepingAgent,
  openCa,
  sha256Of,
  TOKEN,
} from "./support/artifact-harness.ts";
import { closedAfterMs, closeOf, pause, until } from "./support/broker-harness.ts";

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

async function started(
  options: Parameters<typeof ArtifactHarness.start>[0] = {},
): Promise<ArtifactHarness> {
  const harness = await ArtifactHarness.start(options);
  cleanUps.push(() => harness.stop());
  return harness;
}

async function metric(harness: ArtifactHarness, line: string): Promise<boolean> {
  return (await harness.metrics.text()).includes(line);
}

async function untilMetric(harness: ArtifactHarness, line: string): Promise<void> {
  for (let i = 0; i < 100 && !(await metric(harness, line)); i++) await pause(50);
  expect(await harness.metrics.text()).toContain(line);
}

/** False when the connection was refused. */
function isAnswered(reply: Promise<unknown>): Promise<boolean> {
  return reply.then(
    () => true,
    () => false,
  );
}

test("a node fetches payloads, manifests and metadata, whole and by ranges, and nothing is compressed", async () => {
  const hub = await started();
  const north = await hub.device("north");
  const bytes = randomBytes(700_000);
  const manifest = randomBytes(64);
  const name = await hub.payload(bytes, manifest);
  await hub.metadata.publish(new Map([["timestamp.json", Buffer.from('{"version":1}')]]));

  const whole = await hub.fetch(north, `/v1/payloads/${name}`, {
    headers: { "accept-encoding": "gzip, br, zstd" },
  });
  expect(whole.status).toBe(200);
  expect(whole.body.equals(bytes)).toBe(true);
  expect(whole.headers).toMatchObject({
    etag: `"${name}"`,
    "accept-ranges": "bytes",
    "content-length": "700000",
    "content-type": "application/octet-stream",
    "cache-control": "private, max-age=31536000, immutable, no-transform",
  });
  expect(whole.headers["content-encoding"]).toBeUndefined();

  for (const [range, from, to] of [
    ["bytes=0-0", 0, 1],
    ["bytes=262143-262144", 262_143, 262_145],
    ["bytes=100000-699999", 100_000, 700_000],
    ["bytes=600000-", 600_000, 700_000],
    ["bytes=-5", 699_995, 700_000],
    ["bytes=699999-800000", 699_999, 700_000],
  ] as const) {
    const part = await hub.fetch(north, `/v1/payloads/${name}`, { headers: { range } });
    expect(part.status, range).toBe(206);
    expect(part.headers["content-range"]).toBe(`bytes ${from}-${to - 1}/700000`);
    expect(part.body.equals(bytes.subarray(from, to)), range).toBe(true);
  }
  for (const range of ["bytes=700000-", "bytes=0-1,5-6", "bytes=x-1"]) {
    const refused = await hub.fetch(north, `/v1/payloads/${name}`, { headers: { range } });
    expect(refused.status, range).toBe(416);
    expect(refused.headers["content-range"]).toBe("bytes */700000");
  }
  const head = await hub.fetch(north, `/v1/payloads/${name}`, { method: "HEAD" });
  expect(head).toMatchObject({ status: 200, headers: { "content-length": "700000" } });
  expect((await hub.fetch(north, `/v1/manifests/${name}`)).body.equals(manifest)).toBe(true);
  const timestamp = await hub.fetch(north, "/v1/metadata/timestamp.json");
  expect(timestamp.body.toString()).toBe('{"version":1}');
  expect(timestamp.headers).toMatchObject({
    "cache-control": "private, no-cache, no-transform",
    etag: `"${sha256Of('{"version":1}')}"`,
  });
  await untilMetric(hub, 'flotilla_hub_artifact_requests_total{kind="payloads",outcome="part"} 6');
  expect(hub.asked).toEqual([`north ${north.serial}`]);
});

test("a node is told the hub's time, signed elsewhere, for a nonce and nothing else", async () => {
  const hub = await started();
  const north = await hub.device("north");
  const nonce = "0123456789abcdef".repeat(2);
  const reply = await hub.fetch(north, `/v1/time/${nonce}`);
  expect(reply).toMatchObject({ status: 200, headers: { "cache-control": "no-store" } });
  expect(reply.body.toString()).toBe(`now, ${nonce}`);
  expect((await hub.fetch(north, "/v1/time/now")).status).toBe(404);
  expect((await hub.fetch(north, `/v1/time/${nonce}`, { method: "PUT" })).status).toBe(404);
});

test("who has the bytes is told so, and a range of other bytes gets the whole", async () => {
  const hub = await started();
  const north = await hub.device("north");
  const name = await hub.payload(Buffer.from("payload"));
  const path = `/v1/payloads/${name}`;
  const same = await hub.fetch(north, path, { headers: { "if-none-match": `"x", "${name}"` } });
  expect(same).toMatchObject({ status: 304, body: Buffer.alloc(0) });
  const stale = await hub.fetch(north, path, {
    headers: { range: "bytes=1-2", "if-range": '"another"' },
  });
  expect(stale.status).toBe(200);
  const fresh = await hub.fetch(north, path, {
    headers: { range: "bytes=1-2", "if-range": `"${name}"` },
  });
  expect(fresh).toMatchObject({ status: 206, body: Buffer.from("ay") });
});

const NOT_THERE = [
  "/",
  "/v1",
  "/v1/",
  "/v2/metadata/timestamp.json",
  "/v1/metadata/../../pki/ca.key",
  "/v1/metadata/..%2f..%2fpki%2fca.key",
  "/v1/metadata/%2e%2e/x.json",
  "/v1/metadata/store.key",
  "/v1/metadata/link.json",
  "/v1/metadata/folder.json",
  "/v1/metadata/timestamp.json?x=1",
  "//v1/metadata/timestamp.json",
  "https://127.0.0.1/v1/metadata/timestamp.json",
  `/v1/payloads/${"0".repeat(64)}`,
  `/v1/payloads/${"0".repeat(64)}.manifest`,
  "/v1/uploads",
];

test("what has another name than those that are served is not there, whatever lies on the disk", async () => {
  const hub = await started();
  const north = await hub.device("north");
  const folder = join(hub.dataDir, "artifacts/metadata");
  writeFileSync(join(folder, "timestamp.json"), "{}");
  symlinkSync(join(hub.dataDir, "pki/ca.key"), join(folder, "link.json"));
  symlinkSync(folder, join(folder, "folder.json"));
  for (const path of NOT_THERE) expect((await hub.fetch(north, path)).status, path).toBe(404);
  expect((await hub.fetch(north, "/v1/metadata/timestamp.json")).status).toBe(200);
});

test("a node reads no contents, for they are what an administrator uploaded, and cannot upload", async () => {
  const hub = await started();
  const north = await hub.device("north");
  const sha256 = await hub.upload(Buffer.from("weights"));
  expect((await hub.fetch(north, `/v1/blobs/${sha256}`)).status).toBe(404);
  expect((await hub.fetch(north, "/v1/uploads", { method: "POST" })).status).toBe(404);
  const admin = await hub.admin(`/v1/blobs/${sha256}`, { headers: { range: "bytes=1-3" } });
  expect(admin).toMatchObject({ status: 206, body: Buffer.from("eig") });
  const put = await hub.fetch(north, `/v1/payloads/${"0".repeat(64)}`, { method: "PUT" });
  expect(put).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
  const withBody = await hub.fetch(north, `/v1/payloads/${"0".repeat(64)}`, {
    headers: { "content-length": 4 },
    body: "body",
  });
  expect(withBody.status).toBe(400);
});

test("no certificate, one of another CA, an expired one and a server's are refused; so is a wrong token", async () => {
  const hub = await started();
  const folder = mkdtempSync(join(tmpdir(), "foreign-ca-"));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  const foreign = await hub.device("north", await openCa(folder));
  const old = await hub.device("north", hub.ca, Date.now() - 200 * 86_400_000);
  const server = await hub.ca.serverCredentials({ name: "api", hosts: [] });
  const asServer = { name: "hub", serial: "", ...server };
  for (const stranger of [undefined, foreign, old, asServer])
    expect(await isAnswered(hub.fetch(stranger, "/v1/metadata/timestamp.json"))).toBe(false);
  expect(hub.asked).toEqual([]);
  for (const authorization of ["", "Bearer", "Bearer wrong", `Basic ${TOKEN}`]) {
    const reply = await hub.admin(`/v1/blobs/${"0".repeat(64)}`, { headers: { authorization } });
    expect(reply.status, authorization).toBe(401);
    expect(reply.headers["www-authenticate"]).toBe("Bearer");
    expect(JSON.parse(reply.body.toString())).toMatchObject({ code: "unauthorized" });
  }
  const asAdmin = await hub.fetch(await hub.device("north"), `/v1/blobs/${"0".repeat(64)}`, {
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  expect(asAdmin.status).toBe(404);
});

test("TLS older than 1.2 is refused", async () => {
  const hub = await started();
  for (const port of [hub.ports.nodes, hub.ports.administrators]) {
    const socket = connectTls({
      ...hub.tls(await hub.device("north")),
      port,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    const failed: unknown = await new Promise((resolve) => {
      socket.once("error", resolve);
      socket.once("secureConnect", () => resolve("connected"));
    });
    expect(failed).toBeInstanceOf(Error);
  }
});

test("a node that the hub does not admit is refused, and a revoked one is cut off in the middle", async () => {
  const hub = await started();
  const north = await hub.device("north");
  const south = await hub.device("south");
  const name = await hub.payload(randomBytes(64 * 1024 * 1024));
  hub.refused.add("south");
  expect((await hub.fetch(south, `/v1/payloads/${name}`)).status).toBe(401);

  const agent = keepingAgent();
  cleanUps.push(() => agent.destroy());
  const small = { agent, headers: { range: "bytes=0-9" } };
  expect((await hub.fetch(north, `/v1/payloads/${name}`, small)).status).toBe(206);
  const broken = new Promise<string>((resolve) => {
    const sent = request(
      { ...hub.tls(north), port: hub.ports.nodes, path: `/v1/payloads/${name}`, agent },
      (response) => {
        response.once("data", () => {
          response.pause();
          hub.refused.add("north");
          hub.thread.refuse("north");
          response.resume();
        });
        response.on("error", () => resolve("cut"));
        response.on("end", () => resolve("whole"));
      },
    );
    sent.on("error", () => resolve("cut"));
    sent.end();
  });
  expect(await broken).toBe("cut");
  expect((await hub.fetch(north, `/v1/payloads/${name}`)).status).toBe(401);
  hub.refused.clear();
  hub.thread.refuse("north");
  expect((await hub.fetch(north, `/v1/payloads/${name}`, small)).status).toBe(206);
});

test("the hub is asked once for many requests, and again when its word is old", async () => {
  const hub = await started({ limits: { admissionMs: 300 } });
  const north = await hub.device("north");
  const name = await hub.payload(Buffer.from("payload"));
  for (let i = 0; i < 5; i++) await hub.fetch(north, `/v1/payloads/${name}`);
  expect(hub.asked.length).toBe(1);
  await pause(310);
  hub.refused.add("north");
  expect((await hub.fetch(north, `/v1/payloads/${name}`)).status).toBe(401);
});

test("a resumed TLS session is judged like a new one", async () => {
  const hub = await started();
  const north = await hub.device("north");
  const name = await hub.payload(Buffer.from("payload"));
  const again = async (session: Buffer | undefined) => {
    const socket = connectTls({
      ...hub.tls(north),
      port: hub.ports.nodes,
      ...(session === undefined ? {} : { session }),
    });
    cleanUps.push(() => socket.destroy());
    const ticket = new Promise<Buffer>((resolve) => socket.once("session", resolve));
    await once(socket, "secureConnect");
    const isResumed = socket.isSessionReused();
    socket.write(`GET /v1/payloads/${name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    let answer = "";
    socket.on("data", (piece: Buffer) => (answer += piece.toString("latin1")));
    await closeOf(socket);
    return { isResumed, status: answer.slice(9, 12), ticket };
  };
  const first = await again(undefined);
  expect(first).toMatchObject({ isResumed: false, status: "200" });
  const session = await first.ticket;
  expect(await again(session)).toMatchObject({ isResumed: true, status: "200" });
  hub.refused.add("north");
  hub.thread.refuse("north");
  expect(await again(session)).toMatchObject({ isResumed: true, status: "401" });
});

test("one node cannot take all connections", async () => {
  const hub = await started({ limits: { nodeConnectionsMax: 2 } });
  const north = await hub.device("north");
  const open: TLSSocket[] = [];
  for (let i = 0; i < 2; i++) {
    const socket = connectTls({ ...hub.tls(north), port: hub.ports.nodes });
    cleanUps.push(() => socket.destroy());
    await once(socket, "secureConnect");
    open.push(socket);
  }
  expect(await isAnswered(hub.fetch(north, "/v1/metadata/timestamp.json"))).toBe(false);
  const south = await hub.device("south");
  expect((await hub.fetch(south, "/v1/metadata/timestamp.json")).status).toBe(404);
  open[0]?.destroy();
  await untilMetric(hub, 'flotilla_hub_artifact_connections_refused_total{reason="node-limit"} 1');
  expect((await hub.fetch(north, "/v1/metadata/timestamp.json")).status).toBe(404);
});

test("a client that says nothing, or drips its headers, is closed in time", async () => {
  const hub = await started({ limits: { headersTimeoutMs: 500 } });
  const silent = connectTls({ ...hub.tls(await hub.device("north")), port: hub.ports.nodes });
  await once(silent, "secureConnect");
  expect(await closedAfterMs(silent)).toBeLessThan(5_000);
  const dripping = connectTls({ ...hub.tls(undefined), port: hub.ports.administrators });
  await once(dripping, "secureConnect");
  dripping.write("GET /v1/blobs/0 HTTP/1.1\r\n");
  const timer = setInterval(() => dripping.write("x: y\r\n"), 100);
  expect(await closedAfterMs(dripping)).toBeLessThan(5_000);
  clearInterval(timer);
});

test("headers without end are refused", async () => {
  const hub = await started();
  const north = await hub.device("north");
  const reply = hub.fetch(north, "/v1/metadata/timestamp.json", {
    headers: { "x-long": "x".repeat(20_000) },
  });
  await expect(reply.then((r) => r.status)).resolves.toBe(400);
});

test("a reader that takes nothing is cut; others are served meanwhile", async () => {
  const hub = await started({ limits: { pieceMsMax: 400 } });
  const [slow, quick] = [await hub.device("slow"), await hub.device("quick")];
  const name = await hub.payload(randomBytes(64 * 1024 * 1024));
  const socket = connectTls({ ...hub.tls(slow), port: hub.ports.nodes });
  await once(socket, "secureConnect");
  socket.pause();
  socket.write(`GET /v1/payloads/${name} HTTP/1.1\r\nhost: x\r\n\r\n`);
  socket.on("error", () => undefined);
  const part = await hub.fetch(quick, `/v1/payloads/${name}`, {
    headers: { range: "bytes=1000-2000" },
  });
  expect(part.status).toBe(206);
  await untilMetric(hub, 'flotilla_hub_artifact_requests_total{kind="payloads",outcome="cut"} 1');
  const closed = closeOf(socket);
  socket.resume();
  await closed;
  expect(socket.bytesRead).toBeLessThan(64 * 1024 * 1024);
});

test("a new certificate is served to connections to come", async () => {
  const hub = await started();
  const serialNow = async (): Promise<string> => {
    const socket = connectTls({ ...hub.tls(undefined), port: hub.ports.administrators });
    await once(socket, "secureConnect");
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const before = await serialNow();
  rmSync(join(hub.dataDir, "pki/artifacts.crt"));
  const made = await hub.ca.serverCredentials({ name: "artifacts", hosts: [] });
  hub.thread.setTls({ ...made, caCertificate: hub.ca.caCertificate });
  let now = before;
  for (let i = 0; i < 100 && now === before; i++) now = await serialNow();
  expect(now).not.toBe(before);
  const north = await hub.device("north");
  expect((await hub.fetch(north, "/v1/metadata/timestamp.json")).status).toBe(404);
});

test("an upload by tus becomes a content; the hub knows it before the client does", async () => {
  const hub = await started();
  const bytes = randomBytes(300_000);
  const sha256 = sha256Of(bytes);
  const options = await hub.admin("/v1/uploads", { method: "OPTIONS" });
  expect(options).toMatchObject({
    status: 204,
    headers: {
      "tus-version": "1.0.0",
      "tus-extension": "creation,termination,expiration",
      "tus-max-size": `${2 ** 36}`,
    },
  });
  const created = await hub.create(sha256, bytes.length);
  expect(created).toMatchObject({
    status: 201,
    headers: { location: `/v1/uploads/${sha256}`, "upload-offset": "0", "tus-resumable": "1.0.0" },
  });
  expect(new Date(created.headers["upload-expires"] as string).getTime()).toBeGreaterThan(
    Date.now() + 86_400_000,
  );
  const first = await hub.patch(sha256, 0, bytes.subarray(0, 100_000));
  expect(first).toMatchObject({ status: 204, headers: { "upload-offset": "100000" } });
  const head = await hub.admin(`/v1/uploads/${sha256}`, { method: "HEAD" });
  expect(head).toMatchObject({
    status: 200,
    headers: { "upload-offset": "100000", "upload-length": "300000", "cache-control": "no-store" },
  });
  const wrong = await hub.patch(sha256, 50_000, bytes.subarray(50_000));
  expect(wrong).toMatchObject({ status: 409 });
  const last = await hub.patch(sha256, 100_000, bytes.subarray(100_000));
  expect(last).toMatchObject({ status: 204, headers: { "upload-offset": "300000" } });
  expect(hub.blobs.sizeOf(sha256)).toBe(300_000);
  const done = await hub.admin(`/v1/uploads/${sha256}`, { method: "HEAD" });
  expect(done).toMatchObject({
    status: 200,
    headers: { "upload-offset": "300000", "upload-length": "300000" },
  });
  expect(await hub.create(sha256, bytes.length)).toMatchObject({
    status: 201,
    headers: { "upload-offset": "300000" },
  });
  expect((await hub.admin(`/v1/uploads/${sha256}`, { method: "DELETE" })).status).toBe(404);
  expect((await hub.admin(`/v1/blobs/${sha256}`)).body.equals(bytes)).toBe(true);
});

test("many pieces of one upload over one connection", async () => {
  const hub = await started();
  const bytes = randomBytes(30_000);
  const sha256 = sha256Of(bytes);
  const agent = keepingAgent();
  cleanUps.push(() => agent.destroy());
  await hub.create(sha256, bytes.length);
  for (let offset = 0; offset < bytes.length; offset += 1_000) {
    const reply = await hub.patch(sha256, offset, bytes.subarray(offset, offset + 1_000), agent);
    expect(reply).toMatchObject({ status: 204, headers: { "upload-offset": `${offset + 1_000}` } });
  }
  expect(hub.blobs.sizeOf(sha256)).toBe(30_000);
});

test("an empty content is stored with its creation", async () => {
  const hub = await started();
  const sha256 = sha256Of("");
  expect((await hub.create(sha256, 0)).status).toBe(201);
  expect(hub.blobs.sizeOf(sha256)).toBe(0);
  expect(await hub.admin(`/v1/blobs/${sha256}`)).toMatchObject({ status: 200 });
});

test("an upload that is not what it was announced as is refused and gone", async () => {
  const hub = await started();
  const sha256 = sha256Of("wanted");
  await hub.create(sha256, 6);
  const reply = await hub.patch(sha256, 0, Buffer.from("forged"));
  expect(reply.status).toBe(460);
  expect(JSON.parse(reply.body.toString())).toMatchObject({ code: "upload-altered" });
  expect(hub.blobs.sizeOf(sha256)).toBeUndefined();
  expect((await hub.admin(`/v1/uploads/${sha256}`, { method: "HEAD" })).status).toBe(404);
  expect(hub.blobs.usedBytes).toBe(0);
});

test("an upload over the quota is refused before a byte of it is taken", async () => {
  const hub = await started({ quotaBytes: 1_000 });
  const reply = await hub.create(sha256Of("large"), 1_001);
  expect(reply.status).toBe(507);
  expect(JSON.parse(reply.body.toString())).toEqual({
    code: "artifact-quota",
    message: "1001 bytes do not fit: 0 of 1000 bytes are used by contents and open uploads",
    mend: "Delete releases that nothing uses, or give the hub a larger artifactQuotaBytes.",
  });
  expect((await hub.create(sha256Of("fits"), 1_000)).status).toBe(201);
  expect((await hub.create(sha256Of("more"), 1)).status).toBe(507);
  expect((await hub.admin(`/v1/uploads/${sha256Of("fits")}`, { method: "DELETE" })).status).toBe(
    204,
  );
  expect((await hub.create(sha256Of("more"), 1)).status).toBe(201);
});

test("what is no request of tus is refused", async () => {
  const hub = await started();
  for (const [method, path, headers, status] of [
    ["POST", "/v1/uploads", { "tus-resumable": "0.2.0", "upload-length": "1" }, 400],
    ["POST", "/v1/uploads", { "upload-length": "1" }, 400],
    ["POST", "/v1/uploads", { "upload-length": "-1", "upload-metadata": "sha256 AA==" }, 400],
    ["POST", "/v1/uploads", { "upload-defer-length": "1" }, 400],
    ["GET", "/v1/uploads", {}, 400],
    ["POST", "/v1/uploads/x", {}, 404],
    ["GET", `/v1/uploads/${"0".repeat(64)}`, {}, 404],
    ["PATCH", `/v1/uploads/${"0".repeat(64)}`, {}, 404],
  ] as const) {
    const reply = await hub.admin(path, { method, headers });
    expect(reply.status, `${method} ${path} ${JSON.stringify(headers)}`).toBe(status);
  }
});

test("more bytes than were announced are refused before they are read, and a body of another type", async () => {
  const hub = await started();
  const sha256 = sha256Of("wanted");
  await hub.create(sha256, 6);
  expect((await hub.patch(sha256, 0, Buffer.from("wanted and more"))).status).toBe(400);
  const plain = await hub.admin(`/v1/uploads/${sha256}`, {
    method: "PATCH",
    headers: { "upload-offset": 0, "content-type": "text/plain" },
    body: "wanted",
  });
  expect(plain.status).toBe(400);
  expect((await hub.create(sha256, 7)).status).toBe(409);
  expect((await hub.patch(sha256, 0, Buffer.from("wanted"))).status).toBe(204);
});

test("an upload that stops in the middle is ended, and goes on where it was, after the hub was killed too", async () => {
  const hub = await started({ limits: { uploadIdleMsMax: 300 } });
  const bytes = randomBytes(200_000);
  const sha256 = sha256Of(bytes);
  await hub.create(sha256, bytes.length);
  const stalled = request({
    ...hub.tls(undefined),
    port: hub.ports.administrators,
    path: `/v1/uploads/${sha256}`,
    method: "PATCH",
    agent: false,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      "tus-resumable": "1.0.0",
      "upload-offset": 0,
      "content-type": "application/offset+octet-stream",
      "content-length": bytes.length,
    },
  });
  stalled.on("error", () => undefined);
  stalled.write(bytes.subarray(0, 80_000));
  const part = join(hub.dataDir, `artifacts/uploads/${sha256}.part`);
  await until(() => existsSync(part) && statSync(part).size === 80_000);
  expect((await hub.patch(sha256, 80_000, bytes.subarray(80_000))).status).toBe(423);
  await closeOf(stalled);
  await hub.worker?.terminate();
  await until(() => hub.thread.isUp);
  const head = await hub.admin(`/v1/uploads/${sha256}`, { method: "HEAD" });
  expect(head.headers["upload-offset"]).toBe("80000");
  expect(hub.blobs.usedBytes).toBe(200_000);
  expect((await hub.patch(sha256, 80_000, bytes.subarray(80_000))).status).toBe(204);
  expect(hub.blobs.sizeOf(sha256)).toBe(200_000);
});

test("an upload whose last byte came before a kill is finished when somebody asks for it", async () => {
  const hub = await started();
  const bytes = randomBytes(1_000);
  const sha256 = sha256Of(bytes);
  await hub.create(sha256, bytes.length);
  writeFileSync(join(hub.dataDir, `artifacts/uploads/${sha256}.part`), bytes);
  const head = await hub.admin(`/v1/uploads/${sha256}`, { method: "HEAD" });
  expect(head.headers["upload-offset"]).toBe("1000");
  expect(hub.blobs.sizeOf(sha256)).toBe(1_000);
});

test("when the thread dies the hub says so, starts it again on the same ports, and loses nothing", async () => {
  const hub = await started();
  const north = await hub.device("north");
  const name = await hub.payload(Buffer.from("payload"));
  const sha256 = await hub.upload(Buffer.from("weights"));
  expect(hub.thread.isUp).toBe(true);
  const taking = hub.thread.take("/dev/zero", 10 ** 9);
  await hub.worker?.terminate();
  expect(hub.thread.isUp).toBe(false);
  await expect(taking).rejects.toMatchObject({ code: "artifact-server-died" });
  await expect(hub.thread.take("/etc/hostname", 10)).rejects.toMatchObject({
    code: "artifact-server-died",
  });
  expect(hub.log.lines.some((l) => l.level === "error" && /died/.test(l.message))).toBe(true);
  await until(() => hub.thread.isUp);
  expect((await hub.fetch(north, `/v1/payloads/${name}`)).body.toString()).toBe("payload");
  expect((await hub.admin(`/v1/blobs/${sha256}`)).body.toString()).toBe("weights");
  expect(await metric(hub, "flotilla_hub_artifact_server_restarts_total 1")).toBe(true);
  expect(await metric(hub, "flotilla_hub_artifact_server_up 1")).toBe(true);
});

test("a port that is taken ends the start with a message that says so", async () => {
  const hub = await started();
  const folder = mkdtempSync(join(tmpdir(), "artifacts-"));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  const second = ArtifactHarness.start({ dataDir: folder, port: hub.ports.nodes });
  await expect(second).rejects.toMatchObject({
    code: "artifact-server-not-up",
    message: expect.stringContaining("EADDRINUSE"),
  });
});

test("a file of the hub's machine is taken in by the thread", async () => {
  const hub = await started();
  const path = join(hub.dataDir, "model.onnx");
  writeFileSync(path, "weights");
  const taken = await hub.thread.take(path, 100);
  expect(taken).toEqual({ sha256: sha256Of("weights"), length: 7 });
  expect(hub.blobs.sizeOf(taken.sha256)).toBe(7);
  await expect(hub.thread.take(path, 6)).rejects.toMatchObject({ code: "upload-too-long" });
  await expect(hub.thread.take(join(hub.dataDir, "none"), 6)).rejects.toThrow("ENOENT");
});

test("docs/artifact-server.md names every limit, with the value that it has", async () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/artifact-server.md"), "utf8");
  const limits: Record<string, unknown> = {
    ...(await import("../src/adapters/artifact-server/limits.ts")),
    ...(await import("../src/adapters/artifact-store/upload-store.ts")),
  };
  const rows = [...page.matchAll(/^\| `([A-Z_]+)` \| (\d+)/gm)].map(([, name, value]) => [
    name,
    Number(value),
  ]);
  const known = Object.entries(limits).filter(([, value]) => typeof value === "number");
  expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(known));
});
