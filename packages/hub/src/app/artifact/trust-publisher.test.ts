import { isSignature } from "@flotilla/shared/platform/ed25519";
import { tufTools } from "@flotilla/shared/platform/tuf";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { LAB_START_MS } from "@flotilla/shared/testing/trust-lab";
import { namedKey, releaseOf, TufRepository } from "@flotilla/shared/testing/tuf-repository";
import { firstState } from "@flotilla/shared/trust/decide";
import { gather } from "@flotilla/shared/trust/gather";
import { openMetadata } from "@flotilla/shared/trust/metadata";
import { targetsSigned } from "@flotilla/shared/trust/publish";
import type { TrustState } from "@flotilla/shared/trust/state";
import { judgeTime } from "@flotilla/shared/trust/time";
import { expect, test } from "vitest";
import { SNAPSHOT_LIFE_MS, TIMESTAMP_LIFE_MS } from "../../domain/artifact/publish.ts";
import type { MetadataStore } from "./ports.ts";
import { TRUST_LOOK_INTERVAL_MS, TrustPublisher } from "./trust-publisher.ts";
import { ExpiryWatch, TRUST_ALARM_MS } from "./trust-publisher-alarms.ts";

const tools = tufTools();
const DAY_MS = 86_400_000;

/** Files in memory; the power goes after so many of them. */
class Disk implements MetadataStore {
  readonly files = new Map<string, Uint8Array>();
  writesLeft = Number.POSITIVE_INFINITY;

  read(file: string): Uint8Array | undefined {
    return this.files.get(file);
  }
  list(): readonly string[] {
    return [...this.files.keys()];
  }
  publish(files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    for (const [name, bytes] of files) {
      if (this.writesLeft-- <= 0) return Promise.reject(new Error("the power went"));
      this.files.set(name, bytes);
    }
    return Promise.resolve();
  }
}

/** A repository whose root lets the hub's key sign snapshot and timestamp. */
function repositoryOfHub(): TufRepository {
  const repository = new TufRepository({ nowMs: LAB_START_MS }, { tools });
  repository.rotate("snapshot", ["hub"], 1);
  repository.rotate("timestamp", ["hub"], 1);
  repository.release(releaseOf("detector", 1));
  repository.publish();
  return repository;
}

/** What an operator has on his stick: everything that offline keys sign. */
function offlineFiles(repository: TufRepository): Map<string, Uint8Array> {
  const files = [...repository.files].flatMap(([name, bytes]) =>
    bytes === "absent" || /timestamp|snapshot/.test(name) ? [] : [[name, bytes] as const],
  );
  return new Map(files);
}

function scene(disk = new Disk(), clock = new ManualClock({ wallMs: LAB_START_MS })) {
  const metrics = new RecordingMetrics();
  const log = new RecordingLog();
  const told: { readonly reason: string; readonly message: string }[] = [];
  const artifact = { kind: "Artifact", metadata: { name: "detector" } };
  const expiries = new ExpiryWatch({
    store: { list: () => [artifact as never] },
    events: { record: (event) => void told.push(event) },
    clock,
    log,
    metrics,
  });
  const key = namedKey("hub", tools);
  const publisher = new TrustPublisher({
    metadata: disk,
    key,
    tools,
    expiries,
    clock,
    log,
    metrics,
  });
  return { disk, clock, metrics, log, told, publisher };
}

/** A node that begins with the first root and takes what the hub serves. */
class Node {
  state: TrustState | undefined;

  async look(disk: Disk, nowMs: number) {
    const root = disk.read("1.root.json");
    if (root === undefined) return "nothing" as const;
    const first = firstState(root, 0, tools);
    const stored = this.state ?? (first.kind === "accepted" ? first.state : undefined);
    if (stored === undefined) throw new Error("no sound first root");
    const source = {
      fetch: (file: string) => Promise.resolve(disk.read(file) ?? ("absent" as const)),
    };
    const decision = await gather({ stored, nowMs }, source, tools);
    this.state = decision.state;
    return decision;
  }
}

test("a node takes what the hub publishes, release after release", async () => {
  const { disk, clock, publisher } = scene();
  const repository = repositoryOfHub();
  const node = new Node();
  const first = await publisher.publish(offlineFiles(repository));
  expect(first.published.at(-1)).toBe("timestamp.json");
  expect(await node.look(disk, clock.wallMs())).toMatchObject({ kind: "accepted" });
  const wanted = repository.wanted("models/detector/1/model.onnx");
  expect(publisher.isSigned(wanted.path, wanted.length, wanted.sha256)).toBe(true);
  expect(publisher.isSigned(wanted.path, wanted.length + 1, wanted.sha256)).toBe(false);
  expect(publisher.isSigned("models/other/1/model.onnx", 1, wanted.sha256)).toBe(false);

  let published = 0;
  publisher.onPublished(() => published++);
  repository.release(releaseOf("detector", 2));
  repository.publish();
  await publisher.publish(offlineFiles(repository));
  expect(published).toBe(1);
  expect(publisher.target("models/detector/2/model.onnx")?.custom.releaseCounter).toBe(2);
  expect(await node.look(disk, clock.wallMs())).toMatchObject({ kind: "accepted" });
});

