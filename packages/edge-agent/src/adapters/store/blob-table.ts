import type { Database } from "@flotilla/shared/platform/sqlite";
import type { BlobRow, BlobRows } from "../artifact-store/file-blobs.ts";
import type { SqliteAgentStore } from "./sqlite-agent-store.ts";

interface Row {
  readonly sha256: string;
  readonly bytes: number;
  readonly stamp: string;
  readonly used_at_ms: number;
}

/**
 * Which contents on the disk were checked, and what their files looked like then. Only a cache: what is not in it is read and
 * checked again.
 */
export class BlobTable implements BlobRows {
  readonly #store: Pick<SqliteAgentStore, "transaction">;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(deps: { readonly store: Pick<SqliteAgentStore, "transaction" | "database"> }) {
    this.#store = deps.store;
    this.#statements = prepare(deps.store.database);
  }

  all(): readonly BlobRow[] {
    return this.#statements.all.all().map(rowOf);
  }

  get(sha256: string): BlobRow | undefined {
    const row = this.#statements.get.get(sha256);
    return row && rowOf(row);
  }

  put({ sha256, lengthBytes, stamp, usedWallMs }: BlobRow): void {
    this.#store.transaction(() => this.#statements.put.run(sha256, lengthBytes, stamp, usedWallMs));
  }

  remove(sha256: string): void {
    this.#store.transaction(() => this.#statements.remove.run(sha256));
  }
}

function prepare(db: Database) {
  return {
    all: db.prepare<[], Row>("SELECT * FROM blob ORDER BY sha256"),
    get: db.prepare<[string], Row>("SELECT * FROM blob WHERE sha256 = ?"),
    put: db.prepare<[string, number, string, number]>(
      `INSERT INTO blob (sha256, bytes, stamp, used_at_ms) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET bytes = excluded.bytes, stamp = excluded.stamp,
         used_at_ms = excluded.used_at_ms`,
    ),
    remove: db.prepare<[string]>("DELETE FROM blob WHERE sha256 = ?"),
  };
}

function rowOf(row: Row): BlobRow {
  return {
    sha256: row.sha256,
    lengthBytes: row.bytes,
    stamp: row.stamp,
    usedWallMs: row.used_at_ms,
  };
}
