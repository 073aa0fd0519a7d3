import { tufTools } from "@flotilla/shared/platform/tuf";
import { namedKey, releaseOf } from "@flotilla/shared/testing/tuf-repository";
import { snapshotSigned, targetsSigned } from "@flotilla/shared/trust/publish";
import fc from "fast-check";
import { expect, test } from "vitest";
import { memoryAgentStore } from "../../../test/support/memory-agent-store.ts";
import { newRepository, TrustWorld, targetsOf } from "../../../test/support/trust-world.ts";

const tools = tufTools();

/** What the owner, a thief with the hub's two keys, and time do. */
const Deed = fc.oneof(
  fc.record({ kind: fc.constant("release" as const) }),
  fc.record({ kind: fc.constant("republish" as const) }),
  fc.record({ kind: fc.constant("rotate" as const) }),
  fc.record({ kind: fc.constant("restart" as const) }),
  fc.record({ kind: fc.constant("hour" as const) }),
  /** The thief serves an earlier version of a file for good. */
  fc.record({
    kind: fc.constant("replay" as const),
    role: fc.constantFrom("timestamp", "snapshot", "releases", "targets"),
    back: fc.integer({ min: 1, max: 3 }),
  }),
  /** He signs a snapshot over old releases, or over releases of his own. */
  fc.record({ kind: fc.constant("snapshot" as const), isForged: fc.boolean() }),
  /** The hub, or the thief, wants a release on the node. */
  fc.record({ kind: fc.constant("want" as const), counter: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ kind: fc.constant("trojan" as const), counter: fc.integer({ min: 1, max: 6 }) }),
);

type Deed = typeof Deed extends fc.Arbitrary<infer D> ? D : never;

/** A repository, a node that goes through its life, and a thief beside them. */
class Siege {
  readonly #repository = newRepository();
  readonly #store = memoryAgentStore();
  /** Digest of everything that the owner has released, by path. */
  readonly #released = new Map<string, string>();
  world = new TrustWorld({ store: this.#store, repository: this.#repository });
  #newest = 0;
  #keyCount = 0;
  acceptedCount = 0;
  /** Files that were accepted and that nobody has released. */
  readonly intruders: string[] = [];

  constructor() {
    this.#note();
    this.#note();
  }

  async do(deed: Deed): Promise<void> {
    const repository = this.#repository;
    switch (deed.kind) {
      case "release":
        repository.release(releaseOf("detector", this.#newest + 1));
        this.#note();
        return repository.publish();
      case "republish":
        return repository.publish();
      case "rotate":
        return this.#rotate();
      case "restart":
        this.world = new TrustWorld({
          store: this.#store,
          repository,
          clock: this.world.clock,
        });
        return this.#tellTime();
      case "hour":
        return this.world.clock.advance(3_600_000);
      case "replay":
        return replay(this.world, deed.role, deed.back);
      case "snapshot":
        return deed.isForged ? forgeReleases(this.world) : snapshotOfFirstReleases(this.world);
      case "want":
      case "trojan":
        return this.#want(deed.counter, deed.kind);
    }
  }

  #note(): void {
    this.#newest += 1;
    for (const { path } of releaseOf("detector", this.#newest))
      this.#released.set(path, this.#repository.wanted(path).sha256);
  }

  #rotate(): void {
    this.#keyCount += 1;
    this.#repository.rotate("timestamp", [`timestamp-${this.#keyCount}`], 1);
    this.#repository.rotate("snapshot", [`snapshot-${this.#keyCount}`], 1);
    this.#repository.publishOnline();
    this.#tellTime();
  }

  #tellTime(): void {
    const key = this.#keyCount === 0 ? "timestamp-a" : `timestamp-${this.#keyCount}`;
    for (const source of [this.world.hub, this.world.link]) source.timeKey = key;
  }

  async #want(counter: number, kind: "want" | "trojan"): Promise<void> {
    const artifact = this.world.release(Math.min(counter, this.#newest));
    const files = artifact.files.map((file) => ({ ...file, sha256: "e".repeat(64) }));
    const wanted = kind === "trojan" ? { ...artifact, files } : artifact;
    const targets = targetsOf(await this.world.install("a", [wanted]));
    this.acceptedCount += targets.length;
    for (const { path, sha256 } of targets)
      if (this.#released.get(path) !== sha256) this.intruders.push(path);
  }
}

test("whatever a thief with both keys of the hub serves and wants, only what was released is accepted, and no release and no root goes back", async () => {
  let acceptedCount = 0;
  const property = fc.asyncProperty(
    fc.array(Deed, { minLength: 4, maxLength: 14 }),
    async (deeds) => {
      const siege = new Siege();
      let [counter, rootVersion] = [0, 0];
      for (const deed of deeds) {
        await siege.do(deed);
        const { table, gate } = siege.world;
        const counterNow = table.installed().get("detector")?.releaseCounter ?? 0;
        const rootNow = gate.report()?.rootVersion ?? 0;
        expect([siege.intruders, counterNow < counter, rootNow < rootVersion]).toEqual([
          [],
          false,
          false,
        ]);
        [counter, rootVersion] = [counterNow, rootNow];
      }
      acceptedCount += siege.acceptedCount;
    },
  );
  await fc.assert(property, { numRuns: 60, seed: 38 });
  expect(acceptedCount).toBeGreaterThan(30);
});

/** An earlier file under its own name, and under that of the newest. */
function replay({ hub, link, repository }: TrustWorld, role: string, back: number): void {
  const names = [...repository.files.keys()].filter((name) => name.endsWith(`${role}.json`));
  const [name, old] = [names.at(-1), names.at(-1 - back)];
  const bytes = repository.files.get(old ?? "");
  if (name === undefined || bytes === "absent") return;
  for (const source of [hub, link]) source.altered.set(name, bytes);
}

function snapshotOfFirstReleases({ repository }: TrustWorld): void {
  const first = repository.files.get("1.releases.json");
  if (first === "absent") return;
  const named = new Map([
    ["targets", { version: 1, bytes: repository.newest("targets") }],
    ["releases", { version: 1, bytes: first }],
  ]);
  const signed = snapshotSigned(repository.next("snapshot", 7), named, tools);
  repository.put("snapshot", "snapshot", signed, repository.keysOf("snapshot"));
  repository.publishTimestamp();
}

function forgeReleases({ repository }: TrustWorld): void {
  const entry = {
    length: 3,
    hashes: { sha256: "e".repeat(64) },
    custom: { artifact: "detector", releaseCounter: 5 },
  };
  const signed = targetsSigned(repository.next("releases", 90), {
    "models/detector/5/model.onnx": entry,
  });
  repository.put("targets", "releases", signed, [namedKey("thief", tools)]);
  repository.publishOnline();
}