test("after a restart what is released is known at once", async () => {
  const { disk, publisher } = scene();
  await publisher.publish(offlineFiles(repositoryOfHub()));
  const { publisher: reborn } = scene(disk);
  expect(reborn.target("models/detector/1/model.onnx")).toBeDefined();
  const root = disk.list().findLast((name) => name.endsWith(".root.json"));
  disk.files.set(root ?? "", new TextEncoder().encode("damaged"));
  expect(scene(disk).publisher.target("models/detector/1/model.onnx")).toBeUndefined();
});

test("the same upload again changes nothing", async () => {
  const { disk, publisher } = scene();
  const files = offlineFiles(repositoryOfHub());
  await publisher.publish(files);
  const before = new Map(disk.files);
  const again = await publisher.publish(files);
  expect(again.published).toEqual([]);
  expect(again.skipped.length).toBe(files.size);
  expect(disk.files).toEqual(before);
});

test("a root that does not name the hub's key is refused with what to do", async () => {
  const { disk, publisher } = scene();
  const repository = new TufRepository({ nowMs: LAB_START_MS }, { tools });
  await expect(publisher.publish(offlineFiles(repository))).rejects.toMatchObject({
    code: "metadata-unsigned",
    subject: "1.root.json",
    mend: expect.stringContaining("--online-key hub.pub"),
  });
  expect(disk.files.size).toBe(0);
});

test.each<[string, (r: TufRepository) => ReadonlyMap<string, Uint8Array>, string]>([
  [
    "signed by nobody who may",
    (r) => {
      r.put("targets", "releases", targetsSigned(r.next("releases", 90), {}), r.keysOf("targets"));
      return offlineFiles(r);
    },
    "metadata-unsigned",
  ],
  [
    "expired",
    (r) => {
      r.put("targets", "releases", targetsSigned(r.next("releases", -1), {}), r.keysOf("releases"));
      return offlineFiles(r);
    },
    "metadata-expired",
  ],
  [
    "of a role that nobody delegates to",
    (r) => {
      r.put("targets", "others", targetsSigned(r.next("others", 90), {}), r.keysOf("releases"));
      return offlineFiles(r);
    },
    "metadata-unsigned",
  ],
  [
    "of a published name, with other bytes",
    (r) => new Map([["2.releases.json", r.newest("targets")]]),
    "metadata-mixed",
  ],
  ["of no name", (r) => new Map([["../2.root.json", r.newest("root")]]), "metadata-malformed"],
  [
    "cut off",
    (r) => new Map([["9.releases.json", r.newest("releases").subarray(9)]]),
    "metadata-malformed",
  ],
])("a file %s is refused, and what was published stays", async (_, files, code) => {
  const { disk, clock, publisher, metrics } = scene();
  const repository = repositoryOfHub();
  await publisher.publish(offlineFiles(repository));
  const before = new Map(disk.files);
  await expect(publisher.publish(files(repository))).rejects.toMatchObject({ code });
  expect(disk.files).toEqual(before);
  expect(metrics.total("flotilla_hub_trust_publications_total", { outcome: "refused" })).toBe(1);
  expect(await new Node().look(disk, clock.wallMs())).toMatchObject({ kind: "accepted" });
});

/** A publication that changes keys, targets and releases at once, cut off after so many files. */
async function cutOff(written: number) {
  const repository = repositoryOfHub();
  const { disk, clock, publisher } = scene();
  await publisher.publish(offlineFiles(repository));
  const node = new Node();
  await node.look(disk, clock.wallMs());
  repository.rotate("timestamp", ["hub", "spare"], 1);
  repository.publishTargets();
  repository.release(releaseOf("detector", 2));
  repository.publish();
  await clock.advance(60_000);
  disk.writesLeft = written;
  const files = offlineFiles(repository);
  const outcome = await publisher.publish(files).catch(() => undefined);
  disk.writesLeft = Number.POSITIVE_INFINITY;
  return { disk, clock, files, node, outcome };
}

test("killed after any file of a publication, no node is led astray, and the same upload mends it", async () => {
  const whole = await cutOff(Number.POSITIVE_INFINITY);
  const count = whole.outcome?.published.length ?? 0;
  expect(count).toBe(5);
  for (let written = 0; written < count; written++) {
    const { disk, clock, files, node, outcome } = await cutOff(written);
    expect(outcome).toBeUndefined();
    // Before the hub is back the node keeps what it had or takes what is whole; nothing that it stores is in its way later.
    await node.look(disk, clock.wallMs());
    const reborn = scene(disk, clock);
    await reborn.publisher.look();
    expect(await node.look(disk, clock.wallMs())).toMatchObject({ kind: "accepted" });
    await reborn.publisher.publish(files);
    expect(await node.look(disk, clock.wallMs())).toMatchObject({ kind: "accepted" });
    expect(reborn.publisher.target("models/detector/2/model.onnx")).toBeDefined();
  }
});

