/**
 * The hub's truth on one disk: all objects in memory, every change in a durable log (SQLite, WAL, synchronous=FULL).
 * All commits that are asked for within one turn of the event loop go into one transaction, and so share one fsync.
 */
import { join } from "node:path";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import {
  type Database,
  type OpenOutcome,
  openDatabase,
  saveLastGood,
} from "@flotilla/shared/platform/sqlite";
import { withSqliteErrors } from "@flotilla/shared/platform/sqlite-errors";
import type {
  Commit,
  CommitResult,
  LogEntry,
  NodeCursor,
  ResourceStore,
  StoredDesired,
  StoreErrorCode,
} from "../../app/resources/ports.ts";
import { LogRing } from "./log-ring.ts";
import { LogTables } from "./log-tables.ts";
import { MetaTable } from "./meta-table.ts";
import { STORE_MIGRATIONS } from "./migrations.ts";
import { NodeTables } from "./node-tables.ts";
import { ObjectTable } from "./object-table.ts";
import { type Staged, Staging } from "./staging.ts";
import { openVault } from "./vault.ts";

/** Lines that a watcher can be behind before it must list again. */
export const LOG_LINES_MAX = 100_000;
/** Lines older than this go, however few there are … */
export const LOG_AGE_MS_MAX = 3_600_000;
/** … but never the newest of these, so that watchers of a quiet hub are not sent back to a list. */
export const LOG_LINES_MIN = 1_000;
/** Lines kept in memory. */
export const RING_LINES = 10_000;
/** More lines than a hub writes between two copies of its database: half an hour of 5,000 a second. */
const LOST_LINES_MAX = 10_000_000;
/** The WAL is folded into the database after this many pages (4 MiB, its length): a page that is written often is folded once. */
const HUB_WAL_CHECKPOINT_PAGES = 1_024;
/** Commits in one transaction; those beyond wait for the next one. */
export const BATCH_COMMITS_MAX = 1_000;
/** Commits that wait; beyond, a commit is refused with `store-overloaded`. */
export const COMMITS_WAITING_MAX = 50_000;

export interface SqliteStoreOptions {
  /** Folder of the database (`hub.db`) and its key (`store.key`). */
  readonly dataDir: string;
  /** Most bytes that the database may have; beyond, commits fail with `database-full`. Default: what the disk holds. */
  readonly databaseBytesMax?: number;
  readonly logLinesMax?: number;
  readonly logLinesMin?: number;
  readonly logAgeMsMax?: number;
  readonly ringLines?: number;
}

interface WaitingCommit {
  readonly commit: Commit;
  readonly resolve: (result: CommitResult) => void;
  readonly reject: (error: unknown) => void;
}

interface StagedCommit extends WaitingCommit {
  readonly result: Staged;
  /** Revision after this commit. */
  readonly revision: number;
}

/** ResourceStore over SQLite. Opened by `openResourceStore`; `close` writes what waits. */
export class SqliteResourceStore implements ResourceStore {
  /** Grows with every start, also after the database was restored or lost. */
  readonly term: number;
  /** How the database was found; after `restored` and `recreated` revisions begin far above all that were given. */
  readonly outcome: OpenOutcome;
  readonly #options: SqliteStoreOptions;
  readonly #path: string;
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #meta: MetaTable;
  readonly #lines: LogTables;
  readonly #nodes: NodeTables;
  readonly #ring: LogRing;
  readonly #table = new ObjectTable();
  readonly #cursors = new Map<string, NodeCursor>();
  readonly #desired = new Map<string, StoredDesired>();
  readonly #listeners = new Set<(entries: readonly LogEntry[]) => void>();
  #waiting: WaitingCommit[] = [];
  #flushPlanned = false;
  #closed = false;
  #revision: number;
  #compactedRevision: number;
  #savedRevision = -1;
  #isWritable = true;

  /** Throws CodedError with a StoreErrorCode or SqliteErrorCode when the database or its key cannot be used. */
  constructor(options: SqliteStoreOptions, deps: { readonly clock: Clock; readonly log: Log }) {
    this.#options = options;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#path = join(options.dataDir, "hub.db");
    const opened = openDatabase({
      path: this.#path,
      migrations: STORE_MIGRATIONS,
      log: deps.log,
      walCheckpointPages: HUB_WAL_CHECKPOINT_PAGES,
    });
    this.#db = opened.db;
    this.outcome = opened.outcome;
    try {
      this.#meta = new MetaTable({ db: this.#db });
      const keyId = this.#meta.get("keyId");
      const vault = openVault(
        join(options.dataDir, "store.key"),
        keyId === undefined ? undefined : String(keyId),
      );
      this.#lines = new LogTables({ db: this.#db, vault, log: deps.log });
      this.#nodes = new NodeTables({ db: this.#db, vault });
      this.term = this.#begin(vault.keyId);
      this.#revision = this.#lines.lastRevision();
      this.#compactedRevision = this.#meta.number("compactedRevision");
      this.#ring = new LogRing({
        lengthMax: options.ringLines ?? RING_LINES,
        revision: this.#revision,
      });
      this.#load();
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  get revision(): number {
    return this.#revision;
  }

