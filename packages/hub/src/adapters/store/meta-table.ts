import type { Database } from "@flotilla/shared/platform/sqlite";

/** Names of what the `meta` table holds. */
export type MetaName = "term" | "keyId" | "compactedRevision";

/** Single values that belong to the whole database. */
export class MetaTable {
  readonly #db: Database;

  constructor(deps: { readonly db: Database }) {
    this.#db = deps.db;
  }

  get(name: MetaName): string | number | undefined {
    return this.#db
      .prepare<[string], { value: string | number }>("SELECT value FROM meta WHERE name = ?")
      .get(name)?.value;
  }

  number(name: MetaName): number {
    return Number(this.get(name) ?? 0);
  }

  set(name: MetaName, value: string | number): void {
    this.#db
      .prepare(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
      )
      .run(name, value);
  }
}
