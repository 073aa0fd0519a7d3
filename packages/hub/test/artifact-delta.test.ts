import { createHash, createPublicKey, verify } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readManifest } from "@flotilla/shared/delta/envelope";
import { must } from "@flotilla/shared/kernel/assert";
import { applyDelta } from "@flotilla/shared/platform/delta/apply";
import { isSignature } from "@flotilla/shared/platform/ed25519";
import { tufTools } from "@flotilla/shared/platform/tuf";
import {
  type ArtifactOffer,
  MANIFEST_SIGNATURE_CONTEXT,
} from "@flotilla/shared/protocol/down/artifact-offer";
import { BYTES_ANSWER_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { firstState } from "@flotilla/shared/trust/decide";
import { gather } from "@flotilla/shared/trust/gather";
import { openMetadata } from "@flotilla/shared/trust/metadata";
import { judgeTime, timePathOf } from "@flotilla/shared/trust/time";
import { afterEach, beforeEach, expect, test } from "vitest";
import { artifactLayout } from "../src/adapters/artifact-store/layout.ts";
import { offlineRepository } from "./support/offline-repository.ts";
import { type ConnectedNode, type RunningHub, runHub } from "./support/running-hub.ts";

const tools = tufTools();
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let folder = "";
let hub: RunningHub;
let node: ConnectedNode | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "artifact-delta-"));
});
afterEach(async () => {
  await node?.end();
  node = undefined;
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A model of one tensor in safetensors, and the same after a little training of a part of it. */
function models(): { readonly old: Uint8Array; readonly fresh: Uint8Array } {
  const count = 200_000;
  const noise = new SeededRandom(11).bytes(count * 4, "weights");
  const values = Float32Array.from({ length: count }, (_, i) => ((noise[i] ?? 0) - 128) / 300);
  const tuned = values.map((v, i) => (i % 4 === 0 ? v * (1 + (noise[i + count] ?? 0) / 1e6) : v));
  const header = `{"w":{"dtype":"F32","shape":[400,500],"data_offsets":[0,${count * 4}]}}`;
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(header.length));
  const file = (floats: Float32Array): Uint8Array =>
    Buffer.concat([head, Buffer.from(header), Buffer.from(floats.buffer)]);
  return { old: file(values), fresh: file(tuned) };
}

function store(bytes: Uint8Array): void {
  const path = join(artifactLayout(folder).blobs, sha(bytes).slice(0, 2));
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, sha(bytes)), bytes);
}

const pathOf = (counter: number): string => `models/detector/${counter}/model.safetensors`;

/** The hub with two releases of a model, published and ready. */
async function hubWithReleases(old: Uint8Array, fresh: Uint8Array): Promise<void> {
  hub = await runHub(folder);
  const status = JSON.parse((await hub.call("GET", "/artifacts/v1")).text);
  expect(status).toMatchObject({ trust: [], onlineKey: { key: { keytype: "ed25519" } } });
  const pub = JSON.parse(readFileSync(join(folder, "pki/hub.pub"), "utf8"));
  expect(status.onlineKey.key).toEqual(pub);
  const files = offlineRepository(pub, Date.now(), [
    { path: pathOf(1), bytes: old, artifact: "detector", releaseCounter: 1 },
    { path: pathOf(2), bytes: fresh, artifact: "detector", releaseCounter: 2 },
  ]);
  const base64 = Object.entries(files).map(
    ([name, bytes]) => [name, Buffer.from(bytes).toString("base64")] as const,
  );
  const published = await hub.call("POST", "/artifacts/v1/metadata", {
    files: Object.fromEntries(base64),
  });
  expect(published.status).toBe(200);
  const api = "/apis/artifacts.kurator.dev/v1alpha1";
  const head = { apiVersion: "artifacts.kurator.dev/v1alpha1" };
  const made = await hub.call("POST", `${api}/artifacts`, {
    ...head,
    kind: "Artifact",
    metadata: { name: "detector" },
    spec: { format: "safetensors" },
  });
  expect(made.status).toBe(201);
  for (const [counter, bytes] of [
    [1, old],
    [2, fresh],
  ] as const) {
    const version = `${counter}.0.0`;
    const file = {
      path: "model.safetensors",
      target: pathOf(counter),
      length: bytes.byteLength,
      sha256: sha(bytes),
    };
    const release = await hub.call("POST", `${api}/releases`, {
      ...head,
      kind: "Release",
      metadata: { name: `detector-${version}` },
      spec: { artifact: "detector", version, counter, files: [file] },
    });
    expect(release).toMatchObject({ status: 201 });
  }
}

