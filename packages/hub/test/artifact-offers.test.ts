import { must } from "@flotilla/shared/kernel/assert";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DELTA_RETRY_MS, DELTA_WAITING_MAX } from "../src/app/artifact/delta-service.ts";
import { DeltasAhead } from "../src/app/artifact/delta-service-ahead.ts";
import { CODEC_VERSION, FAILED_NODES_MAX } from "../src/app/artifact/delta-service-index.ts";
import { DeltaReports } from "../src/app/artifact/delta-service-reports.ts";
import type { ServedBytes } from "../src/app/artifact/ports.ts";
import {
  ArtifactQuestions,
  QUESTIONS_MAX,
  QUESTIONS_OF_NODE_MAX,
} from "../src/app/artifact/questions.ts";
import { changeOf } from "../src/app/control/change.ts";
import { SMALL_MEMORY_BYTES, WAIT_MS_MAX, WAIT_MS_MIN } from "../src/domain/artifact/choice.ts";
import { deltasOf } from "../src/domain/artifact/choice-report.ts";
import {
  asks,
  type DeltaScene,
  deltaScene,
  putNode,
  putRelease,
  putSite,
  type SceneOptions,
  settled,
  sha,
} from "./support/delta-scene.ts";
import { nodeIdOf } from "./support/hub-core.ts";

const WORDS = ["old", "older", "new", "newer", "label"];
const NODE = "press-1";

let scene: DeltaScene;
const scenes: DeltaScene[] = [];

async function begin(options: SceneOptions = {}): Promise<DeltaScene> {
  scene = deltaScene(options);
  scenes.push(scene);
  await settled();
  return scene;
}

beforeEach(async () => {
  await begin();
  await putNode(scene, NODE);
  await putRelease(scene, 1, ["old"]);
  await putRelease(scene, 2, ["new"]);
});
afterEach(async () => {
  for (const one of scenes.splice(0)) await one.end();
});

const names = (): readonly string[] => scene.encoder.names(WORDS);

/** Makes what was asked for as `base>target/profile`. */
async function make(name: string, payloadBytes: number, memoryBytes?: number): Promise<void> {
  const at = names().lastIndexOf(name);
  await must(scene.encoder.asked[at], `${name} among ${names().join(" ")}`).finish(
    payloadBytes,
    memoryBytes,
  );
}

