import type { Log } from "@flotilla/shared/kernel/service";
import type { Database } from "@flotilla/shared/platform/sqlite";
import type { MemoKey, SlotRecord, SlotStore } from "../../app/artifact/ports.ts";
import type { SqliteAgentStore } from "./sqlite-agent-store.ts";

/**
 * Records of slots in the agent's database. After the loss of the database they are taken from the damaged file where it can be
 * read: they know which sets are good and which have failed here.
 */
export class SlotTable implements SlotStore {
  readonly #store: SqliteAgentStore;
  readonly #log: Log;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(deps: { readonly store: SqliteAgentStore; readonly log: Log }) {
    this.#store = deps.store;
    this.#log = deps.log;
    this.#statements = prepare(deps.store.database);
    deps.store.salvage("slots", (damaged) => {
      for (const record of this.#read(damaged)) this.putSlot(record);
    });
  }

  slots(): readonly SlotRecord[] {
    return this.#read(this.#store.database);
  }

  putSlot(record: SlotRecord): void {
    this.#store.transaction(() => this.#statements.putSlot.run(record.id, JSON.stringify(record)));
  }

  deleteSlot(id: string): void {
    this.#store.transaction(() => this.#statements.deleteSlot.run(id));
  }

  memo(key: MemoKey): unknown {
    const row = this.#statements.memo.get(key);
    return row && parsed(row.value);
  }

  putMemo(key: MemoKey, value: unknown): void {
    this.#store.transaction(() => this.#statements.putMemo.run(key, JSON.stringify(value)));
  }

  #read(db: Database): readonly SlotRecord[] {
    return db
      .prepare<[], { readonly record: string }>("SELECT record FROM slot ORDER BY id")
      .all()
      .flatMap((row) => {
        const record = parsed(row.record);
        if (isSlotRecord(record)) return [record];
        this.#log.error({}, "a stored record of slots cannot be read and is left out");
        return [];
      });
  }
}

function prepare(db: Database) {
  return {
    putSlot: db.prepare<[string, string]>(
      "INSERT INTO slot (id, record) VALUES (?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
    ),
    deleteSlot: db.prepare<[string]>("DELETE FROM slot WHERE id = ?"),
    memo: db.prepare<[string], { readonly value: string }>("SELECT value FROM memo WHERE key = ?"),
    putMemo: db.prepare<[string, string]>(
      "INSERT INTO memo (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
    ),
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
function isSlotRecord(value: unknown): value is SlotRecord {
  return (
    typeof value === "object" &&
    value !== null &&
    "id" in value &&
    typeof value.id === "string" &&
    "phase" in value &&
    typeof value.phase === "string" &&
    "reloads" in value &&
    Array.isArray(value.reloads) &&
    "failed" in value &&
    Array.isArray(value.failed)
  );
}
