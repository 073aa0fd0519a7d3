import type { Database } from "@flotilla/shared/platform/sqlite";
import { type Static, Type } from "typebox";
import { Check } from "typebox/value";
import type { Transfer, TransferTable } from "../../app/delivery/ports.ts";
import type { SqliteAgentStore } from "./sqlite-agent-store.ts";

const Sha256 = Type.String({ pattern: "^[0-9a-f]{64}$" });
const Count = Type.Integer({ minimum: 0 });
const Stored = Type.Object({
  target: Sha256,
  phase: Type.Enum(["asking", "applying", "complete"]),
  steps: Type.Array(
    Type.Object({
      makes: Sha256,
      base: Type.Optional(Sha256),
      manifestSha256: Sha256,
      manifestLength: Count,
      signature: Type.String(),
      keyId: Type.String(),
      payloadLength: Count,
    }),
  ),
  stepIndex: Count,
  peers: Type.Array(
    Type.Object({ node: Type.String(), host: Type.String(), port: Type.Integer({ minimum: 1 }) }),
  ),
  nextBlock: Count,
  transferredBytes: Count,
  failures: Type.Record(Type.String(), Count),
});

/** Transfers in the agent's database. One that cannot be read counts as none: its file is fetched from the begin. */
export class SqliteTransferTable implements TransferTable {
  readonly #store: Pick<SqliteAgentStore, "transaction">;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(deps: { readonly store: Pick<SqliteAgentStore, "transaction" | "database"> }) {
    this.#store = deps.store;
    this.#statements = prepare(deps.store.database);
  }

  get(target: string): Transfer | undefined {
    return transferOf(this.#statements.get.get(target)?.record);
  }

  all(): readonly Transfer[] {
    return this.#statements.all.all().flatMap(({ record }) => transferOf(record) ?? []);
  }

  put(transfer: Transfer): void {
    const record = JSON.stringify(transfer);
    this.#store.transaction(() => this.#statements.put.run(transfer.target, record));
  }

  remove(target: string): void {
    this.#store.transaction(() => this.#statements.remove.run(target));
  }
}

function transferOf(text: string | undefined): Transfer | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return Check(Stored, value) ? toTransfer(value) : undefined;
  } catch {
    return undefined;
  }
}

/** Absent fields are absent, never undefined. */
function toTransfer(stored: Static<typeof Stored>): Transfer {
  return {
    ...stored,
    steps: stored.steps.map(({ base, ...step }) => (base === undefined ? step : { ...step, base })),
  };
}

function prepare(db: Database) {
  return {
    get: db.prepare<[string], { readonly record: string }>(
      "SELECT record FROM transfer WHERE target = ?",
    ),
    all: db.prepare<[], { readonly record: string }>("SELECT record FROM transfer ORDER BY target"),
    put: db.prepare<[string, string]>(
      "INSERT INTO transfer (target, record) VALUES (?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
    ),
    remove: db.prepare<[string]>("DELETE FROM transfer WHERE target = ?"),
  };
}
