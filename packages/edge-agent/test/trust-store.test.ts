import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import type { TufRepository } from "@flotilla/shared/testing/tuf-repository";
import type { TrustState } from "@flotilla/shared/trust/state";
import { afterEach, describe, expect, test } from "vitest";
import { SqliteAgentStore } from "../src/adapters/store/sqlite-agent-store.ts";
import { TrustTable } from "../src/adapters/store/trust-table.ts";
import type { TrustStore } from "../src/app/artifact/ports.ts";
import { acceptedDesired } from "./support/desired.ts";
import { endOf, newRepository, TrustWorld, targetsOf } from "./support/trust-world.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "trust-store-"));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function openStore(directory: string): SqliteAgentStore {
  return new SqliteAgentStore(
    { directory },
    { clock: new ManualClock(), random: new SeededRandom(3), log: silentLog() },
  );
}

class PowerCut extends Error {}

/** Writes to a table until the power goes, right before or right after one of them. */
class CutWrites {
  readonly #at: number;
  readonly #isAfter: boolean;
  count = 0;

  constructor(options: { readonly at: number; readonly isAfter: boolean }) {
    this.#at = options.at;
    this.#isAfter = options.isAfter;
  }

  wrap(table: TrustStore): TrustStore {
    const cut = <A extends readonly unknown[]>(write: (...args: A) => void) => {
      return (...args: A): void => {
        this.count += 1;
        if (this.count === this.#at && !this.#isAfter) throw new PowerCut();
        write(...args);
        if (this.count === this.#at) throw new PowerCut();
      };
    };
    return {
      load: () => table.load(),
      firstRoot: () => table.firstRoot(),
      installed: () => table.installed(),
      receiptsOf: (path) => table.receiptsOf(path),
      pathsOf: (artifact, counter) => table.pathsOf(artifact, counter),
      alarmedMs: () => table.alarmedMs(),
      begin: cut((state: TrustState) => table.begin(state)),
      save: cut((state: TrustState) => table.save(state)),
      raiseInstalled: cut((targets) => table.raiseInstalled(targets)),
      putReceipts: cut((targets, atMs) => table.putReceipts(targets, atMs)),
      keepReceipts: cut((contents) => table.keepReceipts(contents)),
      setAlarmedMs: cut((timeMs) => table.setAlarmedMs(timeMs)),
    };
  }
}

/** Versions by role, and counters by artifact: what must not go back. */
function numbersOf(directory: string): ReadonlyMap<string, number> {
  const store = openStore(directory);
  const table = new TrustTable({ rootPath: undefined }, { store });
  const stored = table.load();
  const versions = [...(stored?.state.trusted ?? [])].map(([role, bytes]) => {
    const { signed } = JSON.parse(new TextDecoder().decode(bytes));
    return [role, Number(signed.version)] as const;
  });
  const counters = [...table.installed()].map(
    ([artifact, { releaseCounter }]) => [`counter ${artifact}`, releaseCounter] as const,
  );
  store.close();
  return new Map([...versions, ...counters, ["order", stored?.state.orderRevision ?? 0]]);
}

/** Installs release 1, then, by keys that were changed twice, release 2. */
async function live(directory: string, repository: TufRepository, cut: CutWrites): Promise<void> {
  const store = openStore(directory);
  try {
    const world = new TrustWorld({
      store,
      repository,
      rootPath: join(directory, "trust-root.json"),
      wrap: (table) => cut.wrap(table),
    });
    const known = world.table.installed().get("detector")?.releaseCounter ?? 0;
    world.revision = known + 1;
    for (let counter = known + 1; counter <= 2; counter++) {
      if (counter === 2 && repository.files.get("2.root.json") === "absent") {
        repository.rotate("root", ["root-d", "root-e", "root-f"], 2);
        repository.rotate("snapshot", ["snapshot-b"], 1);
        repository.publish();
      }
      const verdict = (await world.judge({ a: [world.release(counter)] }))["a"];
      expect(endOf(verdict)).toBe("accepted");
      store.transaction(() => world.gate.prepared(targetsOf(verdict)));
      store.transaction(() => world.gate.installed(targetsOf(verdict)));
      world.revision += 1;
      await world.clock.advance(3_600_000);
    }
  } finally {
    store.close();
  }
}

async function countWrites(): Promise<number> {
  const cut = new CutWrites({ at: 0, isAfter: false });
  await live(temporaryDirectory(), newRepository(), cut);
  return cut.count;
}

describe("power cuts", () => {
  test("at any write of trust the next start goes on, and no version or counter goes back", async () => {
    const writes = await countWrites();
    expect(writes).toBeGreaterThan(12);
    for (let at = 1; at <= writes; at++)
      for (const isAfter of [false, true]) {
        const directory = temporaryDirectory();
        const repository = newRepository();
        const cut = new CutWrites({ at, isAfter });
        await expect(live(directory, repository, cut)).rejects.toThrow(PowerCut);
        const before = numbersOf(directory);
        await live(directory, repository, new CutWrites({ at: 0, isAfter }));
        const after = numbersOf(directory);
        for (const [name, number] of before)
          expect([name, after.get(name)]).toEqual([name, Math.max(number, after.get(name) ?? -1)]);
        expect(after.get("counter detector")).toBe(2);
        expect(after.get("root")).toBe(3);
      }
  });
});

describe("damage", () => {
  async function installedWorld(directory: string): Promise<TrustWorld> {
    const store = openStore(directory);
    store.acceptDesired(acceptedDesired({ revision: 1 }));
    const rootPath = join(directory, "trust-root.json");
    const world = new TrustWorld({ store, rootPath });
    await world.install("a", [world.release(1)]);
    return world;
  }

  test("a file that was altered on the disk is not trusted; it is fetched again", async () => {
    const directory = temporaryDirectory();
    const world = await installedWorld(directory);
    world.store.database
      .prepare("UPDATE trust_file SET bytes = zeroblob(10) WHERE role = 'timestamp'")
      .run();
    world.store.close();
    const store = openStore(directory);
    const again = new TrustWorld({ store, repository: world.repository });
    expect([...(again.table.load()?.state.trusted.keys() ?? [])]).not.toContain("timestamp");
    again.revision = 3;
    expect(endOf((await again.judge({ a: [again.release(2)] }))["a"])).toBe("accepted");
    store.close();
  });

  test("with the database lost the remembered root counts, not what the hub gives now", async () => {
    const directory = temporaryDirectory();
    const world = await installedWorld(directory);
    world.store.close();
    const root = readFileSync(join(directory, "trust-root.json"));
    expect(statSync(join(directory, "trust-root.json")).mode & 0o777).toBe(0o600);
    const bare = temporaryDirectory();
    writeFileSync(join(bare, "trust-root.json"), root);
    const others = newRepository();
    others.setKeys("root", ["m-a", "m-b", "m-c"], 2);
    others.skipTo("root", 0);
    others.publishRoot();
    const store = openStore(bare);
    const rootPath = join(bare, "trust-root.json");
    const after = new TrustWorld({ store, rootPath, repository: others });
    expect(after.gate.report()?.rootVersion).toBe(1);
    after.hub.takeAsked();
    await after.judge({ a: [after.release(1)] });
    expect(after.hub.takeAsked()).not.toContain("metadata/1.root.json");
    store.close();
  });

  test("what the damaged file still tells is newer than its copy, and is taken", async () => {
    const directory = temporaryDirectory();
    const world = await installedWorld(directory);
    const { repository } = world;
    world.store.close();
    const later = openStore(directory);
    const next = new TrustWorld({ store: later, repository });
    next.revision = 5;
    const installed = targetsOf(await next.install("a", [next.release(2)]));
    for (let i = 0; i < 500; i++)
      later.enqueue({ kind: "notice", body: { order: "x".repeat(100) } });
    // The copy of the close is as new as the file; an older one is put in its place.
    const path = join(directory, "agent.db");
    const copy = readFileSync(`${path}.last-good`);
    later.close();
    writeFileSync(`${path}.last-good`, copy);
    const whole = readFileSync(path);
    whole.fill(0xa5, whole.length - 12_000, whole.length - 6_000);
    writeFileSync(path, whole);

    const store = openStore(directory);
    expect(store.outcome).toBe("restored");
    const after = new TrustWorld({ store, repository });
    expect(after.table.installed().get("detector")?.releaseCounter).toBe(2);
    for (const { path: target, length, sha256 } of installed)
      expect(after.gate.mayRun(target, { length, sha256 })).toBe(true);
    store.close();
  });
});
