import { createHash } from "node:crypto";
import type { DeltaBlock, DeltaManifest } from "@flotilla/shared/delta/envelope";
import { must } from "@flotilla/shared/kernel/assert";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { applyDelta } from "@flotilla/shared/platform/delta/apply";
import type { FileSystem } from "@flotilla/shared/platform/file-system";
import { CrashFiles, PowerCut } from "@flotilla/shared/testing/crash-files";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { FileBlobs } from "../../src/adapters/artifact-store/file-blobs.ts";
import { FileSlots } from "../../src/adapters/artifact-store/file-slots.ts";
import { BlobTable } from "../../src/adapters/store/blob-table.ts";
import { SqliteAgentStore } from "../../src/adapters/store/sqlite-agent-store.ts";
import type { SlotFile } from "../../src/app/artifact/ports.ts";

const ROOT = "/state/artifacts";

function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Bytes of file `name` in version `version`: three parts, of which the middle one changes from version to version. */
function contentOf(name: string, version: number): Uint8Array {
  const begin = new SeededRandom(name.length).bytes(700, "begin");
  const middle = new SeededRandom(version * 100 + name.length).bytes(900, "middle");
  const end = new SeededRandom(name.length + 7).bytes(600, "end");
  return Uint8Array.from([...begin, ...middle, ...end]);
}

/** A delta of small blocks: the begin is copied from the base, the rest is stored. Without a base all is stored. */
function deltaOf(
  base: Uint8Array | undefined,
  target: Uint8Array,
): { readonly manifest: DeltaManifest; readonly payload: Uint8Array } {
  const cuts = [0, 700, 1_500, target.length];
  const blocks = cuts.slice(1).map((end, i): DeltaBlock & { readonly bytes: Uint8Array } => {
    const part = target.subarray(cuts[i], end);
    const isCopy = base !== undefined && i === 0;
    const bytes = isCopy ? new Uint8Array(0) : part;
    return {
      codec: isCopy ? "copy" : "stored",
      targetLength: part.length,
      payloadLength: bytes.length,
      payloadSha256: createHash("sha256").update(bytes).digest(),
      targetSha256: createHash("sha256").update(part).digest(),
      ranges: isCopy ? [{ offset: 0, length: part.length }] : [],
      bytes,
    };
  });
  const identity = (bytes: Uint8Array) => ({
    size: bytes.length,
    sha256: createHash("sha256").update(bytes).digest(),
  });
  return {
    manifest: { base: base && identity(base), target: identity(target), map: undefined, blocks },
    payload: Buffer.concat(blocks.map((block) => block.bytes)),
  };
}

/** The agent's database on the disk that can be cut: each transaction is one operation of it, whole or not at all. */
function guardedStore(
  disk: CrashFiles,
  store: SqliteAgentStore,
): Pick<SqliteAgentStore, "transaction" | "database"> {
  return {
    database: store.database,
    transaction: (work) => disk.around("commit", () => store.transaction(work)),
  };
}

export function memoryStore(): SqliteAgentStore {
  return storeIn(":memory:");
}

/** Whether it is the power that went, and not a failure. */
export function isCut(error: unknown): boolean {
  return error instanceof PowerCut || (error instanceof Error && error.cause instanceof PowerCut);
}

const INSTANCE = "shop.vision.detector-0";
/** Files of a version: one that changes, one that stays, one in a folder of its own. */
const PATHS: readonly (readonly [path: string, name: string, changes: boolean])[] = [
  ["model/weights.bin", "weights", true],
  ["model/labels.txt", "labels", false],
  ["model/conf/a.json", "a", true],
];

type VersionFile = SlotFile & { readonly bytes: Uint8Array };

function makeFiles(version: number): readonly VersionFile[] {
  return PATHS.map(([path, name, changes]) => {
    const bytes = contentOf(name, changes ? version : 0);
    return { path, sha256: sha256Hex(bytes), lengthBytes: bytes.length, bytes };
  });
}

const VERSIONS: readonly (readonly VersionFile[])[] = [0, 1, 2, 3].map(makeFiles);

function versionFiles(version: number): readonly VersionFile[] {
  return must(VERSIONS[version], `there is a version ${version}`);
}

/** The whole of a node's artifact life on one small disk: three versions come, and the third is taken back. */
const STEPS: readonly (
  | { readonly kind: "install"; readonly version: number }
  | { readonly kind: "roll-back"; readonly version: number }
)[] = [
  { kind: "install", version: 1 },
  { kind: "install", version: 2 },
  { kind: "install", version: 3 },
  { kind: "roll-back", version: 2 },
];

/** What the plainest of agents works on. */
export interface PlainAgentParts {
  readonly files: FileSystem;
  readonly root: string;
  readonly store: Pick<SqliteAgentStore, "transaction" | "database">;
}

/**
 * Contents and slots, driven by the plainest of agents: it looks where it is, goes on from there, and writes down each step when it
 * is done.
 */
export class PlainAgent {
  readonly #given: PlainAgentParts;
  #parts: { readonly blobs: FileBlobs; readonly slots: FileSlots } | undefined;

  constructor(given: PlainAgentParts) {
    this.#given = given;
    given.store.database.exec(`
      CREATE TABLE IF NOT EXISTS test_step (done INTEGER NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS test_part (sha256 TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT;
      INSERT INTO test_step SELECT 0 WHERE NOT EXISTS (SELECT * FROM test_step);
    `);
  }

  get done(): number {
    const { database } = this.#given.store;
    return Number(database.prepare("SELECT done FROM test_step").pluck().get());
  }

  get isFinished(): boolean {
    return this.done === STEPS.length;
  }

