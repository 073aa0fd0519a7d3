import { assert, must } from "@flotilla/shared/kernel/assert";
import type { Log } from "@flotilla/shared/kernel/service";
import { KINDS, type KindName } from "@flotilla/shared/model/kinds";
import type { Database } from "@flotilla/shared/platform/sqlite";
import type { Statement } from "better-sqlite3";
import type { AnyObject, LogEntry, ResourceKey } from "../../app/resources/ports.ts";
import { deletedObject, parseObject, revisionOf, type StagedLine } from "./staging.ts";
import type { Vault } from "./vault.ts";

/** Kinds whose whole object is sealed: annotations such as kubectl's last-applied carry the data once more. */
const SEALED_KINDS: ReadonlySet<string> = new Set<KindName>(["Secret"]);

type StoredText = string | Uint8Array | null;

interface LineRow {
  readonly revision: number;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly type: LogEntry["type"];
  readonly object: StoredText;
  readonly previous: number | null;
  readonly previousObject: StoredText;
}

/** The log and the current objects on disk. Every method is one or more statements; transactions are the caller's. */
export class LogTables {
  readonly #db: Database;
  readonly #vault: Vault;
  readonly #log: Log;
  readonly #insertLine: Statement;
  readonly #putObject: Statement;
  readonly #deleteObject: Statement;

  constructor(deps: { readonly db: Database; readonly vault: Vault; readonly log: Log }) {
    this.#db = deps.db;
    this.#vault = deps.vault;
    this.#log = deps.log;
    this.#insertLine = deps.db.prepare(
      `INSERT INTO log (revision, kind, namespace, name, type, previous, at, object)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#putObject = deps.db.prepare(
      `INSERT INTO objects (kind, namespace, name, revision) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET revision = excluded.revision`,
    );
    this.#deleteObject = deps.db.prepare(
      "DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?",
    );
  }

  /** Highest revision ever given, also when its line is gone. */
  lastRevision(): number {
    const row = this.#db
      .prepare<[], { seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'log'")
      .get();
    return row?.seq ?? 0;
  }

  /** The next revision is above this one. */
  skipTo(revision: number): void {
    const insert = this.#db.prepare(
      "INSERT INTO log (revision, kind, namespace, name, type, at) VALUES (?, '', '', '', 'DELETED', 0)",
    );
    insert.run(revision);
    this.#db.prepare("DELETE FROM log WHERE revision = ?").run(revision);
  }

  /** Objects of kinds that this program does not know stay on disk and are not read. */
  currentObjects(): readonly { readonly key: ResourceKey; readonly object: AnyObject }[] {
    const rows = this.#db
      .prepare<[], LineRow>(
        `SELECT o.kind, o.namespace, o.name, o.revision, l.object
         FROM objects o JOIN log l ON l.revision = o.revision`,
      )
      .all();
    const known = rows.filter((row) => isKindName(row.kind));
    if (known.length < rows.length)
      this.#log.warn({ count: rows.length - known.length }, "objects of unknown kinds left unread");
    return known.map((row) => ({
      key: keyOf(row),
      object: this.#read(row, row.revision, row.object),
    }));
  }

  append(line: StagedLine, atMs: number): void {
    const { key, revision, type, previous } = line.entry;
    const stored = line.text === undefined ? null : this.#seal(key, revision, line.text);
    this.#insertLine.run(
      revision,
      key.kind,
      key.namespace,
      key.name,
      type,
      previous === undefined ? null : revisionOf(previous),
      atMs,
      stored,
    );
    if (line.text === undefined) this.#deleteObject.run(key.kind, key.namespace, key.name);
    else this.#putObject.run(key.kind, key.namespace, key.name, revision);
  }

  /** Lines above `revision`. The caller has made sure that none of them is compacted away. */
  after(revision: number, limit: number): readonly LogEntry[] {
    return this.#db
      .prepare<[number, number], LineRow>(
        `SELECT l.revision, l.kind, l.namespace, l.name, l.type, l.object,
                l.previous, p.object AS previousObject
         FROM log l LEFT JOIN log p ON p.revision = l.previous
         WHERE l.revision > ? ORDER BY l.revision LIMIT ?`,
      )
      .all(revision, limit)
      .filter((row) => isKindName(row.kind))
      .map((row) => this.#entry(row));
  }

  /** Newest revision whose line is older than this; lines at or below `from` are known to be. */
  revisionBefore(atMs: number, from: number): number {
    const row = this.#db
      .prepare<[number, number], { revision: number }>(
        "SELECT revision FROM log WHERE revision > ? AND at >= ? ORDER BY revision LIMIT 1",
      )
      .get(from, atMs);
    return row === undefined ? this.lastRevision() : row.revision - 1;
  }

  /** Removes lines up to `revision`, but not the current objects and not what a later line names as its previous. */
  compact(revision: number): number {
    return this.#db
      .prepare(
        `DELETE FROM log WHERE revision <= @cut AND revision NOT IN (
           SELECT revision FROM objects
           UNION ALL SELECT previous FROM log WHERE revision > @cut AND previous IS NOT NULL)`,
      )
      .run({ cut: revision }).changes;
  }

  #entry(row: LineRow): LogEntry {
    const key = keyOf(row);
    const { revision, type } = row;
    if (row.previous === null)
      return { revision, type, key, object: this.#read(key, revision, row.object) };
    const previous = this.#read(key, row.previous, row.previousObject);
    const object =
      type === "DELETED"
        ? deletedObject(previous, revision)
        : this.#read(key, revision, row.object);
    return { revision, type, key, object, previous };
  }

  #read(
    key: Pick<LineRow, "kind" | "namespace" | "name">,
    revision: number,
    stored: StoredText,
  ): AnyObject {
    const text =
      typeof stored === "string"
        ? stored
        : this.#vault.open(
            must(stored, `log line ${revision} holds its object`),
            placeOf(key, revision),
          );
    return parseObject(text, revision);
  }

  #seal(key: ResourceKey, revision: number, text: string): string | Uint8Array {
    return SEALED_KINDS.has(key.kind) ? this.#vault.seal(text, placeOf(key, revision)) : text;
  }
}

function placeOf(key: Pick<LineRow, "kind" | "namespace" | "name">, revision: number): string {
  return ["log", key.kind, key.namespace, key.name, revision].join("\0");
}

function isKindName(kind: string): kind is KindName {
  return Object.hasOwn(KINDS, kind);
}

function keyOf(row: Pick<LineRow, "kind" | "namespace" | "name">): ResourceKey {
  assert(isKindName(row.kind), `rows of unknown kinds were left out: ${row.kind}`);
  return { kind: row.kind, namespace: row.namespace, name: row.name };
}