describe("an offer", () => {
  test("is pending while it is made, then the delta, signed, with its manifest", async () => {
    const pending = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(pending).toMatchObject({ status: "pending", target: sha("new") });
    expect(pending.retryAfterMs).toBeGreaterThan(0);
    expect(names()).toEqual([">new/fast", "old>new/fast"]);
    await make(">new/fast", 900_000);
    await make("old>new/fast", 50_000);
    const offer = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(offer).toMatchObject({ status: "ready", fullBytes: 1_000_000 });
    const [step, ...more] = offer.steps ?? [];
    expect(more).toEqual([]);
    expect(step).toMatchObject({ makes: sha("new"), base: sha("old"), payloadLength: 50_000 });
    const manifest = Buffer.from(step?.manifest ?? "", "base64");
    expect(manifest.toString()).toContain("/fast");
    expect(step?.manifestLength).toBe(manifest.length);
    expect(step?.signature).toBe(`signed ${step?.manifestSha256}`);
  });

  test("is the whole file for who has nothing, or nothing that the hub has", async () => {
    await scene.offers.offerTo(NODE, asks("new", ["unheard of"]));
    expect(names()).toEqual([">new/fast"]);
    await make(">new/fast", 900_000);
    const offer = await scene.offers.offerTo(NODE, asks("new", []));
    expect(offer.steps).toMatchObject([{ makes: sha("new"), payloadLength: 900_000 }]);
    expect(offer.steps?.[0]?.base).toBeUndefined();
  });

  test("of a file that no release has is unknown; of one that is not uploaded yet, pending", async () => {
    expect(await scene.offers.offerTo(NODE, asks("nothing", []))).toMatchObject({
      status: "unknown",
    });
    scene.contents.delete(sha("new"));
    const offer = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(offer).toMatchObject({ status: "pending" });
    expect(names()).toEqual([]);
  });

  test("is a chain when the direct delta is not there, and the direct one is made for the next", async () => {
    await putRelease(scene, 3, ["newer"]);
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    await make(">new/fast", 900_000);
    await make("old>new/fast", 50_000);
    await scene.offers.offerTo(NODE, asks("newer", ["new"]));
    await make(">newer/fast", 900_000);
    await make("new>newer/fast", 40_000);
    const offer = await scene.offers.offerTo(NODE, asks("newer", ["old"]));
    expect(offer.steps?.map((s) => [s.base, s.makes])).toEqual([
      [sha("old"), sha("new")],
      [sha("new"), sha("newer")],
    ]);
    expect(names()).toContain("old>newer/fast");
    await make("old>newer/fast", 60_000);
    const direct = await scene.offers.offerTo(NODE, asks("newer", ["old"]));
    expect(direct.steps).toMatchObject([{ base: sha("old"), makes: sha("newer") }]);
  });

  test("of what no instance waits for is the delta, however long that takes to make within ten minutes", async () => {
    const calm = asks("new", ["old"], { isUrgent: false });
    await scene.offers.offerTo(NODE, calm);
    await make(">new/fast", 900_000);
    await scene.clock.advance(WAIT_MS_MAX / 2);
    expect((await scene.offers.offerTo(NODE, calm)).status).toBe("pending");
    expect((await scene.offers.offerTo(NODE, asks("new", ["old"]))).status).toBe("ready");
    await make("old>new/fast", 50_000);
    const offer = await scene.offers.offerTo(NODE, calm);
    expect(offer.steps).toMatchObject([{ base: sha("old"), payloadLength: 50_000 }]);
  });

  test("waits for a delta no longer than the whole file would take", async () => {
    await putSite(scene, { bytesPerSecond: "64Ki" });
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    await make(">new/fast", 900_000);
    expect((await scene.offers.offerTo(NODE, asks("new", ["old"]))).status).toBe("pending");
    await scene.clock.advance(5_000);
    expect((await scene.offers.offerTo(NODE, asks("new", ["old"]))).status).toBe("pending");
    await scene.clock.advance(WAIT_MS_MIN);
    const offer = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(offer.steps).toMatchObject([{ payloadLength: 900_000 }]);
  });

  test("on a metered link is the slow delta, and waited for longer", async () => {
    await putSite(scene, { metered: true });
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(names()).toEqual([">new/fast", "old>new/slow"]);
    await make(">new/fast", 900_000);
    await scene.clock.advance(60_000);
    expect((await scene.offers.offerTo(NODE, asks("new", ["old"]))).status).toBe("pending");
    await make("old>new/slow", 45_000);
    const offer = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(offer.steps).toMatchObject([{ payloadLength: 45_000 }]);
  });

  test("for a node with little memory is made in a small form", async () => {
    const little = { memoryBytes: SMALL_MEMORY_BYTES };
    await scene.offers.offerTo(NODE, asks("new", ["old"], little));
    await make(">new/fast", 900_000, 2 * SMALL_MEMORY_BYTES);
    await make("old>new/fast", 50_000, 2 * SMALL_MEMORY_BYTES);
    expect((await scene.offers.offerTo(NODE, asks("new", ["old"], little))).status).toBe("pending");
    await make(">new/small", 950_000, SMALL_MEMORY_BYTES);
    await make("old>new/small", 60_000, SMALL_MEMORY_BYTES);
    const offer = await scene.offers.offerTo(NODE, asks("new", ["old"], little));
    expect(offer.steps).toMatchObject([{ payloadLength: 60_000 }]);
  });

  test("of a large file is the file as it is, while coding it takes longer than fetching it", async () => {
    await putRelease(scene, 3, ["newer"], { length: 200 * 1024 * 1024 });
    await putSite(scene, { bytesPerSecond: "10Mi" });
    expect((await scene.offers.offerTo(NODE, asks("newer", []))).status).toBe("pending");
    expect(names()).toEqual([">newer/plain", ">newer/fast"]);
    await make(">newer/plain", 200 * 1024 * 1024);
    const offer = await scene.offers.offerTo(NODE, asks("newer", []));
    expect(offer.steps).toMatchObject([{ payloadLength: 200 * 1024 * 1024 }]);
    await make(">newer/fast", 100 * 1024 * 1024);
    const later = await scene.offers.offerTo(NODE, asks("newer", []));
    expect(later.steps).toMatchObject([{ payloadLength: 100 * 1024 * 1024 }]);
  });

  test("does not repeat what failed there", async () => {
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    await make(">new/fast", 900_000);
    await make("old>new/fast", 50_000);
    const first = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    const failed = [first.steps?.[0]?.manifestSha256 ?? ""];
    await scene.offers.offerTo(NODE, asks("new", ["old"], { failed }));
    await make("old>new/small", 60_000);
    const second = await scene.offers.offerTo(NODE, asks("new", ["old"], { failed }));
    expect(second.steps).toMatchObject([{ payloadLength: 60_000 }]);
  });

  test("of a payload that the cache gave up meanwhile is made again", async () => {
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    await make(">new/fast", 900_000);
    await make("old>new/fast", 50_000);
    const first = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    scene.disk.payloads.delete(first.steps?.[0]?.manifestSha256 ?? "");
    const second = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(second.steps).toMatchObject([{ payloadLength: 900_000 }]);
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(names().filter((n) => n === "old>new/fast")).toHaveLength(2);
  });

  test("names the peers of the site that have the file, then those that are to have it", async () => {
    await putNode(scene, "holder", { holds: 2, port: 1 });
    await putNode(scene, "wanting", { holds: 1, port: 2 });
    await putNode(scene, "idle", { holds: 1, port: 3 });
    await putNode(scene, "elsewhere", { holds: 2, port: 4, site: "site-2" });
    await putNode(scene, "silent", { holds: 2 });
    await putNode(scene, "gone", { holds: 2, port: 5 });
    for (const name of ["holder", "wanting", "idle", "elsewhere", "silent", NODE])
      scene.connected.add(name);
    const text = JSON.stringify({ instances: [{ artifacts: [{ sha256: sha("new") }] }] });
    const state = { revision: 1, contentDigest: "", payload: text, signature: "", keyId: "" };
    await scene.store.commit({ changes: [], desired: [{ nodeId: "wanting", ...state }] });
    await scene.offers.offerTo(NODE, asks("new", []));
    await make(">new/fast", 900_000);
    const offer = await scene.offers.offerTo(NODE, asks("new", []));
    expect(offer.peers?.map((p) => p.node)).toEqual(["holder", "wanting"]);
    await putSite(scene, { peers: false });
    expect((await scene.offers.offerTo(NODE, asks("new", []))).peers).toBeUndefined();
  });
});

