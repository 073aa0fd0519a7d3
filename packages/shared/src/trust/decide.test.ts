import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tufTools } from "../platform/tuf.ts";
import { twin } from "../testing/trust-attacks.ts";
import { LAB_START_MS, TrustLab } from "../testing/trust-lab.ts";
import { namedKey, releaseOf } from "../testing/tuf-repository.ts";
import { decide, firstState } from "./decide.ts";
import { DELEGATIONS_MAX, ROOT_STEPS_MAX } from "./limits.ts";
import { rootSigned, snapshotSigned, targetsSigned, timestampSigned } from "./publish.ts";
import { mayRun, receiptOf, withInstalled } from "./receipt.ts";
import type { Decision, OfferedFiles } from "./state.ts";

const DAY_MS = 86_400_000;
const tools = tufTools();
const lab = (): TrustLab => new TrustLab({ tools });
const endOf = (decision: { kind: string }): string =>
  "code" in decision ? String(decision.code) : decision.kind;
const pathsOf = (decision: Decision): readonly string[] =>
  decision.kind === "accepted" ? decision.install.map((t) => t.path) : [];
const offer2 = (world: TrustLab): OfferedFiles =>
  world.repository.offer(world.wanted(2), { revision: world.nextRevision });

describe("what is accepted", () => {
  test("what is released and wanted may be installed, all of it", () => {
    const decision = lab().install(2);
    expect(decision).toMatchObject({ kind: "accepted", freshness: "attested" });
    expect(pathsOf(decision)).toEqual([
      "models/detector/2/model.onnx",
      "models/detector/2/labels.json",
    ]);
  });

  test("what is released and not wanted is not installed, and without an order nothing is", () => {
    const world = lab();
    expect(pathsOf(world.node(world.repository.offer([], { revision: 9 })))).toEqual([]);
    const decision = world.node(world.repository.offer());
    expect(pathsOf(decision)).toEqual([]);
    expect(decision.kind === "accepted" && decision.roles.map((r) => r.role)).toEqual([
      "root",
      "timestamp",
      "snapshot",
      "targets",
      "releases",
    ]);
  });

  test("files are asked for one by one, each with the bytes that may come, until there is a decision", () => {
    const world = lab();
    world.repository.publish();
    const source = world.repository.offer(world.wanted(2), { revision: world.nextRevision });
    const metadata = new Map<string, Uint8Array | "absent">();
    const asked: [string, boolean][] = [];
    let decision = world.node({ ...source, metadata });
    while (decision.kind === "needs" && asked.length < 10) {
      const file = source.metadata.get(decision.file) ?? "absent";
      asked.push([decision.file, file === "absent" || file.byteLength <= decision.bytesMax]);
      metadata.set(decision.file, file);
      decision = world.node({ ...source, metadata });
    }
    expect(asked).toEqual([
      ["2.root.json", true],
      ["timestamp.json", true],
      ["4.snapshot.json", true],
      ["4.releases.json", true],
    ]);
    expect(pathsOf(decision)).toHaveLength(2);
  });

  test("the same question has the same answer, and nothing that was given is altered", () => {
    const world = lab();
    const before = new Map(world.state.trusted);
    const answers = [1, 2].map(() => decide(world.state, offer2(world), LAB_START_MS, tools));
    expect(answers[0]).toEqual(answers[1]);
    expect(world.state.trusted).toEqual(before);
  });
});

