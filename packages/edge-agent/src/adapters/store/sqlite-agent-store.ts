/**
 * The agent's memory: one SQLite file `agent.db` in the state directory, and beside it the small file `epoch`, which
 * outlives the database. What a method has done when it returns survives a power cut (synchronous=FULL).
 */
import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { assert } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Log } from "@flotilla/shared/kernel/service";
import { DesiredState } from "@flotilla/shared/model/desired-state";
import { type Database, openDatabase, saveLastGood } from "@flotilla/shared/platform/sqlite";
import { withSqliteErrors } from "@flotilla/shared/platform/sqlite-errors";
import Sqlite from "better-sqlite3";
import { Check } from "typebox/value";
import {
  type AcceptedDesired,
  type AgentStore,
  type InstanceRecord,
  OUTBOX_COUNT_MAX,
  type OutboxDraft,
  type OutboxMessage,
} from "../../app/state/ports.ts";
import { AGENT_MIGRATIONS } from "./agent-schema.ts";
import { FloorFile } from "./floor-file.ts";
import { OutboxTable } from "./outbox-table.ts";

/** Largest database file: a full one refuses new records, so that a flood never takes the workloads' disk. */
export const AGENT_DATABASE_BYTES_MAX: number = 64 * 1024 * 1024;
/** Shortest time between two last good copies, by the boot clock. */
export const LAST_GOOD_INTERVAL_MS: number = 10 * 60_000;
/** A commit of one small record writes about 2.5 KB with pages of this size and 5.6 KB with 4 KiB. */
const PAGE_BYTES = 1024;

export interface AgentStoreOptions {
  /** The state directory, or ":memory:" for tests. */
  readonly directory: string;
  readonly databaseBytesMax?: number;
  readonly outboxCountMax?: number;
}

export interface AgentStoreDeps {
  readonly clock: Pick<Clock, "bootMs">;
  readonly random: Random;
  readonly log: Log;
}

/** Opens, or makes, the agent's store. When the constructor returns, the new epoch is durable. */
export class SqliteAgentStore implements AgentStore {
  /** How the database came about at this start. */
  readonly outcome: ReturnType<typeof openDatabase>["outcome"];
  readonly #path: string;
  readonly #deps: AgentStoreDeps;
  readonly #db: Database;
  readonly #outbox: OutboxTable;
  readonly #floor: FloorFile;
  readonly #statements: ReturnType<typeof prepare>;
  #epoch = 0;
  #seq = 0;
  /** Of the row with the same revision; the row decides, so that a rollback cannot leave a wrong one. */
  #desired: AcceptedDesired | undefined;
  #instances: Map<string, InstanceRecord> | undefined;
  #copyIsDue = false;
  #copiedBootMs: number | undefined;

  constructor(options: AgentStoreOptions, deps: AgentStoreDeps) {
    const inMemory = options.directory === ":memory:";
    this.#path = inMemory ? ":memory:" : join(options.directory, "agent.db");
    this.#deps = deps;
    const opened = openDatabase({
      path: this.#path,
      migrations: AGENT_MIGRATIONS,
      log: deps.log,
      pageBytes: PAGE_BYTES,
    });
    this.outcome = opened.outcome;
    this.#db = opened.db;
    const bytesMax = options.databaseBytesMax ?? AGENT_DATABASE_BYTES_MAX;
    this.#db.pragma(`max_page_count = ${Math.ceil(bytesMax / PAGE_BYTES)}`);
    this.#statements = prepare(this.#db);
    const countMax = options.outboxCountMax ?? OUTBOX_COUNT_MAX;
    this.#outbox = new OutboxTable({ countMax }, { db: this.#db, random: deps.random });
    const floorPath = inMemory ? undefined : join(options.directory, "epoch");
    this.#floor = new FloorFile({ path: floorPath }, { log: deps.log });
    this.#salvageInstances();
    this.#dropUnknown();
    this.#takeEpoch(Math.max(this.#meta("epoch"), this.#floor.floors.epoch) + 1);
  }

  get epoch(): number {
    return this.#epoch;
  }

  get droppedCount(): number {
    return this.#meta("dropped");
  }

  /** For the tables of this folder. What they write they write within `transaction`. */
  get database(): Database {
    return this.#db;
  }

