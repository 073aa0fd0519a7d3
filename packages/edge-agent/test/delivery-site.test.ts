import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { ServedPayloads } from "../src/app/delivery/ports.ts";
import { orderOfMembers } from "../src/domain/delivery/peer-order.ts";
import { ArtifactHub, inBlocks, noise, sha256Of } from "./support/artifact-hub.ts";
import { DeliveryNode, type NodeOptions } from "./support/delivery-node.ts";
import { makeTestCa, type TestCa } from "./support/pki.ts";
import { failureOf, pump } from "./support/pump.ts";

const BLOCK = 50_000;
const TARGET = noise(20 * BLOCK, 3);
const SHA = sha256Of(TARGET);
const COUNT = 7;

let ca: TestCa;
let hub: ArtifactHub;
let clock: ManualClock;
let folder: string;
let nodes: DeliveryNode[];

beforeAll(async () => {
  ca = await makeTestCa();
});

beforeEach(async () => {
  hub = await ArtifactHub.start(ca);
  clock = new ManualClock();
  folder = mkdtempSync(join(tmpdir(), "flotilla-site-"));
  nodes = [];
});

afterEach(async () => {
  await pump(clock, Promise.all(nodes.map((node) => node.close())));
  hub.close();
  rmSync(folder, { recursive: true });
});

/** Nodes of one site in the order of their turn for the file, which is offered with all of them as peers. */
async function site(
  optionsOf: (place: number) => Partial<NodeOptions> = () => ({}),
): Promise<readonly DeliveryNode[]> {
  const step = hub.publish(inBlocks(TARGET, BLOCK));
  const names = Array.from({ length: COUNT }, (_, i) => `node-${i}`);
  const order = orderOfMembers(`payloads/${step.manifestSha256}`, names);
  for (const [place, nodeId] of order.entries())
    nodes.push(
      new DeliveryNode({
        nodeId,
        folder: join(folder, nodeId),
        clock,
        hub,
        credentials: await hub.credentialsOf(nodeId),
        ...optionsOf(place),
      }),
    );
  hub.offer([step], await Promise.all(nodes.map((node) => node.serve())));
  return nodes;
}

function sleepOf(by: ManualClock, ms: number): Promise<void> {
  return by.sleep(ms);
}

function expectComplete(of: readonly DeliveryNode[]): void {
  for (const node of of) expect(node.content(SHA)).toEqual(Buffer.from(TARGET));
}

/** A peer that answers with other bytes than it has. */
function lying(shelf: ServedPayloads): ServedPayloads {
  return {
    manifest: (sha256) => shelf.manifest(sha256),
    find: (sha256) => shelf.find(sha256),
    grown: (sha256, until) => shelf.grown(sha256, until),
    read: async (sha256, offset, length) => {
      const bytes = await shelf.read(sha256, offset, length);
      return bytes.map((byte) => byte ^ 0xff);
    },
  };
}

test("a site fetches a file once, and everybody has it", async () => {
  const all = await site();
  await pump(clock, Promise.all(all.map((node) => node.fetch(TARGET))), { stepMs: 3 });
  expectComplete(all);
  expect(hub.sentBytes).toBe(TARGET.length);
  expect(all[0]?.received("hub")).toBe(TARGET.length);
  // The first gives to no more than its share of them.
  const fromFirst =
    all[0]?.metrics.total("flotilla_agent_peer_requests_total", { outcome: "served" }) ?? 0;
  expect(fromFirst).toBeLessThan(((COUNT - 1) * TARGET.length) / BLOCK);
});

test("one that comes late takes it from the others, also while the hub is away", async () => {
  const all = await site();
  const [late, ...early] = all;
  await pump(clock, Promise.all(early.map((node) => node.fetch(TARGET))));
  const sentBytes = hub.sentBytes;
  hub.misbehave = (_request, response) => {
    response.destroy();
    return true;
  };
  await pump(clock, late?.fetch(TARGET) ?? Promise.reject(new Error("no node")));
  expectComplete(all);
  expect(sentBytes).toBe(TARGET.length);
  expect(late?.received("peer")).toBe(TARGET.length);
});

test("a peer that lies is struck off, told of, and changes nothing", async () => {
  const all = await site((place) => (place === 1 ? { serves: lying } : {}));
  await pump(clock, Promise.all(all.map((node) => node.fetch(TARGET))));
  expectComplete(all);
  expect(hub.sentBytes).toBeLessThan(1.5 * TARGET.length);
  const liar = all[1]?.nodeId;
  const told = all.flatMap((node) => node.struck);
  expect(told.length).toBeGreaterThan(0);
  expect(told.every((struck) => struck.node === liar && struck.reason === "lied")).toBe(true);
});