  /** The process ends; its memory is gone. */
  halt(): void {
    this.#parts = undefined;
  }

  /** From wherever the last life ended, to the end, or until so many steps are done. Rejects when something is in the way. */
  async live(until: number = STEPS.length): Promise<void> {
    const { blobs, slots } = (this.#parts ??= await this.#start());
    const { store } = this.#given;
    while (this.done < until) {
      const step = STEPS[this.done];
      if (step === undefined) return;
      await this.#do(step, blobs, slots);
      store.transaction(() => store.database.prepare("UPDATE test_step SET done = done + 1").run());
    }
  }

  /** What is wrong with what `current` leads to; undefined when it is a whole version that may be there. */
  damage(): string | undefined {
    if (this.done === 0) return undefined;
    const allowed = [STEPS[this.done - 1], STEPS[this.done]].flatMap((step) => step ?? []);
    const found = this.#readCurrent();
    const version = allowed.find((step) => matches(found, versionFiles(step.version)));
    if (version !== undefined) return undefined;
    return `current has ${JSON.stringify(found)}, allowed are versions ${allowed.map((s) => s.version).join(", ")}`;
  }

  async #start(): Promise<{ readonly blobs: FileBlobs; readonly slots: FileSlots }> {
    const log = silentLog();
    const { files, root, store } = this.#given;
    const common = { files, log };
    const rows = new BlobTable({ store });
    const blobs = new FileBlobs(
      { root, reserveBytes: 0 },
      {
        ...common,
        rows,
        clock: new ManualClock(),
        needed: () => new Set(),
        makeWay: () => undefined,
      },
    );
    const slots = new FileSlots({ root }, { ...common, blobs });
    slots.sweep(new Set([INSTANCE]));
    await blobs.recover(() => true);
    return { blobs, slots };
  }

  async #do(step: (typeof STEPS)[number], blobs: FileBlobs, slots: FileSlots): Promise<void> {
    const files = versionFiles(step.version);
    const current = slots.current(INSTANCE);
    if (current !== undefined && (await slots.intact(INSTANCE, current, files)).kind === "intact")
      return slots.switchTo(INSTANCE, current);
    const next = current === "a" ? "b" : "a";
    if (step.kind === "install") {
      for (const file of files) await this.#fetch(file, step.version, blobs);
      await slots.prepare(INSTANCE, next, files);
    }
    slots.switchTo(INSTANCE, next);
  }

  async #fetch(file: VersionFile, version: number, blobs: FileBlobs): Promise<void> {
    const { sha256, bytes } = file;
    if (blobs.has(sha256)) return;
    if (await blobs.verify(sha256)) return;
    const base = versionFiles(version - 1).find((f) => f.path === file.path);
    const hasBase = base !== undefined && blobs.has(base.sha256);
    const { manifest, payload } = deltaOf(hasBase ? base.bytes : undefined, bytes);
    const { files, store } = this.#given;
    const { database } = store;
    const known = database.prepare("SELECT next FROM test_part WHERE sha256 = ?").pluck();
    const put = database.prepare("INSERT OR REPLACE INTO test_part VALUES (?, ?)");
    const record = (next: number): void => {
      store.transaction(() => put.run(sha256, next));
    };
    const options = {
      manifest,
      basePath: hasBase ? blobs.pathOf(base.sha256) : undefined,
      targetPath: blobs.partPathOf(sha256),
      firstBlock: Number(known.get(sha256) ?? 0),
      files,
    };
    const source = {
      read: (offset: number, length: number) =>
        Promise.resolve(payload.subarray(offset, offset + length)),
    };
    try {
      await applyDelta(options, source, record);
      await blobs.complete(sha256, bytes.length);
    } catch (error) {
      // What was written may be damaged: from the begin again.
      if (error instanceof CodedError) record(0);
      throw error;
    }
  }

  #readCurrent(): ReadonlyMap<string, string> | string {
    const { files, root } = this.#given;
    const current = `${root}/slots/${INSTANCE}/current`;
    try {
      return new Map(
        PATHS.map(([path]) => {
          const fd = files.open(`${current}/${path}`, "read");
          const bytes = new Uint8Array(4_096);
          const count = files.read(fd, bytes, 0);
          files.close(fd);
          return [path, sha256Hex(bytes.subarray(0, count))];
        }),
      );
    } catch (error) {
      return messageOf(error);
    }
  }
}

/** The plain agent on a disk that can be cut and fail at every operation. */
export class CrashNode extends PlainAgent {
  readonly disk: CrashFiles;

  /**
   * The store is emptied: making one takes longer than the whole life. `between`: the disk as the agent uses it; a test may put
   * mistakes in between.
   */
  constructor(store: SqliteAgentStore, between: (disk: CrashFiles) => FileSystem = (disk) => disk) {
    const disk = new CrashFiles();
    disk.mkdir("/state");
    disk.mkdir(ROOT);
    disk.syncFolder("/");
    disk.syncFolder("/state");
    disk.arm();
    store.database.exec(
      "DROP TABLE IF EXISTS test_step; DROP TABLE IF EXISTS test_part; DELETE FROM blob;",
    );
    super({ files: between(disk), root: ROOT, store: guardedStore(disk, store) });
    this.disk = disk;
  }
}

function matches(found: ReadonlyMap<string, string> | string, files: readonly SlotFile[]): boolean {
  return typeof found !== "string" && files.every((file) => found.get(file.path) === file.sha256);
}

export function storeIn(directory: string): SqliteAgentStore {
  const deps = { clock: new ManualClock(), random: new SeededRandom(1), log: silentLog() };
  return new SqliteAgentStore({ directory }, deps);
}
