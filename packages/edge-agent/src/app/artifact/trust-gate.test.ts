import { CodedError } from "@flotilla/shared/kernel/errors";
import { ISO_TIME_MS_MAX } from "@flotilla/shared/kernel/iso-time";
import { LAB_START_MS } from "@flotilla/shared/testing/trust-lab";
import { releaseOf } from "@flotilla/shared/testing/tuf-repository";
import { describe, expect, test } from "vitest";
import {
  DAY_MS,
  endOf,
  newRepository,
  stateOf,
  TrustWorld,
  targetsOf,
} from "../../../test/support/trust-world.ts";
import { METADATA_FRESH_MS, TRUST_RETRY } from "./trust-gate.ts";
import { METADATA_FETCH_MS_MAX } from "./trust-metadata.ts";

const HOUR_MS = 3_600_000;

describe("what may be installed", () => {
  test("what is released and wanted, by the first root that the hub gives and the time that it attests", async () => {
    const world = new TrustWorld();
    const verdicts = await world.judge({ a: [world.release(1)] });
    expect(targetsOf(verdicts["a"]).map((t) => t.path)).toEqual([
      "models/detector/1/model.onnx",
      "models/detector/1/labels.json",
    ]);
    expect(world.hub.takeAsked()).toEqual([
      "metadata/1.root.json",
      "metadata/2.root.json",
      "time",
      "metadata/timestamp.json",
      "metadata/2.snapshot.json",
      "metadata/1.targets.json",
      "metadata/2.releases.json",
    ]);
    expect(world.gate.report()).toEqual({
      rootVersion: 1,
      expiresAt: "2027-02-23T00:00:00.000Z",
      isAttested: true,
    });
  });

  test("one instance's bad release holds no other instance up", async () => {
    const world = new TrustWorld();
    const good = world.release(1);
    const [first, ...others] = world.release(2).files;
    if (first === undefined) throw new Error("a release has files");
    const bad = { ...world.release(2), files: [{ ...first, sha256: "b".repeat(64) }, ...others] };
    const verdicts = await world.judge({ a: [good], b: [bad] });
    expect([endOf(verdicts["a"]), endOf(verdicts["b"])]).toEqual(["accepted", "target-disagrees"]);
    expect(world.gate.report()?.refusal).toMatchObject({
      code: "target-disagrees",
      subject: "models/detector/2/model.onnx",
    });
    world.revision += 1;
    await world.judge({ a: [good] });
    expect(world.gate.report()?.refusal).toBeUndefined();
  });

  test("two instances may have two releases of an artifact, and a third may lie ready", async () => {
    const world = new TrustWorld();
    world.repository.release(releaseOf("detector", 3));
    world.repository.publish();
    const { name, version, counter, files } = world.release(3);
    const verdicts = await world.judge({ a: [world.release(1)], b: [world.release(2)] }, [
      { name, version, counter, files },
    ]);
    expect(Object.entries(verdicts).map(([key, v]) => `${key} ${endOf(v)}`)).toEqual([
      "a accepted",
      "b accepted",
      "detector@3 accepted",
    ]);
  });

  test("a hub that mixes two releases in one instance, or calls one what it is not, is refused", async () => {
    const world = new TrustWorld();
    const one = world.release(1);
    const two = world.release(2);
    const mixed = [{ ...one, files: [...one.files.slice(0, 1), ...two.files.slice(1)] }];
    const renamed = [{ ...one, counter: 9 }];
    await world.install("held", [one]);
    world.active.set("both", new Set(one.files.map((file) => file.target)));
    const verdicts = await world.judge({ mixed, renamed, both: [one, { ...two, path: "other" }] });
    expect(Object.values(verdicts).map(endOf)).toEqual([
      "release-mixed",
      "target-disagrees",
      "release-mixed",
    ]);
  });

  test("a part of a release that is installed already is no release", async () => {
    const world = new TrustWorld();
    const whole = world.release(1);
    await world.install("a", [whole]);
    world.revision += 1;
    const part = { ...whole, files: whole.files.slice(0, 1) };
    expect(endOf((await world.judge({ b: [part] }))["b"])).toBe("release-partial");
  });

  test("hardware is this node's own", async () => {
    const world = new TrustWorld({ hardwareId: "rk3588" });
    world.repository.release(releaseOf("cutter", 1, { hardwareIds: ["orin"] }));
    world.repository.publish();
    const verdicts = await world.judge({ a: [world.release(1, "cutter")] });
    expect(endOf(verdicts["a"])).toBe("target-wrong-hardware");
  });
});