test("when all others lie, each node has it from the hub", async () => {
  const all = await site((place) => (place < COUNT - 1 ? { serves: lying } : {}));
  await pump(clock, Promise.all(all.map((node) => node.fetch(TARGET))), { stepMs: 500 });
  expectComplete(all);
  const last = all.at(-1);
  expect(last?.received("hub")).toBe(TARGET.length);
  expect(new Set(last?.struck.map((struck) => struck.reason))).toEqual(new Set(["lied"]));
});

test("a fetcher that goes away in the middle is followed by the next", async () => {
  const all = await site();
  const [first, ...others] = all;
  if (first === undefined) throw new Error("no node");
  first.patches.onBlock = (next) => {
    if (next === 6) throw new CodedError("cut", "cut");
  };
  const cut = failureOf(first.fetch(TARGET)).then(async (code) => {
    await first.close();
    return code;
  });
  await pump(clock, Promise.all(others.map((node) => node.fetch(TARGET))), { stepMs: 200 });
  expect(await cut).toBe("cut");
  expectComplete(others);
  expect(hub.sentBytes).toBeLessThan(1.6 * TARGET.length);
  nodes = [...others];
});

test("a fetcher that stands still is not waited for beyond patience", async () => {
  const all = await site();
  const [first, ...others] = all;
  if (first === undefined) throw new Error("no node");
  // Its window is closed after a while, and what it has stays there for others.
  first.patches.onBlock = (next) => {
    if (next === 4)
      first.site = { server: hub.url, windows: [{ start: "0 0 1 1 *", durationMs: 60_000 }] };
  };
  void failureOf(first.fetch(TARGET, { isUrgent: false }));
  const startMs = clock.bootMs();
  await pump(clock, Promise.all(others.map((node) => node.fetch(TARGET))), { stepMs: 250 });
  expectComplete(others);
  expect(clock.bootMs() - startMs).toBeLessThan(120_000);
  expect(hub.sentBytes).toBeLessThan(2 * TARGET.length);
});

test("a peer that takes requests and says nothing costs time, not the file", async () => {
  const silent = (shelf: ServedPayloads): ServedPayloads => ({
    manifest: (sha256) => shelf.manifest(sha256),
    find: (sha256) => shelf.find(sha256),
    grown: (sha256, until) => shelf.grown(sha256, until),
    read: () => new Promise(() => undefined),
  });
  const all = await site((place) => (place === 1 || place === 2 ? { serves: silent } : {}));
  await pump(clock, Promise.all(all.map((node) => node.fetch(TARGET))), { stepMs: 200 });
  expectComplete(all);
  expect(hub.sentBytes).toBeLessThan(2 * TARGET.length);
});

test("where the hub is reached by one node only, the others have it from there", async () => {
  const all = await site((place) =>
    place === 4 ? {} : { delivery: { server: "https://127.0.0.1:1" } },
  );
  hub.questions.ask = ((ask) => async (question: Parameters<typeof ask>[0]) => {
    if ("path" in question.body) throw new CodedError("link-timeout", "no bytes over the link");
    return ask(question);
  })(hub.questions.ask);
  const fetched = all.map(async (node) => {
    // As the fetch queue does it: what failed is tried again.
    for (;;) if ((await failureOf(node.fetch(TARGET))) === "none") return;
  });
  await pump(clock, Promise.all(fetched), { stepMs: 500 });
  expectComplete(all);
  expect(hub.sentBytes).toBe(TARGET.length);
});

test("who asked before the others were known learns of them, and fetches no more than its part", async () => {
  const all = await site();
  const [first, ...others] = all;
  const last = others.at(-1);
  if (first === undefined || last === undefined) throw new Error("no node");
  // The last in the order is the first to ask, and hears of nobody; its link is slow.
  const known = hub.offers.get(SHA);
  const { peers: _, ...alone } = known ?? { target: SHA, status: "unknown" };
  hub.offers.set(SHA, alone);
  last.site = { server: hub.url, bytesPerSecond: 20_000 };
  const early = last.fetch(TARGET);
  await pump(clock, sleepOf(clock, 2_000), { stepMs: 50 });
  if (known !== undefined) hub.offers.set(SHA, known);
  const rest = [first, ...others.slice(0, -1)].map((node) => node.fetch(TARGET));
  await pump(clock, Promise.all([early, ...rest]), { stepMs: 50 });
  expectComplete(all);
  expect(last.received("hub")).toBeLessThan(TARGET.length / 2);
  expect(last.received("peer")).toBeGreaterThan(TARGET.length / 2);
});
