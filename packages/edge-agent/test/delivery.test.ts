import {
  chmodSync,
  mkdtempSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeManifest } from "@flotilla/shared/delta/envelope";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { linkDown } from "../src/app/link/questions.ts";
import { APPLY_TRIES_MAX } from "../src/domain/delivery/transfer.ts";
import { ArtifactHub, encoded, inBlocks, noise, sha256Of } from "./support/artifact-hub.ts";
import { DeliveryNode, type NodeOptions } from "./support/delivery-node.ts";
import { makeTestCa, type TestCa } from "./support/pki.ts";
import { failureOf, pump } from "./support/pump.ts";

const BLOCK = 20_000;
const TARGET = noise(10 * BLOCK + 123, 3);
const SHA = sha256Of(TARGET);

const MISBEHAVES = "source-misbehaves";

/** What a server answers to a range. */
interface Answer {
  readonly status: number;
  readonly bytes: Buffer;
  readonly isEnded: boolean;
}

/** The size of the target begins after magic, version and flags. */
function withHugeSize(manifest: Uint8Array): Uint8Array {
  const huge = [128, 128, 128, 128, 128, 128, 128, 128, 128, 1];
  const digest = manifest.findIndex((byte, i) => i >= 6 && byte < 128) + 1;
  return Uint8Array.of(...manifest.subarray(0, 6), ...huge, ...manifest.subarray(digest));
}

function withVersion99(manifest: Uint8Array): Uint8Array {
  const altered = Uint8Array.from(manifest);
  altered[4] = 99;
  return altered;
}

let ca: TestCa;
let hub: ArtifactHub;
let clock: ManualClock;
let folder: string;
const nodes: DeliveryNode[] = [];

beforeAll(async () => {
  ca = await makeTestCa();
});

beforeEach(async () => {
  hub = await ArtifactHub.start(ca);
  clock = new ManualClock({ wallMs: Date.parse("2026-06-03T12:00:00Z") });
  folder = mkdtempSync(join(tmpdir(), "flotilla-delivery-"));
});

afterEach(async () => {
  for (const node of nodes.splice(0)) await pump(clock, node.close());
  hub.close();
  rmSync(folder, { recursive: true });
});

async function node(
  over: Partial<NodeOptions> & { readonly nodeId?: string } = {},
): Promise<DeliveryNode> {
  const nodeId = over.nodeId ?? "n1";
  const credentials = await hub.credentialsOf(nodeId);
  const made = new DeliveryNode({
    nodeId,
    folder: join(folder, nodeId),
    clock,
    hub,
    credentials,
    ...over,
  });
  nodes.push(made);
  return made;
}

/** The agent ends here, and comes again with the same state directory. */
async function reborn(dead: DeliveryNode, over: Partial<NodeOptions> = {}): Promise<DeliveryNode> {
  nodes.splice(nodes.indexOf(dead), 1);
  await pump(clock, dead.close());
  return node(over);
}

test("a file is fetched in blocks, verified and complete; a second call has nothing to do", async () => {
  hub.offer([hub.publish(encoded(TARGET))]);
  const n = await node();
  const progress: (readonly [number, number])[] = [];
  const onProgress = (done: number, total: number): void => void progress.push([done, total]);
  const { transferredBytes } = await pump(clock, n.fetch(TARGET, { onProgress }));
  expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
  const [last] = progress.slice(-1);
  expect(last).toEqual([transferredBytes, transferredBytes]);
  expect(n.transfers.all()).toEqual([]);
  expect(await n.fetch(TARGET)).toEqual({ transferredBytes: 0 });
  expect(hub.asked).toHaveLength(1);
});

