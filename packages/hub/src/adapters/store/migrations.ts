import type { Migration } from "@flotilla/shared/platform/sqlite";

/**
 * `log` is the truth: one line per change, its number is the object's resourceVersion (the model of k3s-io/kine). `objects`
 * points at the newest line of every object that is there, so an object is written once. A line's `object` is JSON text, a
 * sealed blob for a Secret (vault.ts), NULL for a deletion: what was deleted is the line `previous`.
 */
export const STORE_MIGRATIONS: readonly Migration[] = [
  {
    name: "resources",
    up: `
      CREATE TABLE log (
        revision INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        type TEXT NOT NULL CHECK (type IN ('ADDED', 'MODIFIED', 'DELETED')),
        previous INTEGER,
        at INTEGER NOT NULL,
        object ANY
      ) STRICT;
      CREATE TABLE objects (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (kind, namespace, name)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE cursors (
        node_id TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL,
        seq INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE desired_states (
        node_id TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        content_digest TEXT NOT NULL,
        payload BLOB NOT NULL,
        signature TEXT NOT NULL,
        key_id TEXT NOT NULL
      ) STRICT;
      CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
    `,
    down: `
      DROP TABLE meta;
      DROP TABLE desired_states;
      DROP TABLE cursors;
      DROP TABLE objects;
      DROP TABLE log;
    `,
  },
];
