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
];