test("a delta is asked for with the bases that are here, and only it is transferred", async () => {
  const base = noise(300_000, 8);
  const target = Uint8Array.from(base);
  target.set(noise(5_000, 9), 150_000);
  const n = await node();
  const baseSha = await n.give(base);
  hub.offer([hub.publish(encoded(target, base))]);
  const { transferredBytes } = await pump(
    clock,
    n.fetch(target, { bases: ["0".repeat(64), baseSha] }),
  );
  expect(hub.asked[0]?.bases).toEqual([baseSha]);
  expect(n.content(sha256Of(target))).toEqual(Buffer.from(target));
  expect(transferredBytes).toBeLessThan(20_000);
  expect(n.metrics.total("flotilla_agent_artifact_saved_bytes_total")).toBe(
    target.length - transferredBytes,
  );
});

test("a chain of two deltas leaves the middle as a content too", async () => {
  const a = noise(100_000, 1);
  const b = Uint8Array.from([...a.subarray(0, 50_000), ...noise(100, 2), ...a.subarray(50_000)]);
  const c = Uint8Array.from([...noise(100, 4), ...b]);
  const n = await node();
  await n.give(a);
  hub.offer([hub.publish(encoded(b, a)), hub.publish(encoded(c, b))]);
  await pump(clock, n.fetch(c, { bases: [sha256Of(a)] }));
  expect(n.content(sha256Of(c))).toEqual(Buffer.from(c));
  expect(n.content(sha256Of(b))).toEqual(Buffer.from(b));
});

test.each([
  ["altered", "source-misbehaves", (bytes: Uint8Array) => bytes.map((b) => b ^ 1)],
  ["gone", "source-absent", () => undefined],
])(
  "a manifest that the hub has %s is no failure of its own: it is taken when it is right again",
  async (...of) => {
    const [, code, harm] = of;
    const { manifest: _, ...step } = hub.publish(inBlocks(TARGET, BLOCK));
    hub.offer([step]);
    const path = `manifests/${step.manifestSha256}`;
    const right = hub.files.get(path) ?? new Uint8Array();
    const harmed = harm(right);
    if (harmed === undefined) hub.files.delete(path);
    else hub.files.set(path, harmed);
    const n = await node();
    expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe(code);
    hub.files.set(path, right);
    await pump(clock, n.fetch(TARGET));
    expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
  },
);

test("a manifest that is too long for the offer is fetched by its digest", async () => {
  const { manifest: _, ...step } = hub.publish(inBlocks(TARGET, BLOCK));
  hub.offer([step]);
  const n = await node();
  await pump(clock, n.fetch(TARGET));
  expect(n.content(SHA)).toBeDefined();
  expect(hub.requests[0]).toMatch(/^manifests /);
});