describe("roots", () => {
  test("14 months offline: a root a month is walked, other keys on the way, only the last has to be fresh", () => {
    const world = lab();
    for (let month = 0; month < 14; month++) {
      world.pass(30);
      const root = ["root-a", "root-b", "root-c"].map((n) => `${n}-${Math.floor(month / 3)}`);
      world.repository.rotate("root", root, 2);
      world.repository.rotate("timestamp", [`timestamp-${month}`], 1);
    }
    world.repository.rotate("snapshot", ["snapshot-late"], 1);
    world.repository.publishTargets();
    world.repository.publish();
    const decision = world.install(2);
    expect(decision.kind).toBe("accepted");
    expect(decision.kind === "accepted" && decision.roles[0]).toMatchObject({
      role: "root",
      version: 30,
    });
  });

  test("a root is kept as soon as it is verified, also when what follows is refused", () => {
    const world = lab();
    world.pass(3);
    world.repository.rotate("root", ["root-d", "root-e", "root-f"], 2);
    expect(endOf(world.node(offer2(world)))).toBe("metadata-expired");
    expect(world.state.trusted.get("root")).toBe(world.repository.newest("root"));
  });

  test("at ROOT_STEPS_MAX a walk stops, and goes on from there at the next try", () => {
    const world = lab();
    world.repository.rotate("root", ["root-a"], 1);
    for (let i = 0; i < ROOT_STEPS_MAX; i++) world.repository.rotate("root", ["root-a"], 1);
    expect(endOf(world.node(offer2(world)))).toBe("root-chain-too-long");
    expect(endOf(world.node(offer2(world)))).toBe("accepted");
  });

  test("with other online keys the versions of timestamp and snapshot begin anew, those of the releases do not", () => {
    const world = lab();
    const first = world.repository.files.get("1.releases.json");
    const old = { version: 1, bytes: first instanceof Uint8Array ? first : new Uint8Array() };
    world.install(2);
    world.repository.rotate("snapshot", ["snapshot-b"], 1);
    const targets = { version: 1, bytes: world.repository.newest("targets") };
    const files = new Map([
      ["targets", targets],
      ["releases", old],
    ]);
    const dated = { version: 1, expiresMs: LAB_START_MS + DAY_MS };
    const keys = world.repository.keysOf("snapshot");
    world.repository.put("snapshot", "snapshot", snapshotSigned(dated, files, tools), keys);
    world.repository.skipTo("timestamp", 0);
    world.repository.publishTimestamp();
    expect(world.node(world.repository.offer())).toMatchObject({
      code: "metadata-rolled-back",
      subject: "1.releases.json",
    });
  });

  test("a root under a number that is not its own is refused, and one by the old keys or the new keys alone", () => {
    const world = lab();
    const offered = world.repository.offer(world.wanted(2), { revision: 9 });
    const withRoot = (bytes: Uint8Array): OfferedFiles => ({
      ...offered,
      metadata: new Map([...offered.metadata, ["2.root.json", bytes]]),
    });
    expect(endOf(world.node(withRoot(world.repository.newest("root"))))).toBe("root-out-of-order");
    const before = world.repository.keysOf("root");
    const dated = { version: 2, expiresMs: LAB_START_MS + DAY_MS };
    const next = { keys: [namedKey("new-c", tools), namedKey("new-d", tools)], threshold: 2 };
    const signed = rootSigned(dated, {
      root: next,
      targets: next,
      snapshot: next,
      timestamp: next,
    });
    const byOld = world.repository.signText("root", signed, before);
    expect(endOf(world.node(withRoot(byOld)))).toBe("metadata-unsigned");
    world.repository.setKeys("root", ["new-a", "new-b"], 2);
    expect(endOf(world.node(withRoot(world.repository.publishRoot())))).toBe("metadata-unsigned");
  });

  test("a first root has to be signed by its own threshold", () => {
    const root = lab().repository.newest("root");
    expect(firstState(root, 0, tools).kind).toBe("accepted");
    const text = new TextDecoder().decode(root);
    const unsigned = text.replace(/"signatures":\[.*?\]/, '"signatures":[]');
    expect(firstState(new TextEncoder().encode(unsigned), 0, tools)).toMatchObject({
      code: "metadata-unsigned",
    });
  });
});

