import { must } from "@flotilla/shared/kernel/assert";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { Database } from "@flotilla/shared/platform/sqlite";
import { UP_KINDS, type UpKind } from "@flotilla/shared/protocol/topics";
import type { OutboxDraft, OutboxMessage } from "../../app/state/ports.ts";

interface Row {
  readonly id: string;
  readonly kind: string;
  readonly body: string;
  readonly reply_to: string | null;
}

/** The outbox's statements. Runs within the store's transactions. */
export class OutboxTable {
  readonly #countMax: number;
  readonly #random: Random;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(
    options: { readonly countMax: number },
    deps: { readonly db: Database; readonly random: Random },
  ) {
    this.#countMax = options.countMax;
    this.#random = deps.random;
    this.#statements = prepare(deps.db);
  }

  /** Returns how many messages were dropped to make room: 0 or 1. */
  add(message: OutboxDraft): number {
    const key = message.coalesceKey ?? null;
    if (key !== null) this.#statements.removeByKey.run(key);
    const dropped = this.count() >= this.#countMax ? this.#statements.dropOne.run().changes : 0;
    this.#statements.insert.run(
      uuid(this.#random, "outbox.id"),
      message.kind,
      JSON.stringify(message.body),
      key,
      message.replyTo ?? null,
    );
    return dropped;
  }

  list(limit: number): readonly OutboxMessage[] {
    return this.#statements.list.all(limit).flatMap((row) => messageOfRow(row) ?? []);
  }

  /** Removes what `list` would leave out, which an agent of another version has queued; returns how many they were. */
  removeUnknown(): number {
    const unknown = this.#statements.list
      .all(this.#countMax)
      .filter((row) => messageOfRow(row) === undefined);
    for (const { id } of unknown) this.remove(id);
    return unknown.length;
  }

  count(): number {
    return must(this.#statements.count.get(), "a count has one row").count;
  }

  remove(id: string): void {
    this.#statements.removeById.run(id);
  }

  removeReports(): void {
    this.#statements.removeReports.run();
  }
}

function prepare(db: Database) {
  return {
    insert: db.prepare<[string, string, string, string | null, string | null]>(
      "INSERT INTO outbox (id, kind, body, coalesce_key, reply_to) VALUES (?, ?, ?, ?, ?)",
    ),
    list: db.prepare<[number], Row>(
      "SELECT id, kind, body, reply_to FROM outbox ORDER BY position LIMIT ?",
    ),
    count: db.prepare<[], { readonly count: number }>("SELECT count(*) AS count FROM outbox"),
    removeById: db.prepare<[string]>("DELETE FROM outbox WHERE id = ?"),
    removeByKey: db.prepare<[string]>("DELETE FROM outbox WHERE coalesce_key = ?"),
    removeReports: db.prepare<[]>("DELETE FROM outbox WHERE kind IN ('report', 'birth')"),
    dropOne: db.prepare<[]>(
      `DELETE FROM outbox WHERE position =
         (SELECT position FROM outbox ORDER BY kind <> 'notice', position LIMIT 1)`,
    ),
  };
}

/** Undefined for a kind, or a text, that this program cannot read. */
function messageOfRow(row: Row): OutboxMessage | undefined {
  const kind = UP_KINDS.find((known): known is UpKind => known === row.kind);
  if (kind === undefined) return undefined;
  try {
    const body: unknown = JSON.parse(row.body);
    return { id: row.id, kind, body, ...(row.reply_to === null ? {} : { replyTo: row.reply_to }) };
  } catch {
    return undefined;
  }
}