describe("making deltas", () => {
  test("is done once, however many nodes ask", async () => {
    for (let i = 0; i < 50; i++) {
      await putNode(scene, `node-${i}`);
      await scene.offers.offerTo(`node-${i}`, asks("new", ["old"]));
    }
    expect(names()).toEqual([">new/fast", "old>new/fast"]);
    await make(">new/fast", 900_000);
    await make("old>new/fast", 50_000);
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(names()).toHaveLength(2);
  });

  test("takes what a node waits for before what nobody asked for, and no more than its width at a time", async () => {
    await begin({ width: 1 });
    await putNode(scene, NODE);
    await putRelease(scene, 1, ["old", "label"]);
    await putRelease(scene, 2, ["new"]);
    const ahead = (target: string) =>
      scene.deltas.want({ base: undefined, target: sha(target), profile: "fast" }, "ahead");
    ahead("old");
    ahead("label");
    await scene.offers.offerTo(NODE, asks("new", []));
    expect(names()).toEqual([">old/fast"]);
    await make(">old/fast", 1);
    expect(names()).toEqual([">old/fast", ">new/fast"]);
    await make(">new/fast", 1);
    expect(names()).toEqual([">old/fast", ">new/fast", ">label/fast"]);
  });

  test("is refused between files of different artifacts, and beyond a number that waits", async () => {
    const other = await putRelease(scene, 9, ["label"]);
    await scene.store.commit({
      changes: [
        {
          ...changeOf(other, { ...other, spec: { ...other.spec, artifact: "other" } }),
          expect: "any",
        },
      ],
    });
    await scene.offers.offerTo(NODE, asks("new", ["label"]));
    expect(names()).toEqual([">new/fast"]);
    const many = Array.from({ length: DELTA_WAITING_MAX + 5 }, (_, i) => `many-${i}`);
    await putRelease(scene, 3, many);
    const taken = many.filter((word) =>
      scene.deltas.want({ base: undefined, target: sha(word), profile: "fast" }, "asked"),
    );
    expect(taken).toHaveLength(DELTA_WAITING_MAX - 1);
  });

  test("that failed is not tried again for a while; a delta is offered where the whole file cannot be made", async () => {
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    await scene.encoder.asked[0]?.fail();
    await make("old>new/fast", 50_000);
    const offer = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(offer.steps).toMatchObject([{ payloadLength: 50_000 }]);
    expect(names()).toHaveLength(2);
    await scene.clock.advance(DELTA_RETRY_MS);
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(names()).toHaveLength(3);
  });

  test("of a content that a disk has altered counts for nothing", async () => {
    await scene.offers.offerTo(NODE, asks("new", []));
    const asked = must(scene.encoder.asked[0], "asked for");
    Object.assign(asked.request, { targetPath: sha("something else") });
    await asked.finish(900_000);
    expect(scene.deltas.made()).toEqual([]);
  });

  test("remembers one that saves too little, and does not make it again", async () => {
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    await make("old>new/fast", 890_000);
    await make(">new/fast", 900_000);
    const offer = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(offer.steps).toMatchObject([{ payloadLength: 900_000 }]);
    expect(scene.disk.payloads.size).toBe(1);
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(names()).toHaveLength(2);
  });

  test("stops with the hub, and what was under way is made when somebody asks again", async () => {
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    await scene.end();
    expect(scene.deltas.made()).toEqual([]);
    expect(scene.metrics.total("flotilla_hub_deltas_made_total", { outcome: "cancelled" })).toBe(2);
  });
});