describe("thresholds count keys, not ids", () => {
  test("one key under two ids is refused in a root and in a delegation", () => {
    const world = lab();
    const [a] = world.repository.keysOf("releases");
    if (a === undefined) throw new Error("no key");
    world.repository.publishTargets([
      {
        name: "spare",
        keys: [a, twin(world, a)],
        threshold: 2,
        paths: ["spare/*"],
        isTerminating: true,
      },
    ]);
    world.repository.publish();
    expect(world.node(offer2(world))).toMatchObject({
      code: "key-duplicated",
      attack: "key compromise",
    });
  });

  test("a delegated role is judged by the threshold of whoever delegates", () => {
    const world = lab();
    world.repository.setKeys("releases", ["releases-a", "releases-b"], 2);
    world.repository.publishTargets();
    world.repository.publish();
    expect(endOf(world.node(offer2(world)))).toBe("metadata-unsigned");
  });

  test("delegations are followed DELEGATIONS_MAX deep and no further", () => {
    const world = lab();
    const key = namedKey("chain", tools);
    const link = (i: number) => ({
      name: `chain-${i}`,
      keys: [key],
      threshold: 1,
      paths: ["chain/*"],
      isTerminating: false,
    });
    world.repository.publishTargets([link(1)]);
    for (let i = 1; i <= DELEGATIONS_MAX; i++) {
      const signed = targetsSigned({ version: 1, expiresMs: LAB_START_MS + DAY_MS }, {}, [
        link(i + 1),
      ]);
      world.repository.put("targets", `chain-${i}`, signed, [key]);
    }
    world.repository.publish();
    const wanted = [{ path: "chain/x", length: 1, sha256: "a".repeat(64) }];
    expect(endOf(world.node(world.repository.offer(wanted, { revision: 9 })))).toBe(
      "delegations-too-many",
    );
  });

  test("a terminating delegation ends the search, another one does not", () => {
    const key = namedKey("spare", tools);
    const path = "spare/x";
    const entry = {
      length: 1,
      hashes: { sha256: "a".repeat(64) },
      custom: { artifact: "spare", releaseCounter: 1 },
    };
    const endWith = (isTerminating: boolean, isInner = false): string => {
      const world = lab();
      const role = { keys: [key], threshold: 1, paths: ["spare/*"] };
      world.repository.publishTargets([
        { ...role, name: "first", isTerminating: isTerminating && !isInner },
        { ...role, name: "second", isTerminating: false },
      ]);
      const dated = { version: 1, expiresMs: LAB_START_MS + DAY_MS };
      const inner = isInner ? [{ ...role, name: "inner", isTerminating }] : [];
      world.repository.put("targets", "first", targetsSigned(dated, {}, inner), [key]);
      world.repository.put("targets", "inner", targetsSigned(dated, {}), [key]);
      world.repository.put("targets", "second", targetsSigned(dated, { [path]: entry }), [key]);
      world.repository.publish();
      const wanted = [{ path, length: 1, sha256: "a".repeat(64) }];
      return endOf(world.node(world.repository.offer(wanted, { revision: 9 })));
    };
    expect([endWith(true), endWith(false)]).toEqual(["target-not-released", "accepted"]);
    expect([endWith(true, true), endWith(false, true)]).toEqual([
      "target-not-released",
      "accepted",
    ]);
  });

  test("delegations that lead back to a role end", () => {
    const world = lab();
    const key = namedKey("ring", tools);
    const ring = (name: string) =>
      ({ name, keys: [key], threshold: 1, paths: ["ring/*"], isTerminating: false }) as const;
    world.repository.publishTargets([ring("ring-a")]);
    const dated = { version: 1, expiresMs: LAB_START_MS + DAY_MS };
    world.repository.put("targets", "ring-a", targetsSigned(dated, {}, [ring("ring-b")]), [key]);
    world.repository.put("targets", "ring-b", targetsSigned(dated, {}, [ring("ring-a")]), [key]);
    world.repository.publish();
    const wanted = [{ path: "ring/x", length: 1, sha256: "a".repeat(64) }];
    expect(endOf(world.node(world.repository.offer(wanted, { revision: 9 })))).toBe(
      "target-not-released",
    );
    expect(endOf(world.node(world.repository.offer()))).toBe("accepted");
  });
});