describe("what is installed", () => {
  test("goes on without network, time or metadata: 14 months later everything restarts, then the roots are walked", async () => {
    const world = new TrustWorld();
    const one = world.release(1);
    const installed = await world.install("a", [one]);
    for (const source of [world.hub, world.link]) source.isReachable = false;
    for (let month = 0; month < 14; month++) {
      await world.pass(30);
      const root = ["root-a", "root-b", "root-c"].map((n) => `${n}-${month}`);
      world.repository.rotate("root", root, 2);
      world.repository.rotate("timestamp", [`timestamp-${month}`], 1);
    }
    world.hub.takeAsked();
    for (const { path, length, sha256 } of targetsOf(installed))
      expect(world.gate.mayRun(path, { length, sha256 })).toBe(true);
    expect(endOf((await world.judge({ a: [one] }))["a"])).toBe("accepted");
    expect(world.hub.takeAsked()).toEqual([]);

    world.repository.publishTargets();
    world.repository.publish();
    world.hub.timeKey = "timestamp-13";
    expect(endOf((await world.judge({ a: [world.release(2)] }))["a"])).toBe("unknown");
    world.hub.isReachable = true;
    await world.clock.advance(TRUST_RETRY.capMs);
    expect(endOf((await world.judge({ a: [world.release(2)] }))["a"])).toBe("accepted");
    expect(world.gate.report()).toMatchObject({ rootVersion: 29, isAttested: true });
  });

  test("is told by its bytes, whatever is asked about", async () => {
    const world = new TrustWorld();
    const targets = targetsOf(await world.install("a", [world.release(1)]));
    const { path, length, sha256 } = targets[0] ?? { path: "", length: 0, sha256: "" };
    expect([
      world.gate.mayRun(path, { length, sha256: "a".repeat(64) }),
      world.gate.mayRun(path, { length: length + 1, sha256 }),
      world.gate.mayRun("models/detector/2/model.onnx", { length, sha256 }),
    ]).toEqual([false, false, false]);
    world.gate.keepReceipts(new Set([sha256]));
    expect(world.gate.mayRun(path, { length, sha256 })).toBe(true);
    world.gate.keepReceipts(new Set());
    expect(world.gate.mayRun(path, { length, sha256 })).toBe(false);
  });

  test("what is prepared may run, raises no counter, and is asked about again before it is installed", async () => {
    const world = new TrustWorld();
    const verdict = (await world.judge({ a: [world.release(2)] }))["a"];
    world.store.transaction(() => world.gate.prepared(targetsOf(verdict)));
    for (const { path, length, sha256 } of targetsOf(verdict))
      expect(world.gate.mayRun(path, { length, sha256 })).toBe(true);
    expect(world.table.installed()).toEqual(new Map());
    await world.clock.advance(METADATA_FRESH_MS);
    for (const { path } of targetsOf(verdict)) world.repository.withdraw(path);
    world.repository.publish();
    world.revision += 1;
    world.hub.isReachable = false;
    world.link.isReachable = false;
    const offline = new TrustWorld({ store: world.store, repository: world.repository });
    offline.hub.isReachable = false;
    offline.link.isReachable = false;
    const release = {
      ...world.release(1),
      version: "2.0.0",
      counter: 2,
      files: targetsOf(verdict).map(({ path, length, sha256 }) => ({
        path: path.split("/").slice(3).join("/"),
        target: path,
        length,
        sha256,
      })),
    };
    expect(endOf((await offline.judge({ a: [release] }))["a"])).toBe("accepted");
    offline.hub.isReachable = true;
    await offline.clock.advance(TRUST_RETRY.capMs);
    expect(endOf((await offline.judge({ a: [release] }))["a"])).toBe("target-not-released");
  });

  test("goes back only by the rule of the newest release, except for an instance that has the older one", async () => {
    const world = new TrustWorld();
    await world.install("old", [world.release(1)]);
    await world.install("new", [world.release(2)]);
    world.revision += 1;
    const one = [world.release(1)];
    const verdicts = await world.judge({ old: one, new: one });
    expect([endOf(verdicts["old"]), endOf(verdicts["new"])]).toEqual([
      "accepted",
      "release-rolled-back",
    ]);
    world.repository.release(releaseOf("detector", 2, { rollbackTo: 1 }));
    world.repository.publish();
    await world.clock.advance(TRUST_RETRY.capMs);
    expect(endOf((await world.judge({ new: one }))["new"])).toBe("accepted");
  });

  test("a change that the store takes back leaves no counter behind", async () => {
    const world = new TrustWorld();
    const verdict = (await world.judge({ a: [world.release(2)] }))["a"];
    const power = new Error("the power goes");
    expect(() =>
      world.store.transaction(() => {
        world.gate.installed(targetsOf(verdict));
        throw power;
      }),
    ).toThrow(power);
    expect(world.table.installed()).toEqual(new Map());
    expect(endOf((await world.judge({ a: [world.release(1)] }))["a"])).toBe("accepted");
  });
});