describe("the cache", () => {
  async function filled(): Promise<void> {
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    await make(">new/fast", 900_000);
    await make("old>new/fast", 50_000);
  }

  test("survives a restart", async () => {
    await filled();
    const { disk, store } = scene;
    await scene.end();
    await begin({ disk, store });
    scene.contents.set(sha("new"), 1_000_000).set(sha("old"), 1_000_000);
    const offer = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(offer.steps).toMatchObject([{ payloadLength: 50_000 }]);
    expect(names()).toEqual([]);
  });

  test("agrees with the payloads after a crash, whichever of the two was written last", async () => {
    await filled();
    const { disk, store } = scene;
    await scene.end();
    const index = must(disk.index, "an index");
    disk.payloads.set(sha("orphan"), { manifest: new Uint8Array(), bytes: 7 });
    const [first] = disk.payloads.keys();
    disk.payloads.delete(first ?? "");
    await begin({ disk, store });
    expect([...disk.payloads.keys()]).not.toContain(sha("orphan"));
    expect(scene.deltas.made().map((d) => d.manifestSha256)).toEqual([...disk.payloads.keys()]);
    await scene.end();
    for (const damaged of [
      "{",
      "[]",
      index.replace("manifestBytes", "bytes"),
      index.replace(CODEC_VERSION, "0.0"),
    ]) {
      disk.index = damaged;
      disk.payloads.set(sha("left"), { manifest: new Uint8Array(), bytes: 7 });
      await begin({ disk, store });
      expect(scene.deltas.made()).toEqual([]);
      expect(disk.payloads.size).toBe(0);
      await scene.end();
    }
  });

  test("gives up what saves least when it is full, and never what was just offered", async () => {
    await begin({ quotaBytes: 2_000_000 });
    await putNode(scene, NODE);
    await putRelease(scene, 1, ["old"]);
    await putRelease(scene, 2, ["older"]);
    await putRelease(scene, 3, ["new"]);
    await putNode(scene, "holder", { holds: 1 });
    const made = async (base: string | undefined, payloadBytes: number): Promise<void> => {
      const work = { base: base && sha(base), target: sha("new"), profile: "fast" } as const;
      scene.deltas.want({ ...work, base: work.base === "" ? undefined : work.base }, "ahead");
      await make(`${base ?? ""}>new/fast`, payloadBytes);
    };
    await made(undefined, 900_000);
    await made("older", 700_000);
    await made("old", 600_000);
    const left = scene.deltas.made().map((d) => d.payloadBytes);
    // Nobody holds the release that the larger one begins from.
    expect(left).toEqual([900_000, 600_000]);
    expect(scene.metrics.total("flotilla_hub_deltas_evicted_total")).toBe(1);
  });

  test("withdraws a delta that failed on many nodes, over restarts too, and says so", async () => {
    await filled();
    const [delta] = scene.deltas.made().filter((d) => d.base !== undefined);
    const failed = [must(delta, "a delta").manifestSha256];
    for (let i = 0; i < FAILED_NODES_MAX; i++) {
      await putNode(scene, `node-${i}`);
      for (let times = 0; times < 3; times++)
        await scene.offers.offerTo(`node-${i}`, asks("new", ["old"], { failed }));
    }
    expect(scene.told).toMatchObject([{ reason: "DeltaWithdrawn" }]);
    expect(scene.disk.payloads.has(failed[0] ?? "")).toBe(false);
    const { disk, store } = scene;
    await scene.end();
    await begin({ disk, store });
    scene.contents.set(sha("new"), 1_000_000).set(sha("old"), 1_000_000);
    const offer = await scene.offers.offerTo(NODE, asks("new", ["old"]));
    expect(offer.steps).toMatchObject([{ payloadLength: 900_000 }]);
    expect(names()).toEqual([]);
  });
});