describe("expiry gates new installs and nothing else", () => {
  test("after 400 days nothing new is installed, and what is there may be started, restarted and gone back to", () => {
    const world = lab();
    const installed = world.install(2);
    const receipts =
      installed.kind === "accepted" ? installed.install.map((t) => receiptOf(t, 0)) : [];
    world.pass(400);
    const before = world.state.installed;
    expect(world.node(offer2(world))).toMatchObject({ code: "metadata-expired", attack: "freeze" });
    expect(world.state.installed).toBe(before);
    expect(receipts).toHaveLength(2);
    for (const receipt of receipts) expect(mayRun(receipt, receipt).kind).toBe("ok");
  });

  test.each(["root", "timestamp", "snapshot", "targets", "releases"])(
    "an expired %s is named",
    (role) => {
      const world = lab();
      const lives = { root: 365, timestamp: 1, snapshot: 7, targets: 365, releases: 90 };
      const repository = world.repository;
      world.pass(lives[role as keyof typeof lives]);
      if (role !== "root") repository.publishRoot();
      if (role !== "targets") repository.publishTargets();
      if (role !== "releases") repository.publish();
      if (role === "releases") repository.publishOnline();
      if (role === "snapshot" || role === "timestamp") {
        world.pass(lives[role]);
        if (role === "snapshot") repository.publishTimestamp();
      }
      const decision = world.node(offer2(world));
      expect(decision).toMatchObject({ kind: "refused", code: "metadata-expired" });
      expect("subject" in decision && decision.subject).toContain(role);
    },
  );

  const expiry = LAB_START_MS + DAY_MS;
  test.each([
    ["1970: the floor counts", 0, "accepted"],
    ["a second before the floor", LAB_START_MS - 1000, "accepted"],
    ["the floor", LAB_START_MS, "accepted"],
    ["a second before expiry", expiry - 1000, "accepted"],
    ["the second of expiry", expiry, "metadata-expired"],
    ["2038", 2_147_483_648_000, "metadata-expired"],
    ["2106", 4_294_967_296_000, "metadata-expired"],
    ["the end of 9999", 253_402_300_799_999, "metadata-expired"],
    ["year 10000", 253_402_300_800_000, "clock-unusable"],
    ["before 1970", -1, "clock-unusable"],
    ["no number", Number.NaN, "clock-unusable"],
    ["infinity", Number.POSITIVE_INFINITY, "clock-unusable"],
  ])("clock at %s", (_, nowMs, end) => {
    const world = lab();
    const floorMs = world.state.floorMs;
    expect(endOf(world.node(offer2(world), nowMs))).toBe(end);
    expect(world.state.floorMs).toBeGreaterThanOrEqual(floorMs);
    expect(world.state.floorMs).toBeLessThan(expiry);
  });

  test("the floor rises to the time at which metadata was found fresh, and stays when it was not", () => {
    const world = lab();
    world.node(offer2(world), LAB_START_MS + 5000);
    expect(world.state.floorMs).toBe(LAB_START_MS + 5000);
    world.node(offer2(world), LAB_START_MS + 9 * DAY_MS);
    expect(world.state.floorMs).toBe(LAB_START_MS + 5000);
  });

  test("without trusted time the floor judges: an old bundle is taken when nothing in it is older than what is here", () => {
    const world = lab();
    world.pass(30);
    const decision = decide(world.state, offer2(world), undefined, tools);
    expect(decision).toMatchObject({ kind: "accepted", freshness: "unattested" });
    expect(decision.state.floorMs).toBe(world.state.floorMs);
    const later = { ...world.state, floorMs: LAB_START_MS + 2 * DAY_MS };
    expect(endOf(decide(later, offer2(world), undefined, tools))).toBe("metadata-expired");
  });
});