describe("asking", () => {
  test("what was found good is not asked about again within the hour, unless something unknown is wanted", async () => {
    const world = new TrustWorld();
    const a = [world.release(1)];
    await world.judge({ a });
    world.hub.takeAsked();
    await world.judge({ a, same: a });
    expect(world.hub.takeAsked()).toEqual([]);
    await world.judge({ a, b: [world.release(2)] });
    expect(world.hub.takeAsked()).toEqual([
      "metadata/2.root.json",
      "time",
      "metadata/timestamp.json",
    ]);
    await world.clock.advance(METADATA_FRESH_MS);
    await world.judge({ a });
    expect(world.hub.takeAsked()).toContain("metadata/timestamp.json");
  });

  test("nobody answers: unknown, with growing waits; then the second source counts", async () => {
    const world = new TrustWorld();
    const a = [world.release(1)];
    for (const source of [world.hub, world.link]) source.isReachable = false;
    const first = (await world.judge({ a }))["a"];
    expect(first).toMatchObject({
      kind: "unknown",
      reason: "hub: source-unreachable; link: source-unreachable",
    });
    world.hub.takeAsked();
    world.link.isReachable = true;
    expect(endOf((await world.judge({ a }))["a"])).toBe("unknown");
    expect(world.hub.takeAsked()).toEqual([]);
    await world.clock.advance(TRUST_RETRY.baseMs);
    expect(endOf((await world.judge({ a }))["a"])).toBe("accepted");
  });

  test("a source that lies is passed by, one that is cut is gone on from by the next", async () => {
    const world = new TrustWorld();
    world.hub.altered.set("timestamp.json", new TextEncoder().encode("<html>"));
    expect(endOf((await world.judge({ a: [world.release(1)] }))["a"])).toBe("accepted");
    world.link.altered.set("timestamp.json", "absent");
    expect(endOf((await world.judge({ b: [world.release(2)] }))["b"])).toBe("metadata-malformed");
    expect(world.gate.report()?.refusal?.code).toBe("metadata-malformed");
  });

  test("a source that drips is left after METADATA_FETCH_MS_MAX, by the boot clock", async () => {
    const world = new TrustWorld();
    const hub = world.hub;
    hub.readWhole = ({ signal }: { readonly signal?: AbortSignal; readonly path: string }) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(new Error("aborted")));
      });
    const judging = world.judge({ a: [world.release(1)] });
    await world.clock.advance(METADATA_FETCH_MS_MAX);
    await world.clock.advance(2 * METADATA_FETCH_MS_MAX);
    expect(endOf((await judging)["a"])).toBe("accepted");
    expect(world.clock.sleeperCount).toBe(0);
  });

  test("what was accepted stays so while nobody answers, until its metadata expires", async () => {
    const world = new TrustWorld();
    const a = [world.release(1)];
    await world.judge({ a });
    for (const source of [world.hub, world.link]) source.isReachable = false;
    await world.clock.advance(DAY_MS - HOUR_MS);
    expect(endOf((await world.judge({ a }))["a"])).toBe("accepted");
    await world.clock.advance(HOUR_MS);
    expect(endOf((await world.judge({ a }))["a"])).toBe("unknown");
  });

  test("an abort ends it, and the next judgement goes on", async () => {
    const world = new TrustWorld();
    const aborting = new AbortController();
    const hung = world.hub.readWhole.bind(world.hub);
    world.hub.readWhole = ({ signal }: { readonly signal?: AbortSignal; readonly path: string }) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(new Error("stopped")));
      });
    const state = stateOf({ a: [world.release(1)] }, { revision: 1 });
    const judging = world.gate.judge({ state, active: () => new Set() }, aborting.signal);
    aborting.abort(new Error("stopped"));
    await expect(judging).rejects.toThrow("stopped");
    world.hub.readWhole = hung;
    expect(endOf((await world.judge({ a: [world.release(1)] }))["a"])).toBe("accepted");
  });

  test("a full disk says nothing against a release", async () => {
    const world = new TrustWorld({
      wrap: (table) =>
        new Proxy(table, {
          get: (target, key) =>
            key === "save"
              ? () => {
                  throw new CodedError("database-full", "no room");
                }
              : Reflect.get(target, key).bind(target),
        }),
    });
    expect((await world.judge({ a: [world.release(1)] }))["a"]).toMatchObject({
      kind: "unknown",
      reason: "hub: database-full; link: database-full",
    });
  });
});

