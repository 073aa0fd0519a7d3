import type { Migration } from "../src/platform/sqlite.ts";

/** The schema of the database tests. */
export const ROWS: readonly Migration[] = [
  {
    name: "rows",
    up: "CREATE TABLE row (n INTEGER PRIMARY KEY, payload TEXT NOT NULL) STRICT",
    down: "DROP TABLE row",
  },
];