/** Asks until the hub has made it. */
async function offered(
  asking: ConnectedNode,
  target: Uint8Array,
  bases: readonly Uint8Array[],
): Promise<ArtifactOffer> {
  for (let tries = 0; tries < 200; tries++) {
    const request = {
      target: sha(target),
      bases: bases.map(sha),
      memoryBytes: 2 ** 28,
      isUrgent: false,
      failed: [],
    };
    const message = await asking.ask("artifact-get", request);
    const offer = must(message.kind === "artifact-offer" ? message.body : undefined, "an offer");
    if (offer.status !== "pending") return offer;
    await new Promise((resolve) => setTimeout(resolve, Math.min(300, offer.retryAfterMs ?? 0)));
  }
  throw new Error("it was never made");
}

/** Everything under a name of the artifact server, piece by piece over the link. */
async function fetched(asking: ConnectedNode, path: string): Promise<Uint8Array | "absent"> {
  const pieces: Buffer[] = [];
  for (let offset = 0; ; ) {
    const message = await asking.ask("bytes-get", { path, offset, length: BYTES_ANSWER_BYTES_MAX });
    const body = must(message.kind === "bytes" ? message.body : undefined, "bytes");
    if (body.error === "not-found") return "absent";
    expect(body.error).toBeUndefined();
    const piece = Buffer.from(body.data, "base64");
    pieces.push(piece);
    offset += piece.length;
    if (offset >= body.totalBytes) return Buffer.concat(pieces);
  }
}

function isSigned(asking: ConnectedNode, step: NonNullable<ArtifactOffer["steps"]>[number]) {
  const text = Buffer.from(MANIFEST_SIGNATURE_CONTEXT + step.manifestSha256);
  const key = createPublicKey(asking.enrolment.signingKey);
  return verify(null, text, key, Buffer.from(step.signature, "base64"));
}

test("a node asks for a model over the link and makes it out of the one it has; trust and time come the same way", async () => {
  const { old, fresh } = models();
  store(old);
  store(fresh);
  await hubWithReleases(old, fresh);
  const asking = await hub.connect("press-1");
  node = asking;

  const offer = await offered(asking, fresh, [old]);
  expect(offer).toMatchObject({ status: "ready", fullBytes: fresh.byteLength });
  const [step] = offer.steps ?? [];
  const { manifest: text = "", manifestSha256, payloadLength } = must(step, "a step");
  expect(offer.steps).toHaveLength(1);
  expect(payloadLength).toBeLessThan(fresh.byteLength / 4);
  expect(isSigned(asking, must(step, "a step"))).toBe(true);
  const manifest = Buffer.from(text, "base64");
  expect(sha(manifest)).toBe(manifestSha256);
  expect(await fetched(asking, `manifests/${manifestSha256}`)).toEqual(manifest);
  const payload = await fetched(asking, `payloads/${manifestSha256}`);
  if (payload === "absent") throw new Error("no payload");
  expect(payload.byteLength).toBe(payloadLength);
  // The artifact server gives the same.
  expect(await hub.fetch(asking, `payloads/${manifestSha256}`)).toEqual(payload);

  writeFileSync(join(folder, "old"), old);
  await applyDelta(
    {
      manifest: readManifest(manifest),
      basePath: join(folder, "old"),
      targetPath: join(folder, "new"),
      firstBlock: 0,
    },
    { read: (offset, length) => Promise.resolve(payload.subarray(offset, offset + length)) },
    () => {},
  );
  expect(sha(readFileSync(join(folder, "new")))).toBe(sha(fresh));

  const rootBytes = await fetched(asking, "metadata/1.root.json");
  if (rootBytes === "absent") throw new Error("no root");
  const first = firstState(rootBytes, 0, tools);
  const stored = must(first.kind === "accepted" ? first.state : undefined, "a sound root");
  const nonce = "ab".repeat(16);
  const root = openMetadata("root", { subject: "root", bytes: rootBytes }, tools);
  const answer = await fetched(asking, timePathOf(nonce));
  if (answer === "absent") throw new Error("no time");
  const question = { nonce, root, floorMs: 0, roundTripMs: 5 };
  const overHttps = await hub.fetch(asking, timePathOf(nonce));
  expect(judgeTime(overHttps, question, isSignature)).toMatchObject({ kind: "attested" });
  const time = judgeTime(answer, question, isSignature);
  const nowMs = must(time.kind === "attested" ? time.nowMs : undefined, "attested time");
  const files = { path: pathOf(2), length: fresh.byteLength, sha256: sha(fresh) };
  const order = {
    wanted: { nodeId: "press-1", revision: 1, files: [files] },
    self: { nodeId: "press-1", hardwareId: "any" },
  };
  const source = { fetch: (file: string) => fetched(asking, `metadata/${file}`) };
  const decision = await gather({ stored, order, nowMs }, source, tools);
  expect(decision).toMatchObject({ kind: "accepted", freshness: "attested" });
  expect(decision).toMatchObject({ install: [{ sha256: sha(fresh) }] });
});