describe("before anybody asks", () => {
  test("a release that becomes ready is made whole and from the releases that nearly all nodes have", async () => {
    await begin({ width: 100 });
    await putRelease(scene, 1, ["old", "label"]);
    await putRelease(scene, 2, ["older", "label"]);
    for (let i = 0; i < 40; i++) await putNode(scene, `n-${i}`, { holds: i === 0 ? 1 : 2 });
    const stop = new AbortController();
    const ahead = new DeltasAhead(scene).run(stop.signal);
    await putRelease(scene, 3, ["new", "label"]);
    expect(names()).toEqual([]);
    await putRelease(scene, 3, ["new", "label"], { isReady: true });
    await settled();
    expect(names()).toEqual([">new/fast", ">label/fast", "older>new/fast"]);
    stop.abort();
    await ahead;
  });

  test("what an update costs is told from each release that deltas were made from", async () => {
    const [one, two] = [
      await putRelease(scene, 1, ["old", "label"]),
      await putRelease(scene, 2, ["new", "label"]),
    ];
    await scene.offers.offerTo(NODE, asks("new", ["old"]));
    await make(">new/fast", 900_000);
    await make("old>new/fast", 50_000);
    const [delta] = scene.deltas.made().filter((d) => d.base !== undefined);
    const bytes = 50_000 + must(delta, "a delta").manifestBytes;
    expect(deltasOf(two, [one, two], scene.deltas.made())).toEqual([
      { from: "1.0.0", bytes, profile: "fast" },
    ]);
    expect(deltasOf(one, [one, two], scene.deltas.made())).toEqual([]);
    const reports = new DeltaReports({}, scene);
    await reports.pass();
    const told = () => scene.store.get("Release", "", "detector-2.0.0")?.status?.deltas;
    expect(told()).toEqual([{ from: "1.0.0", bytes, profile: "fast" }]);
    await scene.store.commit({
      changes: [changeOf(one, undefined)].map((c) => ({ ...c, expect: "any" })),
    });
    await reports.pass();
    expect(told()).toEqual([]);
  });
});