describe("clocks", () => {
  test.each([
    ["1970: refused as before the floor, judged by the floor", 0, "accepted", false],
    ["a millisecond before the floor", LAB_START_MS - DAY_MS - 1, "accepted", false],
    ["the floor", LAB_START_MS - DAY_MS, "accepted", true],
    ["a second before the timestamp expires", LAB_START_MS + DAY_MS - 1000, "accepted", true],
    ["when it expires", LAB_START_MS + DAY_MS, "metadata-expired", true],
    ["a second after", LAB_START_MS + DAY_MS + 1000, "metadata-expired", true],
    ["2038", 2 ** 31 * 1000, "metadata-expired", true],
    ["2106", 2 ** 32 * 1000, "metadata-expired", true],
    ["9999", ISO_TIME_MS_MAX - 999, "metadata-expired", true],
    ["10000: no time at all", ISO_TIME_MS_MAX + 1, "accepted", false],
  ])("%s", async (_what, hubMs, end, isAttested) => {
    const world = new TrustWorld();
    world.hub.timeMs = () => hubMs;
    world.link.timeMs = world.hub.timeMs;
    expect(endOf((await world.judge({ a: [world.release(1)] }))["a"])).toBe(end);
    expect(world.gate.report()?.isAttested).toBe(isAttested);
    const floorMs = world.table.load()?.state.floorMs ?? 0;
    expect(floorMs).toBeGreaterThanOrEqual(LAB_START_MS - DAY_MS);
    expect(floorMs).toBeLessThan(LAB_START_MS + DAY_MS);
  });

  test("a time by another key, of another question, or that came late is not believed", async () => {
    const world = new TrustWorld();
    world.hub.timeKey = "attacker";
    await world.judge({ a: [world.release(1)] });
    expect(world.gate.report()?.isAttested).toBe(false);
    world.hub.timeKey = "timestamp-a";
    const honest = world.hub.readWhole.bind(world.hub);
    world.hub.readWhole = async (request) => {
      if (request.path.startsWith("time/")) await world.clock.advance(10_001);
      return honest(request);
    };
    await world.judge({ b: [world.release(2)] });
    expect(world.gate.report()?.isAttested).toBe(false);
    expect(
      world.log.lines.filter((l) => l.level === "warn").map((l) => l.fields["reason"]),
    ).toEqual(["unsigned", "too-slow"]);
  });

  test("what was attested counts on by the boot clock while the hub says no time", async () => {
    const world = new TrustWorld();
    await world.judge({ a: [world.release(1)] });
    world.hub.timeMs = undefined;
    world.link.timeMs = undefined;
    await world.clock.advance(DAY_MS);
    expect(endOf((await world.judge({ b: [world.release(2)] }))["b"])).toBe("metadata-expired");
  });

  test("a thief who sets the clock ahead loses it with his key", async () => {
    const world = new TrustWorld();
    const { repository } = world;
    const stolenMs = repository.nowMs + 80 * DAY_MS;
    repository.nowMs = stolenMs;
    repository.publishOnline();
    expect(endOf((await world.judge({ a: [world.release(1)] }))["a"])).toBe("accepted");
    expect(world.table.load()?.state.floorMs).toBe(stolenMs);

    repository.nowMs = LAB_START_MS + HOUR_MS;
    repository.rotate("timestamp", ["timestamp-b"], 1);
    repository.publishOnline();
    world.hub.timeKey = "timestamp-b";
    expect(endOf((await world.judge({ b: [world.release(2)] }))["b"])).toBe("accepted");
    expect(world.gate.report()?.isAttested).toBe(true);
    expect(world.table.load()?.state.floorMs).toBe(repository.nowMs);
  });
});