describe("offers", () => {
  test.each<readonly [string, () => void]>([
    [
      "that nobody signed",
      () =>
        hub.offer([hub.publish(inBlocks(TARGET, BLOCK), { signature: hub.sign("0".repeat(64)) })]),
    ],
    [
      "of another key",
      () => hub.offer([hub.publish(inBlocks(TARGET, BLOCK), { keyId: "0".repeat(16) })]),
    ],
    [
      "whose manifest is not what was signed",
      () =>
        hub.offer([
          hub.publish(inBlocks(TARGET, BLOCK), {
            manifest: Buffer.from("other").toString("base64"),
          }),
        ]),
    ],
    [
      "of another file",
      () => {
        const step = hub.publish(inBlocks(noise(1_000), BLOCK));
        hub.offers.set(SHA, { target: SHA, status: "ready", steps: [step] });
      },
    ],
    [
      "whose steps do not follow each other",
      () => {
        const base = noise(1_000);
        const first = hub.publish(inBlocks(noise(1_000, 5), BLOCK));
        hub.offers.set(SHA, {
          target: SHA,
          status: "ready",
          steps: [first, hub.publish(encoded(TARGET, base))],
        });
      },
    ],
    [
      "that begin with what is not here",
      () => hub.offer([hub.publish(encoded(TARGET, noise(1_000)))]),
    ],
  ])("%s are refused, and nothing is fetched", async (_name, publish) => {
    publish();
    const n = await node();
    expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe("artifact-offer-refused");
    expect(hub.requests).toEqual([]);
    expect(n.hasPart(SHA)).toBe(false);
  });

  test("that make a file of another length than the metadata say are refused", async () => {
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    const n = await node();
    const target = { sha256: SHA, length: TARGET.length + 1, path: "m" };
    const options = {
      isUrgent: true,
      bases: [],
      onProgress: () => undefined,
      signal: new AbortController().signal,
    };
    expect(await pump(clock, failureOf(n.delivery.fetch(target, options)))).toBe(
      "artifact-apply-failed",
    );
    expect(hub.requests).toEqual([]);
  });

  test("that are pending are asked for again, and meanwhile others are fetched", async () => {
    const other = noise(1_000, 12);
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    const otherSha = hub.offer([hub.publish(inBlocks(other, BLOCK))]);
    hub.onOffer = ({ target }) =>
      target === SHA && clock.bootMs() < 60_000
        ? { target, status: "pending", retryAfterMs: 20_000 }
        : undefined;
    const n = await node();
    const first = n.fetch(TARGET);
    await pump(clock, n.fetch(other));
    expect(clock.bootMs()).toBeLessThan(20_000);
    expect(n.content(otherSha)).toBeDefined();
    await pump(clock, first, { stepMs: 1_000 });
    expect(n.content(SHA)).toBeDefined();
  });

  test("of a file that the hub does not know end the try", async () => {
    const n = await node();
    expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe("artifact-unknown");
  });

  test("cannot be had without a link, which is said", async () => {
    hub.linkFailure = linkDown();
    const n = await node();
    expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe("link-down");
  });
});

describe("after a kill", () => {
  test.each([true, false])(
    "at any block it goes on there, and at most one block comes twice (payload kept: %s)",
    async (keepsPayloads) => {
      hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
      const blocks = Math.ceil(TARGET.length / BLOCK);
      let n = await node({ keepsPayloads });
      for (let cut = 1; cut < blocks; cut++) {
        n.patches.onBlock = (next) => {
          if (next >= cut) throw new CodedError("cut", "cut");
        };
        expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe("cut");
        n = await reborn(n, { keepsPayloads });
        expect(n.transfers.get(SHA)?.nextBlock).toBe(cut);
      }
      n.patches.onBlock = () => undefined;
      await pump(clock, n.fetch(TARGET));
      expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
      expect(hub.sentBytes).toBeLessThanOrEqual(TARGET.length + blocks * BLOCK);
    },
  );

  test("without the hub's link it goes on by what it knows", async () => {
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    let n = await node();
    n.patches.onBlock = (next) => {
      if (next === 3) throw new CodedError("cut", "cut");
    };
    expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe("cut");
    hub.linkFailure = linkDown();
    n = await reborn(n);
    await pump(clock, n.fetch(TARGET));
    expect(n.patches.firstBlocks).toEqual([3]);
    expect(n.content(SHA)).toBeDefined();
  });

  test("a part or a kept payload that was altered meanwhile is noticed", async () => {
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    let n = await node();
    n.patches.onBlock = (next) => {
      if (next === 5) throw new CodedError("cut", "cut");
    };
    expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe("cut");
    const { manifestSha256 } = n.transfers.get(SHA)?.steps[0] ?? { manifestSha256: "" };
    writeFileSync(n.blobs.partPathOf(SHA), noise(5 * BLOCK, 77));
    const kept = join(folder, "n1/artifacts/payloads", `${manifestSha256}.part`);
    truncateSync(kept, BLOCK + 10);
    n = await reborn(n);
    await pump(clock, n.fetch(TARGET));
    expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
    expect(n.patches.firstBlocks).toEqual([5, 0]);
  });

  test("what nobody wants any more is let go of", async () => {
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    let n = await node();
    n.patches.onBlock = () => {
      throw new CodedError("cut", "cut");
    };
    expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe("cut");
    n = await reborn(n);
    expect(n.delivery.needed()).toEqual(new Set([SHA]));
    n.delivery.forget((sha256) => sha256 === SHA);
    expect(n.hasPart(SHA)).toBe(true);
    n.delivery.forget(() => false);
    expect(n.hasPart(SHA)).toBe(false);
    expect(n.transfers.all()).toEqual([]);
  });
});

