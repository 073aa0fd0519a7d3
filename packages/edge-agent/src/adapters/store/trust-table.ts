import { createHash } from "node:crypto";
import { must } from "@flotilla/shared/kernel/assert";
import { readFileIfExists, writeFileDurable } from "@flotilla/shared/platform/files";
import type { Database } from "@flotilla/shared/platform/sqlite";
import type { InstalledRelease, TrustedTarget, TrustState } from "@flotilla/shared/trust/state";
import type { StoredReceipt, StoredTrust, TrustStore } from "../../app/artifact/ports.ts";
import type { SqliteAgentStore } from "./sqlite-agent-store.ts";

const FILE_MODE = 0o600;

/**
 * Trust in the agent's database. Beside each metadata file stands its digest, so that damage of the disk is told apart from
 * what was once verified. After the loss of the database the damaged file is asked for what it still has, which is newer than
 * the last good copy: versions and counters go back as little as can be.
 */
export class TrustTable implements TrustStore {
  readonly #rootPath: string | undefined;
  readonly #store: SqliteAgentStore;
  readonly #statements: ReturnType<typeof prepare>;
  /** What is stored, so that only what differs is written. */
  #saved: TrustState | undefined;

  constructor(
    /** Where the first root is kept beside the database; undefined: nowhere, for a database in memory. */
    options: { readonly rootPath: string | undefined },
    deps: { readonly store: SqliteAgentStore },
  ) {
    this.#rootPath = options.rootPath;
    this.#store = deps.store;
    this.#statements = prepare(deps.store.database);
    deps.store.salvage("trust", (damaged) => this.#salvageState(damaged));
    deps.store.salvage("receipts", (damaged) => this.#salvageReceipts(damaged));
  }

  load(): StoredTrust | undefined {
    const trusted = readTrusted(this.#statements);
    if (!trusted.has("root")) return undefined;
    const state: TrustState = {
      trusted,
      floorMs: this.#value("floorMs"),
      orderRevision: this.#value("orderRevision"),
      installed: this.installed(),
    };
    this.#saved = state;
    return { state, roots: new Set(this.#statements.roots.all().map((row) => row.sha256)) };
  }

  begin(state: TrustState): void {
    const root = must(state.trusted.get("root"), "a trust state without a root");
    // The file first: a crash in between leaves a root that is begun with again.
    if (this.#rootPath !== undefined) writeFileDurable(this.#rootPath, root, FILE_MODE);
    this.#transaction(() => {
      this.#clear();
      this.#saved = undefined;
      this.#write(state);
    });
    this.#saved = state;
  }

  firstRoot(): Uint8Array | undefined {
    const text = this.#rootPath === undefined ? undefined : readFileIfExists(this.#rootPath);
    return text === undefined ? undefined : new TextEncoder().encode(text);
  }

  save(state: TrustState): void {
    this.#transaction(() => this.#write(state));
    this.#saved = state;
  }

  installed(): ReadonlyMap<string, InstalledRelease> {
    return readInstalled(this.#statements);
  }

  raiseInstalled(targets: readonly TrustedTarget[]): void {
    this.#transaction(() => {
      for (const { custom, path } of targets)
        this.#statements.raiseInstalled.run(custom.artifact, custom.releaseCounter, path);
    });
  }

  receiptsOf(path: string): readonly StoredReceipt[] {
    return this.#statements.receipts.all(path).flatMap((row) => {
      const target = targetOf(row.target);
      return target?.path === path && target.sha256 === row.sha256
        ? [{ target, installedAtMs: row.installed_at_ms }]
        : [];
    });
  }

  pathsOf(artifact: string, releaseCounter: number): readonly string[] {
    return this.#statements.release.all(artifact, releaseCounter).map((row) => row.path);
  }

  putReceipts(targets: readonly TrustedTarget[], installedAtMs: number): void {
    this.#transaction(() => {
      for (const target of targets)
        this.#statements.putReceipt.run(
          target.path,
          target.sha256,
          target.custom.artifact,
          target.custom.releaseCounter,
          JSON.stringify(target),
          installedAtMs,
        );
    });
  }

  keepReceipts(contents: ReadonlySet<string>): void {
    const gone = this.#statements.contents.all().filter(({ sha256 }) => !contents.has(sha256));
    if (gone.length === 0) return;
    this.#transaction(() => {
      for (const { sha256 } of gone) this.#statements.dropReceipts.run(sha256);
    });
  }

  alarmedMs(): number {
    return this.#value("alarmedMs");
  }

  setAlarmedMs(timeMs: number): void {
    this.#store.transaction(() => this.#statements.putValue.run("alarmedMs", timeMs));
  }

  /** Receipts and counters must not be lost with the file, so each change is a reason for a new last good copy. */
  #transaction(work: () => void): void {
    this.#store.copySoon();
    this.#store.transaction(work);
  }

  #write(state: TrustState): void {
    const saved = this.#saved;
    for (const [role, bytes] of state.trusted)
      if (saved?.trusted.get(role) !== bytes) this.#putFile(role, bytes);
    for (const role of saved?.trusted.keys() ?? [])
      if (!state.trusted.has(role)) this.#statements.dropFile.run(role);
    if (saved?.floorMs !== state.floorMs) this.#statements.putValue.run("floorMs", state.floorMs);
    if (saved?.orderRevision !== state.orderRevision)
      this.#statements.putValue.run("orderRevision", state.orderRevision);
  }

  #putFile(role: string, bytes: Uint8Array): void {
    const sha256 = digestOf(bytes);
    this.#statements.putFile.run(role, bytes, sha256);
    if (role === "root") this.#statements.putRoot.run(sha256);
  }

  #value(key: ValueKey): number {
    return this.#statements.value.get(key)?.value ?? 0;
  }

  /** All of it or nothing: what stands in the damaged file is what was true last, also when the root was another before. */
  #salvageState(damaged: Database): void {
    const from = prepareStateReads(damaged);
    const trusted = readTrusted(from);
    if (!trusted.has("root")) return;
    this.#clear();
    for (const [role, bytes] of trusted) this.#putFile(role, bytes);
    for (const { sha256 } of from.roots.all()) this.#statements.putRoot.run(sha256);
    for (const { key, value } of from.values.all()) this.#statements.putValue.run(key, value);
    for (const [artifact, { releaseCounter, path }] of readInstalled(from))
      this.#statements.raiseInstalled.run(artifact, releaseCounter, path);
  }

  #salvageReceipts(damaged: Database): void {
    const rows = damaged.prepare<[], ReceiptRow>("SELECT * FROM trust_receipt").iterate();
    for (const row of rows)
      if (targetOf(row.target) !== undefined)
        this.#statements.putReceipt.run(
          row.path,
          row.sha256,
          row.artifact,
          row.counter,
          row.target,
          row.installed_at_ms,
        );
  }

  #clear(): void {
    this.#statements.clearFiles.run();
    this.#statements.clearRoots.run();
    this.#statements.clearInstalled.run();
  }
}