describe("the first root", () => {
  const bytesOf = (name: string, repository = newRepository()): Uint8Array => {
    const bytes = repository.files.get(name);
    if (bytes === "absent") throw new Error(`no ${name}`);
    return bytes;
  };

  test("a root that lies here is taken, and the hub is not asked for one", async () => {
    const world = new TrustWorld({ configuredRoot: () => bytesOf("1.root.json") });
    await world.judge({ a: [world.release(1)] });
    expect(world.hub.takeAsked()[0]).toBe("metadata/2.root.json");
  });

  test("a hub that serves other owners' metadata gets nowhere", async () => {
    const world = new TrustWorld();
    await world.judge({ a: [world.release(1)] });
    const others = newRepository();
    others.setKeys("root", ["mallory-a", "mallory-b", "mallory-c"], 2);
    others.setKeys("timestamp", ["mallory-t"], 1);
    others.publishRoot();
    others.publish();
    const moved = new TrustWorld({ store: world.store, repository: others });
    moved.revision = 2;
    expect(endOf((await moved.judge({ b: [moved.release(2)] }))["b"])).toBe("metadata-unsigned");
    expect(moved.gate.report()).toMatchObject({
      rootVersion: 1,
      refusal: { code: "metadata-unsigned" },
    });
  });

  test("another root by the owner's hand begins anew: counters go, receipts stay", async () => {
    const world = new TrustWorld();
    const installed = await world.install("a", [world.release(2)]);
    const others = newRepository();
    others.setKeys("root", ["new-a", "new-b", "new-c"], 2);
    others.skipTo("root", 0);
    const root = others.publishRoot();
    const moved = new TrustWorld({
      store: world.store,
      repository: others,
      configuredRoot: () => root,
    });
    moved.revision = 1;
    for (const { path, length, sha256 } of targetsOf(installed))
      expect(moved.gate.mayRun(path, { length, sha256 })).toBe(true);
    expect(endOf((await moved.judge({ a: [moved.release(1)] }))["a"])).toBe("accepted");
    expect(
      moved.log.lines.some((l) => l.level === "warn" && l.message.includes("begins anew")),
    ).toBe(true);
  });

  test("a root of the same owners, older or newer than the walked one, changes nothing", async () => {
    const world = new TrustWorld();
    world.repository.publishRoot();
    await world.install("a", [world.release(2)]);
    expect(world.gate.report()?.rootVersion).toBe(2);
    const third = world.repository.publishRoot();
    for (const root of [bytesOf("1.root.json", world.repository), third]) {
      const again = new TrustWorld({
        store: world.store,
        repository: world.repository,
        configuredRoot: () => root,
      });
      expect(again.table.installed().get("detector")?.releaseCounter).toBe(2);
      expect(again.gate.report()?.rootVersion).toBe(2);
    }
  });

  test("a root that cannot be used is no reason to take the hub's", async () => {
    const world = new TrustWorld({ configuredRoot: () => new TextEncoder().encode("{}") });
    const verdict = (await world.judge({ a: [world.release(1)] }))["a"];
    expect(verdict?.kind === "unknown" && verdict.reason).toMatch(/^trust-root-unusable: /);
    expect(world.hub.takeAsked()).toEqual([]);
    expect(world.gate.report()).toBeUndefined();
  });

  test("a hub that has none says so", async () => {
    const world = new TrustWorld();
    for (const source of [world.hub, world.link]) source.altered.set("1.root.json", "absent");
    expect((await world.judge({ a: [world.release(1)] }))["a"]).toMatchObject({
      kind: "unknown",
      reason: "hub has no root; link has no root",
    });
  });
});