describe("a delta that does not give what was signed", () => {
  test("is tried three times, then something else is asked for", async () => {
    // Signed, and wrong: its third block is not that of the file.
    const right = inBlocks(TARGET, BLOCK);
    const payload = Uint8Array.from(TARGET);
    payload.set([1, 2, 3], 2 * BLOCK);
    const blocks = right.manifest.blocks.map((block, i) => {
      const payloadSha256 = inBlocks(payload, BLOCK).manifest.blocks[i]?.payloadSha256;
      return { ...block, payloadSha256: payloadSha256 ?? block.payloadSha256 };
    });
    const bad = hub.publish({ payload, manifest: { ...right.manifest, blocks } });
    const good = hub.publish(encoded(TARGET));
    hub.onOffer = ({ failed, target }) => ({
      target,
      status: "ready",
      steps: [failed.includes(bad.manifestSha256) ? good : bad],
    });
    const n = await node();
    await pump(clock, n.fetch(TARGET));
    expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
    expect(n.patches.firstBlocks).toHaveLength(APPLY_TRIES_MAX + 1);
    expect(hub.asked.map((a) => a.failed)).toEqual([[], [bad.manifestSha256]]);
    expect(
      n.metrics.total("flotilla_agent_artifact_applies_failed_total", { code: "delta-corrupt" }),
    ).toBe(APPLY_TRIES_MAX);
  });

  test("ends the try when the hub has nothing else; the failure is remembered over restarts", async () => {
    const base = noise(100_000, 8);
    const delta = encoded(TARGET, base);
    const n = await node();
    await n.give(base);
    const bad = hub.publish({
      ...delta,
      manifest: {
        ...delta.manifest,
        target: { ...delta.manifest.target, sha256: Buffer.from(SHA, "hex") },
      },
    });
    hub.offers.set(SHA, { target: SHA, status: "ready", steps: [bad] });
    n.patches.apply = () => Promise.reject(new CodedError("delta-corrupt", "delta: no"));
    const bases = [sha256Of(base)];
    expect(await pump(clock, failureOf(n.fetch(TARGET, { bases })))).toBe("artifact-apply-failed");
    const again = await reborn(n);
    expect(await pump(clock, failureOf(again.fetch(TARGET, { bases })))).toBe(
      "artifact-apply-failed",
    );
    expect(hub.asked.at(-1)?.failed).toEqual([bad.manifestSha256]);
    // Until an operator asks: it was this node that could not, and now it can.
    again.delivery.forgive();
    await pump(clock, again.fetch(TARGET, { bases }));
    expect(hub.asked.at(-1)?.failed).toEqual([]);
    expect(again.content(SHA)).toEqual(Buffer.from(TARGET));
  });

  test.each<readonly [string, (manifest: Uint8Array) => Uint8Array, string, number]>([
    ["a length of 2^63", withHugeSize, "delta-corrupt", APPLY_TRIES_MAX],
    ["less than it says", (manifest) => manifest.subarray(0, -1), "delta-corrupt", APPLY_TRIES_MAX],
    ["another version of the format", withVersion99, "delta-unsupported", 1],
  ])("for its signed manifest has %s makes no file, and the whole one is taken", async (...of) => {
    const [, alter, code, tries] = of;
    const base = noise(100_000, 8);
    const n = await node();
    const active = await n.give(base);
    const good = encoded(TARGET, base);
    const bytes = alter(writeManifest(good.manifest));
    const manifestSha256 = sha256Of(bytes);
    const bad = hub.publish(good, {
      manifestSha256,
      manifestLength: bytes.length,
      manifest: Buffer.from(bytes).toString("base64"),
      signature: hub.sign(manifestSha256),
    });
    const full = hub.publish(encoded(TARGET));
    hub.onOffer = ({ failed, target }) => ({
      target,
      status: "ready",
      steps: [failed.includes(manifestSha256) ? full : bad],
    });
    await pump(clock, n.fetch(TARGET, { bases: [active] }));
    expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
    expect(n.content(active)).toEqual(Buffer.from(base));
    expect(n.patches.firstBlocks).toEqual([0]);
    const name = "flotilla_agent_artifact_applies_failed_total";
    expect(n.metrics.total(name, { code })).toBe(n.metrics.total(name));
    expect(n.metrics.total(name)).toBe(tries);
  });

  test("for its base was altered on the disk is not tried twice, and the base is no base any more", async () => {
    const base = noise(100_000, 8);
    const n = await node();
    const baseSha = await n.give(base);
    const target = Uint8Array.from(base);
    target.set(noise(5_000, 9), 50_000);
    const delta = hub.publish(encoded(target, base));
    const full = hub.publish(encoded(target));
    hub.onOffer = ({ bases, target: sha }) => ({
      target: sha,
      status: "ready",
      steps: [bases.length > 0 ? delta : full],
    });
    // Size and time stay as they were: only reading tells.
    const path = n.blobs.pathOf(baseSha);
    const { atime, mtime } = statSync(path);
    chmodSync(path, 0o644);
    writeFileSync(path, noise(100_000, 7));
    utimesSync(path, atime, mtime);
    expect(n.blobs.has(baseSha)).toBe(true);
    await pump(clock, n.fetch(target, { bases: [baseSha] }));
    expect(n.content(sha256Of(target))).toEqual(Buffer.from(target));
    expect(n.blobs.has(baseSha)).toBe(false);
    expect(n.patches.firstBlocks).toEqual([0, 0]);
  });
});