  /** The last good copy is written after the next transaction, if it is old enough: for what must not be lost with the file. */
  copySoon(): void {
    this.#copyIsDue = true;
  }

  /**
   * Lets a table take what it can from the damaged file, which is newer than the last good copy. Does nothing when the database
   * was sound. Never throws on damage: `take` is cut off where the file cannot be read, and what it wrote until then is undone.
   */
  salvage(what: string, take: (damaged: Database) => void): void {
    if (this.outcome !== "restored" && this.outcome !== "recreated") return;
    const path = newestCorrupt(this.#path);
    if (path === undefined) return;
    try {
      const damaged = new Sqlite(path, { readonly: true });
      try {
        this.transaction(() => take(damaged));
        this.#deps.log.warn({ what }, "salvaged from the damaged database");
      } finally {
        damaged.close();
      }
    } catch (error) {
      this.#deps.log.warn({ what, error: messageOf(error) }, "nothing could be salvaged");
    }
  }

  transaction<T>(work: () => T): T {
    try {
      const result = withSqliteErrors(this.#path, () => this.#db.transaction(work).immediate());
      this.#copyWhenDue();
      return result;
    } catch (error) {
      this.#instances = undefined;
      throw error;
    }
  }

  raiseEpoch(epoch: number): void {
    assert(epoch > this.#epoch, `the epoch only grows: ${epoch} after ${this.#epoch}`);
    this.#takeEpoch(epoch);
  }

  nextSeq(): number {
    this.#seq += 1;
    return this.#seq;
  }

  desired(): AcceptedDesired | undefined {
    const row = this.#statements.desiredRevision.get();
    if (row === undefined) return undefined;
    if (this.#desired?.state.revision !== row.revision) this.#desired = this.#readDesired();
    return this.#desired;
  }

  revisionFloor(): number {
    const held = this.#statements.desiredRevision.get()?.revision ?? 0;
    return Math.max(held + 1, this.#floor.floors.revision);
  }

  acceptDesired(desired: AcceptedDesired): void {
    const { revision } = desired.state;
    const floor = this.revisionFloor();
    assert(revision >= floor, `revisions only grow: ${revision} is below ${floor}`);
    // The floor first: a crash in between leaves a floor that this very revision still passes.
    this.#floor.raise({ revision });
    this.#copyIsDue = true;
    this.transaction(() =>
      this.#statements.putDesired.run(revision, desired.payload, desired.signature, desired.keyId),
    );
    this.#desired = desired;
  }

  convergedRevision(): number {
    return this.#meta("converged");
  }

  setConvergedRevision(revision: number): void {
    if (revision === this.convergedRevision()) return;
    this.transaction(() => this.#setMeta("converged", revision));
  }

  instances(): readonly InstanceRecord[] {
    this.#instances ??= new Map(this.#readInstances(this.#db).map((r) => [r.id, r]));
    return [...this.#instances.values()];
  }

  putInstance(record: InstanceRecord): void {
    this.transaction(() => this.#statements.putInstance.run(record.id, JSON.stringify(record)));
    this.#instances?.set(record.id, record);
  }

  deleteInstance(id: string): void {
    this.transaction(() => this.#statements.deleteInstance.run(id));
    this.#instances?.delete(id);
  }

  enqueue(message: OutboxDraft): void {
    this.transaction(() => {
      const dropped = this.#outbox.add(message);
      if (dropped > 0) this.#setMeta("dropped", this.#meta("dropped") + dropped);
    });
  }

  outbox(limit: number): readonly OutboxMessage[] {
    return this.#outbox.list(limit);
  }

  outboxCount(): number {
    return this.#outbox.count();
  }

  acknowledge(ids: readonly string[]): void {
    if (ids.length === 0) return;
    this.transaction(() => {
      for (const id of ids) this.#outbox.remove(id);
    });
  }

  supersedeReports(): void {
    this.transaction(() => this.#outbox.removeReports());
  }

  /** Folds the WAL in and closes the file. Nothing is lost without it. */
  close(): void {
    if (this.#copyIsDue) this.#copy();
    this.#db.close();
  }

  #takeEpoch(epoch: number): void {
    this.#floor.raise({ epoch });
    this.transaction(() => this.#setMeta("epoch", epoch));
    this.#epoch = epoch;
    this.#seq = 0;
  }

  /** After a step back to an older version there may be messages that only the newer one knows. */
  #dropUnknown(): void {
    this.transaction(() => {
      const count = this.#outbox.removeUnknown();
      if (count === 0) return;
      this.#setMeta("dropped", this.#meta("dropped") + count);
      this.#deps.log.warn({ count }, "messages of another version of this agent are dropped");
    });
  }

  #meta(key: MetaKey): number {
    return this.#statements.getMeta.get(key)?.value ?? 0;
  }

  #setMeta(key: MetaKey, value: number): void {
    this.#statements.putMeta.run(key, value);
  }

  /** Undefined, and said, when the row is no desired state that this program knows. */
  #readDesired(): AcceptedDesired | undefined {
    const row = this.#statements.desired.get();
    if (row === undefined) return undefined;
    const state = parsed(row.payload);
    if (!Check(DesiredState, state)) {
      this.#deps.log.error({ revision: row.revision }, "the stored desired state cannot be read");
      return undefined;
    }
    return { state, payload: row.payload, signature: row.signature, keyId: row.key_id };
  }

  #readInstances(db: Database): readonly InstanceRecord[] {
    return db
      .prepare<[], { readonly record: string }>("SELECT record FROM instance ORDER BY id")
      .all()
      .flatMap((row) => {
        const record = parsed(row.record);
        if (isInstanceRecord(record)) return [record];
        this.#deps.log.error({}, "a stored instance record cannot be read and is left out");
        return [];
      });
  }

  /**
   * What runs is told apart by its environment, so workloads survive the loss of these records; they hold restart counts
   * and outcomes of jobs, which are newer in the damaged file than in the last good copy. What can be read there is taken.
   */
  #salvageInstances(): void {
    this.salvage("instance records", (damaged) => {
      for (const record of this.#readInstances(damaged)) this.putInstance(record);
    });
  }

  #copyWhenDue(): void {
    if (!this.#copyIsDue || this.#db.inTransaction) return;
    const nowMs = this.#deps.clock.bootMs();
    if (this.#copiedBootMs !== undefined && nowMs - this.#copiedBootMs < LAST_GOOD_INTERVAL_MS)
      return;
    this.#copiedBootMs = nowMs;
    this.#copy();
  }

  #copy(): void {
    this.#copyIsDue = false;
    if (this.#path === ":memory:") return;
    try {
      saveLastGood(this.#db, this.#path);
    } catch (error) {
      this.#deps.log.warn({ error: messageOf(error) }, "no last good copy could be written");
    }
  }
}

type MetaKey = "epoch" | "converged" | "dropped";

interface DesiredRow {
  readonly revision: number;
  readonly payload: string;
  readonly signature: string;
  readonly key_id: string;
}

function prepare(db: Database) {
  return {
    getMeta: db.prepare<[MetaKey], { readonly value: number }>(
      "SELECT value FROM meta WHERE key = ?",
    ),
    putMeta: db.prepare<[MetaKey, number]>(
      "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
    ),
    desiredRevision: db.prepare<[], { readonly revision: number }>("SELECT revision FROM desired"),
    desired: db.prepare<[], DesiredRow>("SELECT revision, payload, signature, key_id FROM desired"),
    putDesired: db.prepare<[number, string, string, string]>(
      `INSERT INTO desired (id, revision, payload, signature, key_id) VALUES (1, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET revision = excluded.revision, payload = excluded.payload,
         signature = excluded.signature, key_id = excluded.key_id`,
    ),
    putInstance: db.prepare<[string, string]>(
      "INSERT INTO instance (id, record) VALUES (?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
    ),
    deleteInstance: db.prepare<[string]>("DELETE FROM instance WHERE id = ?"),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Written by this program only; damage is what is looked for here. */
function isInstanceRecord(value: unknown): value is InstanceRecord {
  return (
    typeof value === "object" &&
    value !== null &&
    "id" in value &&
    typeof value.id === "string" &&
    "intent" in value &&
    typeof value.intent === "string" &&
    "processes" in value &&
    Array.isArray(value.processes) &&
    "desired" in value &&
    typeof value.desired === "object" &&
    value.desired !== null
  );
}

function newestCorrupt(path: string): string | undefined {
  const prefix = `${basename(path)}.corrupt-`;
  const numbers = readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)));
  return numbers.length === 0 ? undefined : `${path}.corrupt-${Math.max(...numbers)}`;
}