test("timestamp and snapshot are signed anew at half their life, for as long as the hub runs", async () => {
  const { disk, clock, publisher } = scene();
  await publisher.publish(offlineFiles(repositoryOfHub()));
  const node = new Node();
  const stop = new AbortController();
  const run = publisher.run(stop.signal);
  for (let day = 0; day < 30; day++) {
    await clock.advance(DAY_MS);
    const decision = await node.look(disk, clock.wallMs());
    expect(decision).toMatchObject({ kind: "accepted" });
    for (const { role, expiresMs } of publisher.roles) {
      const lifeMs = { timestamp: TIMESTAMP_LIFE_MS, snapshot: SNAPSHOT_LIFE_MS }[role];
      if (lifeMs === undefined) continue;
      const leftMs = expiresMs - clock.wallMs();
      expect(leftMs).toBeGreaterThanOrEqual(lifeMs / 2 - TRUST_LOOK_INTERVAL_MS);
    }
  }
  stop.abort();
  await run;
});

test("a hub that comes back after its metadata expired, or from an old backup, signs above what nodes have seen", async () => {
  const { disk, clock, publisher } = scene();
  await publisher.publish(offlineFiles(repositoryOfHub()));
  const backup = new Map(disk.files);
  const node = new Node();
  for (let day = 0; day < 20; day++) {
    await clock.advance(DAY_MS);
    await publisher.look();
    await node.look(disk, clock.wallMs());
  }
  await clock.advance(10 * DAY_MS);
  expect(await node.look(disk, clock.wallMs())).toMatchObject({ code: "metadata-expired" });
  disk.files.clear();
  for (const [name, bytes] of backup) disk.files.set(name, bytes);
  const restored = scene(disk, clock);
  await restored.publisher.look();
  expect(await node.look(disk, clock.wallMs())).toMatchObject({ kind: "accepted" });
});

test("a damaged file is told of, and the whole repository mends it", async () => {
  const { disk, clock, publisher, metrics } = scene();
  const repository = repositoryOfHub();
  await publisher.publish(offlineFiles(repository));
  const node = new Node();
  await node.look(disk, clock.wallMs());
  const snapshot = disk.list().find((name) => name.endsWith(".snapshot.json"));
  disk.files.delete(snapshot ?? "");
  await publisher.look();
  expect(metrics.value("flotilla_hub_trust_sound")).toBe(0);
  await clock.advance(60_000);
  await publisher.publish(offlineFiles(repository));
  expect(metrics.value("flotilla_hub_trust_sound")).toBe(1);
  expect(await node.look(disk, clock.wallMs())).toMatchObject({ kind: "accepted" });
});

test("what offline keys have to renew is told of 30 days before, once a day", async () => {
  const { clock, told, metrics, publisher } = scene();
  await publisher.publish(offlineFiles(repositoryOfHub()));
  await publisher.look();
  expect(told).toEqual([]);
  await clock.advance(90 * DAY_MS - TRUST_ALARM_MS);
  await publisher.look();
  await publisher.look();
  expect(told).toHaveLength(1);
  expect(told[0]).toMatchObject({ reason: "TrustExpires" });
  expect(told[0]?.message).toContain("releases 2");
  expect(told[0]?.message).toContain("flotilla trust sign --role releases");
  await clock.advance(DAY_MS);
  await publisher.look();
  expect(told).toHaveLength(2);
  await clock.advance(TRUST_ALARM_MS);
  await publisher.look();
  expect(told.at(-1)?.message).toContain("has expired");
  expect(metrics.value("flotilla_hub_trust_sound")).toBe(0);
});

// With signatures checked for each lookup it took minutes, which the time limit of tests would end.
test("thousands of released files are looked up without checking signatures for each", async () => {
  const { publisher } = scene();
  const repository = repositoryOfHub();
  for (let counter = 1; counter <= 2_000; counter++)
    repository.release(releaseOf("detector", counter));
  repository.publish();
  await publisher.publish(offlineFiles(repository));
  const paths = Array.from({ length: 2_000 }, (_, i) => `models/detector/${i + 1}/model.onnx`);
  expect(paths.filter((path) => publisher.target(path) === undefined)).toEqual([]);
});

test("a node believes the time that the hub signs", async () => {
  const { clock, disk, publisher } = scene();
  await publisher.publish(offlineFiles(repositoryOfHub()));
  const nonce = "0f".repeat(16);
  const root = openMetadata(
    "root",
    { subject: "root", bytes: disk.read("3.root.json") ?? new Uint8Array() },
    tools,
  );
  const question = { nonce, root, floorMs: 0, roundTripMs: 1 };
  expect(judgeTime(publisher.timeAnswer(nonce), question, isSignature)).toEqual({
    kind: "attested",
    nowMs: clock.wallMs(),
  });
});