describe("sources", () => {
  test("a hub that fails again and again is left for the link, and used again when it answers", async () => {
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    let isDown = true;
    hub.misbehave = (_request, response) => {
      if (isDown) response.destroy();
      return isDown;
    };
    const n = await node({ bytesPerSecond: 2_000 });
    n.patches.onBlock = (next) => {
      if (next === 2) isDown = false;
    };
    await pump(clock, n.fetch(TARGET), { stepMs: 2_000 });
    expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
    expect(n.received("link")).toBeGreaterThan(0);
    expect(n.received("hub")).toBeGreaterThan(0);
    expect(n.received("link") + n.received("hub")).toBe(TARGET.length);
    expect(n.metrics.value("flotilla_agent_artifact_fallback")).toBe(0);
    expect(n.fellBack).toEqual(["source-unreachable"]);
  });

  test.each<readonly [string, (right: Answer) => Partial<Answer>, string]>([
    ["answers 200 to a range", () => ({ status: 200 }), MISBEHAVES],
    ["sends too much", ({ bytes }) => ({ bytes: Buffer.concat([bytes, bytes]) }), MISBEHAVES],
    ["sends too little", ({ bytes }) => ({ bytes: bytes.subarray(1) }), MISBEHAVES],
    ["drips", ({ bytes }) => ({ bytes: bytes.subarray(0, 1), isEnded: false }), "source-too-slow"],
  ])("a hub's server that %s is left for the link, and why is told", async (_name, make, code) => {
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    hub.misbehave = ({ headers }, response, file) => {
      const [, from = "", to = ""] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
      const range = `bytes ${from}-${to}/${file.length}`;
      const bytes = Buffer.from(file.subarray(Number(from), Number(to) + 1));
      const right = { status: 206, bytes, isEnded: true };
      const answer: Answer = { ...right, ...make(right) };
      response.writeHead(answer.status, { "content-range": range });
      response.write(answer.bytes);
      if (answer.isEnded) response.end();
      return true;
    };
    const n = await node();
    await pump(clock, n.fetch(TARGET), { stepMs: 2_000 });
    expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
    expect(n.received("link")).toBeGreaterThan(0);
    expect(n.fellBack).toEqual([code]);
  });

  test("everything comes over the link where only that passes", async () => {
    hub.offer([hub.publish(encoded(TARGET))]);
    const n = await node({ delivery: { server: "https://127.0.0.1:1" } });
    await pump(clock, n.fetch(TARGET), { stepMs: 2_000 });
    expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
    expect(n.received("hub")).toBe(0);
    // Also small things, and at once.
    const path = "metadata/timestamp.json";
    hub.files.set(path, noise(250_000));
    const whole = { path, bytesMax: 300_000, signal: new AbortController().signal };
    expect(await n.route.readWhole(whole)).toEqual(noise(250_000));
  });

  test("bytes that are not what was signed are refused block by block, and the try ends when there are no others", async () => {
    const step = hub.publish(inBlocks(TARGET, BLOCK));
    hub.offer([step]);
    const altered = Uint8Array.from(TARGET);
    altered.set([1, 2, 3], 3 * BLOCK + 5);
    hub.files.set(`payloads/${step.manifestSha256}`, altered);
    const n = await node();
    expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe("source-misbehaves");
    expect(
      n.metrics.total("flotilla_agent_artifact_blocks_refused_total", { source: "hub" }),
    ).toBeGreaterThan(1);
    expect(n.transfers.get(SHA)?.nextBlock).toBe(3);
    hub.files.set(`payloads/${step.manifestSha256}`, TARGET);
    await pump(clock, n.fetch(TARGET));
    expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
  });

  test("a payload that the hub has no more leads to another offer", async () => {
    const gone = hub.publish(inBlocks(TARGET, BLOCK));
    hub.files.delete(`payloads/${gone.manifestSha256}`);
    const other = hub.publish(inBlocks(TARGET, 2 * BLOCK));
    let asked = 0;
    hub.onOffer = ({ target }) => {
      asked += 1;
      return { target, status: "ready", steps: [asked === 1 ? gone : other] };
    };
    const n = await node();
    await pump(clock, n.fetch(TARGET));
    expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
  });

  test("a link that cuts every transfer after a while gets the file through all the same", async () => {
    hub.offer([hub.publish(inBlocks(noise(2_000_000, 6), 1_000_000))]);
    const target = noise(2_000_000, 6);
    // No connection lives longer than 100 kB.
    hub.misbehave = (request, response, file) => {
      const [, from = "0", to = "0"] = /(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      if (Number(to) - Number(from) < 100_000) return false;
      response.writeHead(206, {
        "content-range": `bytes ${from}-${to}/${file.length}`,
        etag: `"${sha256Of(file)}"`,
      });
      response.write(file.subarray(Number(from), Number(from) + 100_000), () => response.destroy());
      return true;
    };
    hub.questions.ask = ((ask) => async (question: Parameters<typeof ask>[0]) => {
      if ("path" in question.body) throw new CodedError("link-timeout", "no bytes over the link");
      return ask(question);
    })(hub.questions.ask);
    const n = await node();
    await pump(clock, n.fetch(target), { stepMs: 2_000 });
    expect(n.content(sha256Of(target))).toEqual(Buffer.from(target));
  });
});

describe("limits", () => {
  test("windows hold updates back, and not what an instance waits for", async () => {
    const other = noise(1_000, 12);
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    hub.offer([hub.publish(inBlocks(other, BLOCK))]);
    const windows = [{ start: "0 13 * * *", durationMs: 3_600_000, timeZone: "Etc/UTC" }];
    const n = await node({ delivery: { server: hub.url, windows } });
    const update = n.fetch(TARGET, { isUrgent: false });
    await pump(clock, n.fetch(other));
    expect(hub.asked).toHaveLength(1);
    await clock.advance(55 * 60_000);
    expect(hub.asked).toHaveLength(1);
    await pump(clock, update, { stepMs: 5_000 });
    expect(n.content(SHA)).toBeDefined();
    expect(clock.wallMs()).toBeGreaterThanOrEqual(Date.parse("2026-06-03T13:00:00Z"));
  });

  test("an update that has become urgent waits no longer for its window", async () => {
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    const windows = [{ start: "0 3 * * *", durationMs: 3_600_000, timeZone: "Etc/UTC" }];
    const n = await node({ delivery: { server: hub.url, windows } });
    const abort = new AbortController();
    const update = failureOf(n.fetch(TARGET, { isUrgent: false, signal: abort.signal }));
    await clock.advance(1_000);
    const urgent = n.fetch(TARGET, { isUrgent: true });
    await pump(clock, urgent);
    expect(await update).toBe("none");
    // The same when the first caller gives up right before.
    const second = noise(1_000, 12);
    hub.offer([hub.publish(inBlocks(second, BLOCK))]);
    const given = failureOf(n.fetch(second, { isUrgent: false, signal: abort.signal }));
    await clock.advance(1_000);
    abort.abort(new CodedError("given-up", "given up"));
    await pump(clock, n.fetch(second));
    expect(await given).toBe("given-up");
    expect(n.content(sha256Of(second))).toBeDefined();
  });

  test("no more bytes a second than the smaller limit, on the mean", async () => {
    const target = noise(400_000, 5);
    hub.offer([hub.publish(inBlocks(target, BLOCK))]);
    const n = await node({
      delivery: { server: hub.url, bytesPerSecond: 100_000 },
      bytesPerSecond: 20_000,
    });
    const startMs = clock.bootMs();
    await pump(clock, n.fetch(target), { stepMs: 50 });
    const seconds = (clock.bootMs() - startMs) / 1000;
    expect(seconds).toBeGreaterThan(18);
    expect(seconds).toBeLessThan(30);
  });

  test("what is urgent goes first, and the other goes on behind it where it was", async () => {
    const urgent = noise(1_000, 12);
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    hub.offer([hub.publish(inBlocks(urgent, BLOCK))]);
    const n = await node();
    const order: string[] = [];
    let urgentFetch: Promise<unknown> | undefined;
    n.patches.onBlock = (next) => {
      if (next === 2) urgentFetch ??= n.fetch(urgent).then(() => order.push("urgent"));
    };
    await pump(
      clock,
      n.fetch(TARGET, { isUrgent: false }).then(() => order.push("update")),
    );
    await urgentFetch;
    expect(order).toEqual(["urgent", "update"]);
    expect(n.patches.firstBlocks).toEqual([0, 0]);
  });

  test("what does not fit beside the reserve is refused before a byte comes", async () => {
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    const n = await node({ bytesMax: TARGET.length - 1 });
    expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe("disk-reserve");
    expect(hub.requests).toEqual([]);
    expect(n.hasPart(SHA)).toBe(false);
  });

  test("a payload is kept for others only where there is room beside the target", async () => {
    const step = hub.publish(inBlocks(TARGET, BLOCK));
    hub.offer([step]);
    const n = await node({ bytesMax: TARGET.length + 100 });
    await pump(clock, n.fetch(TARGET));
    expect(n.content(SHA)).toBeDefined();
    expect(n.shelf.find(step.manifestSha256)).toBeUndefined();
  });

  test("a disk that is full in the middle ends the try, frees what came, and the next try succeeds", async () => {
    hub.offer([hub.publish(inBlocks(TARGET, BLOCK))]);
    const n = await node();
    n.patches.onBlock = (next) => {
      if (next === 4) throw new CodedError("disk-full", "no space left");
    };
    expect(await pump(clock, failureOf(n.fetch(TARGET)))).toBe("disk-full");
    expect(n.hasPart(SHA)).toBe(false);
    expect(n.shelf.usedBytes).toBe(0);
    n.patches.onBlock = () => undefined;
    await pump(clock, n.fetch(TARGET));
    expect(n.content(SHA)).toEqual(Buffer.from(TARGET));
  });
});