type ValueKey = "floorMs" | "orderRevision" | "alarmedMs";

interface FileRow {
  readonly role: string;
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

interface InstalledRow {
  readonly artifact: string;
  readonly counter: number;
  readonly path: string;
}

interface ReceiptRow {
  readonly path: string;
  readonly sha256: string;
  readonly artifact: string;
  readonly counter: number;
  readonly target: string;
  readonly installed_at_ms: number;
}

function prepareStateReads(db: Database) {
  return {
    files: db.prepare<[], FileRow>("SELECT role, bytes, sha256 FROM trust_file"),
    roots: db.prepare<[], { readonly sha256: string }>("SELECT sha256 FROM trust_root"),
    values: db.prepare<[], { readonly key: ValueKey; readonly value: number }>(
      "SELECT key, value FROM trust_value",
    ),
    installed: db.prepare<[], InstalledRow>("SELECT artifact, counter, path FROM trust_installed"),
  };
}

function prepare(db: Database) {
  return {
    ...prepareStateReads(db),
    value: db.prepare<[ValueKey], { readonly value: number }>(
      "SELECT value FROM trust_value WHERE key = ?",
    ),
    putValue: db.prepare<[ValueKey, number]>(
      "INSERT INTO trust_value (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
    ),
    putFile: db.prepare<[string, Uint8Array, string]>(
      `INSERT INTO trust_file (role, bytes, sha256) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET bytes = excluded.bytes, sha256 = excluded.sha256`,
    ),
    dropFile: db.prepare<[string]>("DELETE FROM trust_file WHERE role = ?"),
    putRoot: db.prepare<[string]>("INSERT OR IGNORE INTO trust_root (sha256) VALUES (?)"),
    raiseInstalled: db.prepare<[string, number, string]>(
      `INSERT INTO trust_installed (artifact, counter, path) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET counter = excluded.counter, path = excluded.path
         WHERE excluded.counter > counter`,
    ),
    clearFiles: db.prepare<[]>("DELETE FROM trust_file"),
    clearRoots: db.prepare<[]>("DELETE FROM trust_root"),
    clearInstalled: db.prepare<[]>("DELETE FROM trust_installed"),
    receipts: db.prepare<[string], ReceiptRow>("SELECT * FROM trust_receipt WHERE path = ?"),
    release: db.prepare<[string, number], { readonly path: string }>(
      "SELECT DISTINCT path FROM trust_receipt WHERE artifact = ? AND counter = ?",
    ),
    contents: db.prepare<[], { readonly sha256: string }>(
      "SELECT DISTINCT sha256 FROM trust_receipt",
    ),
    putReceipt: db.prepare<[string, string, string, number, string, number]>(
      `INSERT OR IGNORE INTO trust_receipt (path, sha256, artifact, counter, target, installed_at_ms)
       VALUES (?, ?, ?, ?, ?, ?)`,
    ),
    dropReceipts: db.prepare<[string]>("DELETE FROM trust_receipt WHERE sha256 = ?"),
  };
}

type Reads = ReturnType<typeof prepareStateReads>;

/** Files whose bytes are those that were written. A file that is not is fetched again. */
function readTrusted(from: Pick<Reads, "files">): Map<string, Uint8Array> {
  const sound = from.files.all().filter((row) => digestOf(row.bytes) === row.sha256);
  return new Map(sound.map((row) => [row.role, new Uint8Array(row.bytes)]));
}

function readInstalled(from: Pick<Reads, "installed">): Map<string, InstalledRelease> {
  const rows = from.installed.all();
  return new Map(
    rows.map(({ artifact, counter, path }) => [artifact, { releaseCounter: counter, path }]),
  );
}

/** Undefined for text that this table did not write. */
function targetOf(text: string): TrustedTarget | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isTarget(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Written by this program only; damage is what is looked for here. */
function isTarget(value: unknown): value is TrustedTarget {
  return (
    typeof value === "object" &&
    value !== null &&
    "path" in value &&
    typeof value.path === "string" &&
    "sha256" in value &&
    typeof value.sha256 === "string" &&
    "length" in value &&
    typeof value.length === "number" &&
    "custom" in value &&
    typeof value.custom === "object" &&
    value.custom !== null
  );
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
