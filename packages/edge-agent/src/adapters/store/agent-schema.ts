import type { Migration } from "@flotilla/shared/platform/sqlite";

/** Tables of the agent's database. Steps are appended, never edited once released. */
export const AGENT_MIGRATIONS: readonly Migration[] = [
  {
    name: "0001-state-and-outbox",
    up: `
      CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE desired (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        revision INTEGER NOT NULL,
        payload TEXT NOT NULL,
        signature TEXT NOT NULL,
        key_id TEXT NOT NULL
      ) STRICT;
      CREATE TABLE instance (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
      CREATE TABLE outbox (
        position INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        coalesce_key TEXT,
        reply_to TEXT
      ) STRICT;
      CREATE UNIQUE INDEX outbox_coalesce ON outbox (coalesce_key) WHERE coalesce_key IS NOT NULL;
    `,
    down: "DROP TABLE outbox; DROP TABLE instance; DROP TABLE desired; DROP TABLE meta;",
  },
  {
    name: "0002-trust",
    up: `
      CREATE TABLE trust_file (
        role TEXT PRIMARY KEY,
        bytes BLOB NOT NULL,
        sha256 TEXT NOT NULL
      ) STRICT;
      CREATE TABLE trust_root (sha256 TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
      CREATE TABLE trust_value (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE trust_installed (
        artifact TEXT PRIMARY KEY,
        counter INTEGER NOT NULL,
        path TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE trust_receipt (
        path TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        artifact TEXT NOT NULL,
        counter INTEGER NOT NULL,
        target TEXT NOT NULL,
        installed_at_ms INTEGER NOT NULL,
        PRIMARY KEY (path, sha256)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX trust_receipt_release ON trust_receipt (artifact, counter);
    `,
    down: `
      DROP TABLE trust_receipt; DROP TABLE trust_installed; DROP TABLE trust_value;
      DROP TABLE trust_root; DROP TABLE trust_file;
    `,
  },
  {
    name: "0003-slots-and-blobs",
    up: `
      CREATE TABLE slot (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
      CREATE TABLE memo (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE blob (
        sha256 TEXT PRIMARY KEY,
        bytes INTEGER NOT NULL,
        stamp TEXT NOT NULL,
        used_at_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
    down: "DROP TABLE blob; DROP TABLE memo; DROP TABLE slot;",
  },
  {
    name: "0004-transfers",
    up: "CREATE TABLE transfer (target TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;",
    down: "DROP TABLE transfer;",
  },
];
