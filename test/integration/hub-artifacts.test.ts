import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { type RequestOptions, request } from "node:https";
import { join } from "node:path";
import { loadKubeconfig } from "@flotilla/cli/client/kubeconfig";
import { expect, test } from "vitest";
import type { HubProcess } from "./support/hub-process.ts";
import { until } from "./support/until.ts";
import { joinString, worldOfTest } from "./support/world.ts";

const TIMEOUT_MS = 120_000;
const SEED = 33;
const BYTES = 24 * 1024 * 1024;

interface Reply {
  readonly status: number;
  readonly offset: number;
  readonly body: Buffer;
}

interface Ask {
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Uint8Array;
}

/** Where the hub says that its artifact server is. */
async function addressesOf(
  hub: HubProcess,
): Promise<{ readonly server: string; readonly uploads: string }> {
  return JSON.parse((await hub.api.request("GET", "/artifacts/v1")).text);
}

/** Asks the hub's upload server as a client of tus does. Rejects when the hub goes away meanwhile. */
async function tus(hub: HubProcess, method: string, path: string, ask: Ask = {}): Promise<Reply> {
  const { uploads } = await addressesOf(hub);
  const { ca, token = "" } = loadKubeconfig(hub.kubeconfig);
  const headers = { authorization: `Bearer ${token}`, "tus-resumable": "1.0.0", ...ask.headers };
  const options = { method, headers, ...(ca === undefined ? {} : { ca }) };
  return send(`${uploads}${path}`, options, ask.body);
}

function send(url: string, options: RequestOptions, body?: Uint8Array): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent: false, ...options }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          offset: Number(response.headers["upload-offset"] ?? -1),
          body: Buffer.concat(pieces),
        }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

function patch(hub: HubProcess, sha256: string, offset: number, bytes: Buffer): Promise<Reply> {
  const headers = {
    "upload-offset": offset,
    "content-type": "application/offset+octet-stream",
    "content-length": bytes.length - offset,
  };
  return tus(hub, "PATCH", `/v1/uploads/${sha256}`, { headers, body: bytes.subarray(offset) });
}

test("uploads survive kill -9 of the hub at any moment: they go on where they were, and a content is whole or not there", {
  timeout: TIMEOUT_MS,
}, async () => {
  const world = worldOfTest(SEED);
  const hub = await world.startHub();
  const bytes = randomBytes(BYTES);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const metadata = `sha256 ${Buffer.from(sha256).toString("base64")}`;
  const begin = { headers: { "upload-length": BYTES, "upload-metadata": metadata } };
  expect((await tus(hub, "POST", "/v1/uploads", begin)).status).toBe(201);
  const part = join(hub.dataDir, "artifacts/uploads", `${sha256}.part`);
  let last = 0;
  for (let kill = 0; kill < 4; kill++) {
    const sending = patch(hub, sha256, last, bytes).catch(() => undefined);
    // Somewhere on the way; the last time perhaps while it becomes a content.
    const goal = Math.min(BYTES, last + world.between(1, BYTES / 4));
    await until("some bytes to be there", async () => sizeOf(part) >= goal);
    await hub.process.kill9();
    await sending;
    await hub.start();
    const found = await tus(hub, "HEAD", `/v1/uploads/${sha256}`);
    expect(found.status).toBe(200);
    expect(found.offset).toBeGreaterThanOrEqual(goal);
    last = found.offset;
    for (const name of contentsOf(hub)) expect(name).toBe(sha256);
  }
  // An upload that is complete takes nothing more and says so.
  expect((await patch(hub, sha256, last, bytes)).status).toBe(204);
  await hub.process.kill9();
  await hub.start();
  const content = await tus(hub, "GET", `/v1/blobs/${sha256}`);
  expect(content.status).toBe(200);
  expect(content.body.equals(bytes)).toBe(true);
  expect(readdirSync(join(hub.dataDir, "artifacts/uploads"))).toEqual([]);
});

test("what is put into the watched folder becomes a Release that waits for its signature", {
  timeout: TIMEOUT_MS,
}, async () => {
  const world = worldOfTest(SEED);
  const hub = await world.startHub();
  const folder = join(hub.dataDir, "artifacts/incoming/detector/1.0.0");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "model.bin"), randomBytes(10_000));
  writeFileSync(join(folder, "release.json"), '{"counter":1,"format":"raw"}');
  const conditionOf = async (type: string): Promise<string | undefined> => {
    const release = (await hub.api.list("Release")).items[0];
    return release?.status?.conditions?.find((c) => c.type === type)?.status;
  };
  await until("the release to be stored", async () => (await conditionOf("Stored")) === "True");
  expect(await conditionOf("Signed")).toBe("False");
  const { spec } = await hub.api.get("Release", "detector-1.0.0");
  expect(spec).toMatchObject({
    artifact: "detector",
    version: "1.0.0",
    files: [{ path: "model.bin", target: "models/detector/1/model.bin", length: 10_000 }],
  });
});

test("a node fetches with the certificate of its enrolment until it is revoked, and again when that is taken back", {
  timeout: TIMEOUT_MS,
}, async () => {
  const world = worldOfTest(SEED);
  const hub = await world.startHub();
  const agent = world.makeAgent("north");
  await agent.join(await joinString(hub, { site: "plant", nodeName: "north" }));
  const credentials: { caCertificate: string; certificate: string; privateKey: string } =
    JSON.parse(readFileSync(join(agent.stateDir, "credentials.json"), "utf8"));
  const { caCertificate: ca, certificate: cert, privateKey: key } = credentials;
  const { server } = await addressesOf(hub);
  writeFileSync(join(hub.dataDir, "artifacts/metadata/1.root.json"), "{}");
  const fetched = async (): Promise<number> =>
    (await send(`${server}/v1/metadata/1.root.json`, { ca, cert, key })).status;
  expect(await fetched()).toBe(200);
  expect((await send(`${server}/v1/time/${"0".repeat(32)}`, { ca, cert, key })).status).toBe(200);
  await expect(send(`${server}/v1/metadata/1.root.json`, { ca })).rejects.toThrow(/alert|hang up/);
  await hub.api.patch("EdgeNode", "north", { spec: { revoked: true } });
  await until("the node to be refused", async () => (await fetched()) === 401);
  await hub.api.patch("EdgeNode", "north", { spec: { revoked: null } });
  await until("the node to be admitted", async () => (await fetched()) === 200);
});

/** The part, or the whole when it has become a content. */
function sizeOf(part: string): number {
  return statSync(part, { throwIfNoEntry: false })?.size ?? BYTES;
}

function contentsOf(hub: HubProcess): readonly string[] {
  const blobs = join(hub.dataDir, "artifacts/blobs");
  return readdirSync(blobs).flatMap((name) => readdirSync(join(blobs, name)));
}
