import type { Database } from "@flotilla/shared/platform/sqlite";
import type { Statement } from "better-sqlite3";
import type { NodeCursor, StoredDesired } from "../../app/resources/ports.ts";
import type { Vault } from "./vault.ts";

interface DesiredRow extends Omit<StoredDesired, "payload"> {
  readonly payload: Uint8Array;
}

/** Cursors and desired states on disk. A desired state holds the values of Secrets, so its payload is sealed. */
export class NodeTables {
  readonly #db: Database;
  readonly #vault: Vault;
  readonly #putCursor: Statement;
  readonly #putDesired: Statement;

  constructor(deps: { readonly db: Database; readonly vault: Vault }) {
    this.#db = deps.db;
    this.#vault = deps.vault;
    this.#putCursor = deps.db.prepare(
      `INSERT INTO cursors (node_id, epoch, seq) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq`,
    );
    this.#putDesired = deps.db.prepare(
      `INSERT INTO desired_states (node_id, revision, content_digest, payload, signature, key_id)
       VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET revision = excluded.revision, content_digest = excluded.content_digest,
         payload = excluded.payload, signature = excluded.signature, key_id = excluded.key_id`,
    );
  }

  cursors(): readonly NodeCursor[] {
    return this.#db
      .prepare<[], NodeCursor>("SELECT node_id AS nodeId, epoch, seq FROM cursors")
      .all();
  }

  desired(): readonly StoredDesired[] {
    return this.#db
      .prepare<[], DesiredRow>(
        `SELECT node_id AS nodeId, revision, content_digest AS contentDigest, payload, signature, key_id AS keyId
         FROM desired_states`,
      )
      .all()
      .map((row) => ({ ...row, payload: this.#vault.open(row.payload, placeOf(row)) }));
  }

  putCursor(cursor: NodeCursor): void {
    this.#putCursor.run(cursor.nodeId, cursor.epoch, cursor.seq);
  }

  putDesired(desired: StoredDesired): void {
    this.#putDesired.run(
      desired.nodeId,
      desired.revision,
      desired.contentDigest,
      this.#vault.seal(desired.payload, placeOf(desired)),
      desired.signature,
      desired.keyId,
    );
  }

  /** Removes what is kept for a node. */
  forget(nodeId: string): void {
    this.#db.prepare("DELETE FROM cursors WHERE node_id = ?").run(nodeId);
    this.#db.prepare("DELETE FROM desired_states WHERE node_id = ?").run(nodeId);
  }
}

function placeOf(desired: Pick<StoredDesired, "nodeId" | "revision">): string {
  return ["desired", desired.nodeId, desired.revision].join("\0");
}