describe("going back", () => {
  test("an older timestamp is refused, also one that names the same snapshot", () => {
    const world = lab();
    const old = world.repository.newest("timestamp");
    world.repository.publishTimestamp();
    world.node(offer2(world));
    const offered = offer2(world);
    const metadata = new Map([...offered.metadata, ["2.root.json", "absent" as const]]);
    metadata.set("timestamp.json", old);
    expect(world.node({ ...offered, metadata })).toMatchObject({
      code: "metadata-rolled-back",
      subject: "timestamp.json",
    });
  });

  test("a new timestamp that names an older snapshot is refused before that is fetched", () => {
    const world = lab();
    world.repository.publishOnline();
    world.node(offer2(world));
    world.repository.skipTo("snapshot", 2);
    const named = { version: 2, bytes: world.repository.newest("snapshot") };
    const signed = timestampSigned(world.repository.next("timestamp", 1), named, tools);
    const keys = world.repository.keysOf("timestamp");
    world.repository.put("timestamp", "timestamp", signed, keys);
    expect(world.node(offer2(world))).toMatchObject({
      code: "metadata-rolled-back",
      subject: "snapshot in timestamp.json",
    });
  });

  test("a stored file that today's keys have not signed is forgotten", () => {
    const world = lab();
    expect(world.state.trusted.has("releases")).toBe(true);
    world.repository.setKeys("releases", ["releases-c"], 1);
    world.repository.publishTargets();
    world.repository.publishOnline();
    expect(endOf(world.node(world.repository.offer()))).toBe("metadata-unsigned");
    expect(world.state.trusted.has("releases")).toBe(false);
  });

  test("a signed rule lets a node go back as far as it says, and no further, also step by step", () => {
    const world = lab();
    const { repository } = world;
    repository.release(releaseOf("detector", 3, { rollbackTo: 2 }));
    repository.release(releaseOf("detector", 2, { rollbackTo: 1 }));
    repository.publish();
    world.install(3);
    expect(endOf(world.install(2))).toBe("accepted");
    expect(world.state.installed.get("detector")?.releaseCounter).toBe(3);
    expect(world.install(1)).toMatchObject({ code: "release-rolled-back", attack: "rollback" });
    expect(endOf(world.install(3))).toBe("accepted");
  });

  test("a rule can be signed later, for a release that is installed", () => {
    const world = lab();
    world.install(2);
    expect(endOf(world.install(1))).toBe("release-rolled-back");
    world.repository.release(releaseOf("detector", 2, { rollbackTo: 1 }));
    world.repository.publish();
    expect(endOf(world.install(1))).toBe("accepted");
  });

  test("without the newest release in the metadata there is no rule", () => {
    const world = lab();
    world.repository.release(releaseOf("detector", 2, { rollbackTo: 1 }));
    world.repository.publish();
    world.install(2);
    for (const { path } of releaseOf("detector", 2)) world.repository.withdraw(path);
    world.repository.publish();
    expect(endOf(world.install(1))).toBe("release-rolled-back");
  });

  test("a file that the snapshot named stays named", () => {
    const world = lab();
    const key = namedKey("spare", tools);
    const dated = { version: 1, expiresMs: LAB_START_MS + DAY_MS };
    world.repository.put("targets", "spare", targetsSigned(dated, {}), [key]);
    world.repository.publish();
    world.node(offer2(world));
    const other = lab();
    for (let i = 0; i < 9; i++) other.repository.publish();
    const decision = world.node(other.repository.offer());
    expect(decision).toMatchObject({ code: "metadata-rolled-back" });
    expect("message" in decision && decision.message).toContain(
      "does not name spare.json any more",
    );
  });
});

describe("orders", () => {
  test("files for other hardware are no part of the release here, and deltas are none anywhere", () => {
    const world = lab();
    const { repository } = world;
    const custom = { artifact: "detector", releaseCounter: 2 };
    repository.release([
      {
        path: "models/detector/2/model-rk.onnx",
        content: "rk",
        custom: { ...custom, hardwareIds: ["rk3588"] },
      },
      {
        path: "models/detector/2/from-1.delta",
        content: "d",
        custom: { ...custom, isDelta: true },
      },
    ]);
    repository.publish();
    expect(endOf(world.install(2))).toBe("accepted");
    const delta = repository.wanted("models/detector/2/from-1.delta");
    const decision = world.node(repository.offer([...world.wanted(2), delta], { revision: 99 }));
    expect(pathsOf(decision)).toHaveLength(3);
    if (decision.kind !== "accepted") throw new Error("refused");
    expect(withInstalled(decision.state, decision.install).installed.get("detector")).toEqual({
      releaseCounter: 2,
      path: "models/detector/2/model.onnx",
    });
  });

  test("an order is followed again under its revision, and not under an older one", () => {
    const world = lab();
    const at = (revision: number): string =>
      endOf(world.node(world.repository.offer(world.wanted(2), { revision })));
    expect([at(7), at(7), at(6), at(Number.NaN), at(8)]).toEqual([
      "accepted",
      "accepted",
      "order-rolled-back",
      "order-rolled-back",
      "accepted",
    ]);
  });

  test("names of Object's own are no targets and no roles", () => {
    const world = lab();
    const wanted = ["__proto__", "constructor", "toString"].map((path) => ({
      path,
      length: 1,
      sha256: "a".repeat(64),
    }));
    for (const one of wanted)
      expect(endOf(world.node(world.repository.offer([one], { revision: 9 })))).toBe(
        "target-not-released",
      );
  });
});