  /** False after a transaction that failed, until one succeeds: a full or broken disk. */
  get isWritable(): boolean {
    return this.#isWritable;
  }

  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  get<K extends KindName>(kind: K, namespace: string, name: string): ObjectOf<K> | undefined {
    return this.#table.get({ kind, namespace, name });
  }

  list<K extends KindName>(kind: K, namespace?: string): readonly ObjectOf<K>[] {
    return this.#table.list(kind, namespace);
  }

  cursor(nodeId: string): NodeCursor | undefined {
    return this.#cursors.get(nodeId);
  }

  desired(nodeId: string): StoredDesired | undefined {
    return this.#desired.get(nodeId);
  }

  subscribe(listener: (entries: readonly LogEntry[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  logAfter(revision: number, limit: number): readonly LogEntry[] | undefined {
    if (revision >= this.#revision) return [];
    if (revision < this.#compactedRevision) return undefined;
    return this.#ring.after(revision, limit) ?? this.#lines.after(revision, limit);
  }

  /**
   * Rejects with a CodedError: `database-full` and other SqliteErrorCodes, `object-too-large`, `store-overloaded`,
   * `store-closed`. Nothing was written then, and memory is as it was.
   */
  commit(commit: Commit): Promise<CommitResult> {
    if (this.#closed)
      return Promise.reject(
        new CodedError<StoreErrorCode>("store-closed", "the store is closed: the hub is stopping"),
      );
    if (this.#waiting.length >= COMMITS_WAITING_MAX)
      return Promise.reject(
        new CodedError<StoreErrorCode>(
          "store-overloaded",
          `${COMMITS_WAITING_MAX} commits wait for the disk`,
          { mend: "Try again later; look at the disk's write latency if it goes on." },
        ),
      );
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commit, resolve, reject });
      this.#planFlush();
    });
  }

  /** Removes old lines from the log. Returns how many. Takes longer the larger the log; call it every few minutes. */
  compact(): number {
    const linesMin = this.#options.logLinesMin ?? LOG_LINES_MIN;
    const linesMax = this.#options.logLinesMax ?? LOG_LINES_MAX;
    const oldestMs = this.#clock.wallMs() - (this.#options.logAgeMsMax ?? LOG_AGE_MS_MAX);
    const byAge = this.#lines.revisionBefore(oldestMs, this.#compactedRevision);
    const cut = Math.min(Math.max(byAge, this.#revision - linesMax), this.#revision - linesMin);
    if (cut <= this.#compactedRevision) return 0;
    const removed = this.#transaction(() => {
      this.#meta.set("compactedRevision", cut);
      return this.#lines.compact(cut);
    });
    this.#compactedRevision = cut;
    this.#log.debug({ cut, removed }, "log compacted");
    return removed;
  }

  /** Writes the copy that is restored when the database is damaged; nothing when nothing has changed since the last. */
  backup(): void {
    if (this.#savedRevision === this.#revision) return;
    saveLastGood(this.#db, this.#path);
    this.#savedRevision = this.#revision;
  }

  /** Writes what waits, then closes the files. Later commits are refused. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    while (this.#waiting.length > 0) this.#flush();
    this.#db.close();
  }

  /** First transaction of a start. The wall clock takes part so that a term is never given twice, whatever was lost. */
  #begin(keyId: string): number {
    const nowMs = Math.max(0, Math.floor(this.#clock.wallMs()));
    const term = Math.max(this.#meta.number("term") + 1, Math.floor(nowMs / 1000));
    this.#transaction(() => {
      this.#meta.set("term", term);
      this.#meta.set("keyId", keyId);
      if (this.outcome !== "restored" && this.outcome !== "recreated") return;
      // Clients hold versions that were lost. Numbers in milliseconds are above them: no hub writes a line each millisecond.
      // Should the clock say 1970, what was written since the copy is stepped over at least.
      const revision = Math.max(this.#lines.lastRevision() + LOST_LINES_MAX, nowMs);
      this.#lines.skipTo(revision);
      this.#meta.set("compactedRevision", revision);
      this.#log.warn({ revision, outcome: this.outcome }, "revisions begin anew");
    });
    return term;
  }

  #load(): void {
    for (const { key, object } of this.#lines.currentObjects()) this.#table.set(key, object);
    for (const cursor of this.#nodes.cursors()) this.#cursors.set(cursor.nodeId, cursor);
    for (const desired of this.#nodes.desired()) this.#desired.set(desired.nodeId, desired);
    const bytesMax = this.#options.databaseBytesMax;
    if (bytesMax === undefined) return;
    const pageBytes = Number(this.#db.pragma("page_size", { simple: true }));
    this.#db.pragma(`max_page_count = ${Math.max(1, Math.floor(bytesMax / pageBytes))}`);
  }

  #planFlush(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    setImmediate(() => {
      this.#flushPlanned = false;
      if (!this.#closed) this.#flush();
      if (this.#waiting.length > 0) this.#planFlush();
    });
  }

  #flush(): void {
    const staged = this.#stageAll(this.#waiting.splice(0, BATCH_COMMITS_MAX));
    try {
      if (staged.some(({ commit, result }) => result.ok && writesAnything(commit, result)))
        this.#transaction(() => this.#writeAll(staged));
      this.#isWritable = true;
    } catch (error) {
      this.#isWritable = false;
      // A conflict may have been with a commit of this batch, so that answer is not known either.
      this.#log.error({ reason: messageOf(error), commits: staged.length }, "commits not written");
      for (const commit of staged) commit.reject(error);
      return;
    }
    this.#show(staged);
    for (const { resolve, result, revision } of staged)
      resolve(
        result.ok
          ? { ok: true, revision, entries: result.lines.map((line) => line.entry) }
          : result,
      );
  }

  #stageAll(batch: readonly WaitingCommit[]): readonly StagedCommit[] {
    const staging = new Staging({ revision: this.#revision }, { table: this.#table });
    const staged: StagedCommit[] = [];
    for (const waiting of batch) {
      try {
        const result = staging.stage(waiting.commit);
        staged.push({ ...waiting, result, revision: staging.revision });
      } catch (error) {
        waiting.reject(error);
      }
    }
    return staged;
  }

  #writeAll(staged: readonly StagedCommit[]): void {
    const atMs = Math.floor(this.#clock.wallMs());
    for (const { result, commit } of staged) {
      if (!result.ok) continue;
      for (const line of result.lines) this.#lines.append(line, atMs);
      for (const nodeId of nodesDeleted(result)) this.#nodes.forget(nodeId);
      for (const cursor of commit.cursors ?? []) this.#nodes.putCursor(cursor);
      for (const desired of commit.desired ?? []) this.#nodes.putDesired(desired);
    }
  }

  #show(staged: readonly StagedCommit[]): void {
    const entries = staged.flatMap(({ result }) =>
      result.ok ? result.lines.map((line) => line.entry) : [],
    );
    for (const { key, type, object } of entries)
      if (type === "DELETED") this.#table.delete(key);
      else this.#table.set(key, object);
    for (const { commit, result } of staged) {
      if (!result.ok) continue;
      for (const nodeId of nodesDeleted(result)) {
        this.#cursors.delete(nodeId);
        this.#desired.delete(nodeId);
      }
      for (const cursor of commit.cursors ?? []) this.#cursors.set(cursor.nodeId, { ...cursor });
      for (const desired of commit.desired ?? []) this.#desired.set(desired.nodeId, { ...desired });
    }
    this.#revision = entries.at(-1)?.revision ?? this.#revision;
    this.#ring.push(entries);
    if (entries.length > 0) this.#tell(entries);
  }

  #tell(entries: readonly LogEntry[]): void {
    for (const listener of this.#listeners) {
      try {
        listener(entries);
      } catch (error) {
        this.#log.error({ reason: messageOf(error) }, "a listener of the store failed");
      }
    }
  }

  #transaction<T>(work: () => T): T {
    return withSqliteErrors(this.#path, () => this.#db.transaction(work).immediate());
  }
}

function nodesDeleted(staged: Extract<Staged, { ok: true }>): readonly string[] {
  return staged.lines
    .filter(({ entry }) => entry.type === "DELETED" && entry.key.kind === "EdgeNode")
    .map(({ entry }) => entry.key.name);
}

function writesAnything(commit: Commit, result: Extract<Staged, { ok: true }>): boolean {
  return (
    result.lines.length > 0 ||
    (commit.cursors ?? []).length > 0 ||
    (commit.desired ?? []).length > 0
  );
}