test("a node without a base gets the whole file; what an update costs is told over the API; both survive a restart", async () => {
  const { old, fresh } = models();
  store(old);
  store(fresh);
  await hubWithReleases(old, fresh);
  const first = await hub.connect("press-1");
  const whole = await offered(first, fresh, []);
  expect(whole.steps).toMatchObject([{ makes: sha(fresh) }]);
  expect(whole.steps?.[0]?.base).toBeUndefined();
  await offered(first, fresh, [old]);
  const path = `/artifacts/v1/deltas?from=${sha(old)}&to=${sha(fresh)}`;
  const report = JSON.parse((await hub.call("GET", path)).text);
  expect(report).toMatchObject({
    status: "ready",
    fileBytes: fresh.byteLength,
    ways: [{ kind: "full" }, { kind: "delta", isOffered: true, codecs: ["weights"] }],
  });
  expect((await hub.call("GET", "/artifacts/v1/deltas?from=a&to=b")).status).toBe(400);
  await first.end();
  await hub.stop();

  hub = await runHub(folder);
  const status = JSON.parse((await hub.call("GET", "/artifacts/v1")).text);
  expect(status.cacheUsedBytes).toBeGreaterThan(report.ways[0].bytes);
  const again = JSON.parse((await hub.call("GET", path)).text);
  expect(again).toEqual(report);
});

test("metadata that a node would refuse is refused by the API, with what to do", async () => {
  hub = await runHub(folder);
  const publish = (files: unknown) => hub.call("POST", "/artifacts/v1/metadata", { files });
  const foreign = offlineRepository(
    { keytype: "ed25519", scheme: "ed25519", keyval: { public: "7".repeat(64) } },
    Date.now(),
    [],
  );
  const base64 = Object.entries(foreign).map(
    ([name, bytes]) => [name, Buffer.from(bytes).toString("base64")] as const,
  );
  const refused = await publish(Object.fromEntries(base64));
  expect(refused.status).toBe(422);
  expect(JSON.parse(refused.text)).toMatchObject({
    code: "metadata-unsigned",
    subject: "1.root.json",
    mend: expect.stringContaining("hub.pub"),
  });
  expect((await publish({})).status).toBe(400);
  expect((await publish({ "1.root.json": "no base64!" })).status).toBe(400);
  const large = Buffer.alloc(9 * 1024 * 1024).toString("base64");
  expect((await publish({ "1.root.json": large })).status).toBe(413);
});