describe("questions over the link", () => {
  function desk(read: ServedBytes["read"], offerTo = scene.offers.offerTo.bind(scene.offers)) {
    const sent: { readonly node: string; readonly message: unknown }[] = [];
    const questions = new ArtifactQuestions({
      ...scene,
      random: new SeededRandom(1),
      link: {
        send: (node, message) => {
          sent.push({ node, message });
          return Promise.resolve(true);
        },
      },
      offers: { offerTo },
      bytes: { read },
      trust: { timeAnswer: (nonce) => new TextEncoder().encode(`time for ${nonce}`) },
      base64: (bytes) => Buffer.from(bytes).toString("base64"),
    });
    let seq = 0;
    const ask = (node: string, body: { path: string; offset: number; length: number }): void => {
      const envelope = { v: 1, id: `q-${++seq}`, epoch: 1, seq, sentAt: 0 };
      questions.asked(nodeIdOf(node), { ...envelope, kind: "bytes-get", body });
    };
    return { sent, questions, ask };
  }

  test("for bytes are answered from what is served, for the time by the hub, for anything else by not-found", async () => {
    const { sent, ask } = desk(async (path, offset, length) => ({
      data: `${path.kind} ${offset} ${length}`,
      totalBytes: 9,
    }));
    ask("n-1", { path: "metadata/timestamp.json", offset: 3, length: 4 });
    ask("n-1", { path: `time/${"0".repeat(32)}`, offset: 0, length: 4 });
    ask("n-1", { path: "pki/ca.key", offset: 0, length: 4 });
    await settled();
    const answers = sent.map((s) => s.message);
    expect(answers).toHaveLength(3);
    expect(answers).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ replyTo: "q-1", body: { data: "metadata 3 4", totalBytes: 9 } }),
        expect.objectContaining({ replyTo: "q-2", body: { data: "dGltZQ==", totalBytes: 41 } }),
        expect.objectContaining({
          replyTo: "q-3",
          body: { data: "", totalBytes: 0, error: "not-found" },
        }),
      ]),
    );
  });

  test("beyond the limits are answered busy, and no node takes the turns of others", async () => {
    const waiting: (() => void)[] = [];
    const { sent, ask } = desk(
      () => new Promise((resolve) => waiting.push(() => resolve({ data: "", totalBytes: 0 }))),
    );
    const question = { path: "metadata/timestamp.json", offset: 0, length: 1 };
    for (let i = 0; i < QUESTIONS_OF_NODE_MAX + 3; i++) ask("greedy", question);
    await settled();
    expect(waiting).toHaveLength(QUESTIONS_OF_NODE_MAX);
    expect(sent).toHaveLength(3);
    expect(sent[0]?.message).toMatchObject({ body: { error: "busy" } });
    for (let i = 0; i < QUESTIONS_MAX; i++) ask(`n-${i}`, question);
    await settled();
    expect(waiting).toHaveLength(QUESTIONS_MAX);
    for (const finish of waiting) finish();
    await settled();
    ask("greedy", question);
    await settled();
    expect(waiting).toHaveLength(QUESTIONS_MAX + 1);
  });

  test("that fail are answered as failed, and harm nobody", async () => {
    const { sent, questions } = desk(
      () => Promise.reject(new Error("disk")),
      () => Promise.reject(new Error("store")),
    );
    const envelope = { v: 1, id: "q", epoch: 1, seq: 1, sentAt: 0 };
    const bytes = { path: "metadata/timestamp.json", offset: 0, length: 1 };
    questions.asked(nodeIdOf("n-1"), { ...envelope, kind: "bytes-get", body: bytes });
    questions.asked(nodeIdOf("n-1"), {
      ...envelope,
      kind: "artifact-get",
      body: asks("new", ["old"]),
    });
    await settled();
    const messages = sent.map((s) => s.message);
    expect(messages).toHaveLength(2);
    expect(messages).toContainEqual(
      expect.objectContaining({
        kind: "bytes",
        body: { data: "", totalBytes: 0, error: "failed" },
      }),
    );
    expect(messages).toContainEqual(
      expect.objectContaining({
        kind: "artifact-offer",
        body: { target: sha("new"), status: "pending", retryAfterMs: 5_000 },
      }),
    );
    expect(scene.log.lines.filter((l) => l.level === "error")).toHaveLength(2);
  });
});