test("whatever mix of published, old and forged files somebody with the hub's keys serves, only what was released gets in", () => {
  const world = lab();
  const history: (Uint8Array | "absent")[] = ["absent"];
  for (let i = 0; i < 4; i++) {
    history.push(...world.repository.files.values());
    world.repository.publish();
  }
  const names = [...world.repository.files.keys()];
  const released = new Set([1, 2].flatMap((n) => world.wanted(n).map((w) => w.sha256)));
  const pick = fc.nat({ max: 10_000 });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(pick, pick), { maxLength: 6 }),
      fc.nat({ max: 3 }),
      (swaps, forge) => {
        const wanted = world
          .wanted(2)
          .map((w, i) => (forge === i + 1 ? { ...w, sha256: "f".repeat(64) } : w));
        const offered = world.repository.offer(wanted, { revision: 99 });
        const metadata = new Map(offered.metadata);
        metadata.set("2.root.json", "absent");
        for (const [name, file] of swaps)
          metadata.set(
            names[name % names.length] ?? "",
            history[file % history.length] ?? "absent",
          );
        const decision = decide(world.state, { ...offered, metadata }, LAB_START_MS, tools);
        const installed = decision.kind === "accepted" ? decision.install : [];
        expect(installed.filter((target) => !released.has(target.sha256))).toEqual([]);
      },
    ),
    { numRuns: 150, seed: 31 },
  );
});

test("whatever snapshot somebody signs with the hub's keys, nothing that was not released gets in, and no release goes back", () => {
  const world = lab();
  const { repository } = world;
  for (const counter of [3, 4]) {
    repository.release(releaseOf("detector", counter, counter === 4 ? { rollbackTo: 3 } : {}));
    repository.publish();
  }
  world.install(4);
  const { state } = world;
  const released = new Set([1, 2, 3, 4].flatMap((n) => world.wanted(n).map((w) => w.sha256)));
  const history = [1, 2, 3, 4, 5].flatMap((version) => {
    const bytes = repository.files.get(`${version}.releases.json`);
    return bytes instanceof Uint8Array ? [{ version, bytes }] : [];
  });
  const targets = { version: 1, bytes: repository.newest("targets") };
  const orders = fc.record({
    version: fc.nat({ max: 4 }),
    counter: fc.integer({ min: 1, max: 4 }),
    isForged: fc.boolean(),
    isPart: fc.boolean(),
  });
  const seen = new Set<string>();
  fc.assert(
    fc.property(orders, ({ version, counter, isForged, isPart }) => {
      const releases = history[version] ?? { version: 1, bytes: new Uint8Array() };
      const files = new Map([
        ["targets", targets],
        ["releases", releases],
      ]);
      const signed = snapshotSigned(repository.next("snapshot", 7), files, tools);
      repository.put("snapshot", "snapshot", signed, repository.keysOf("snapshot"));
      repository.publishTimestamp();
      const wanted = world
        .wanted(counter)
        .slice(isPart ? 1 : 0)
        .map((w) => (isForged ? { ...w, sha256: "f".repeat(64) } : w));
      const decision = decide(
        state,
        repository.offer(wanted, { revision: 99 }),
        LAB_START_MS,
        tools,
      );
      const installed = decision.kind === "accepted" ? decision.install : [];
      seen.add(endOf(decision));
      const bad = installed.filter((t) => !released.has(t.sha256) || t.custom.releaseCounter < 3);
      expect([bad, installed.length % 2]).toEqual([[], 0]);
    }),
    { numRuns: 200, seed: 31 },
  );
  expect([...seen].toSorted()).toEqual([
    "accepted",
    "metadata-rolled-back",
    "release-partial",
    "release-rolled-back",
    "target-disagrees",
  ]);
});
