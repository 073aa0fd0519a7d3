import type { Database } from "better-sqlite3";
import { assert } from "../kernel/assert.ts";
import { CodedError } from "../kernel/errors.ts";
import type { SqliteErrorCode } from "./sqlite-errors.ts";

/** One step of the schema. Steps are appended and never edited once released; `down` undoes `up`. */
export interface Migration {
  readonly name: string;
  readonly up: string;
  readonly down: string;
}

/**
 * Which steps were taken. `down` is kept in the file, so that an older program, which does not know the newer steps, can
 * take them back: that is what makes the rollback of a program safe.
 */
const HISTORY = `CREATE TABLE IF NOT EXISTS flotilla_migration (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, down TEXT NOT NULL
) STRICT`;

/** How many migrations the file has; the file's user_version. */
export function schemaVersion(db: Database): number {
  return Number(db.pragma("user_version", { simple: true }));
}

/**
 * Brings the schema to exactly these migrations, up or down, each step in one transaction together with its number.
 * Throws CodedError `database-migration` when the file has other steps than these, or a step fails; the file then
 * stands at the last step that was whole.
 */
export function migrate(db: Database, migrations: readonly Migration[]): void {
  // Foreign keys are off while tables are rebuilt (sqlite.org/lang_altertable.html §7) and checked at the end of each step.
  db.pragma("foreign_keys = OFF");
  try {
    assertNotForeign(db);
    db.exec(HISTORY);
    assertSameHistory(db, migrations);
    while (schemaVersion(db) > migrations.length) stepDown(db);
    while (schemaVersion(db) < migrations.length) stepUp(db, migrations);
  } finally {
    db.pragma("foreign_keys = ON");
  }
  assertStrict(db);
}

function stepUp(db: Database, migrations: readonly Migration[]): void {
  const version = schemaVersion(db) + 1;
  const migration = migrations[version - 1];
  assert(migration !== undefined, `there is a migration number ${version}`);
  inStep(db, migration.name, () => {
    db.exec(migration.up);
    db.prepare("INSERT INTO flotilla_migration (version, name, down) VALUES (?, ?, ?)").run(
      version,
      migration.name,
      migration.down,
    );
    db.pragma(`user_version = ${version}`);
  });
}

function stepDown(db: Database): void {
  const version = schemaVersion(db);
  const taken = history(db).find((m) => m.version === version);
  if (taken === undefined) throw unknownSchema(`it has no record of migration ${version}`);
  inStep(db, taken.name, () => {
    db.exec(taken.down);
    db.prepare("DELETE FROM flotilla_migration WHERE version = ?").run(version);
    db.pragma(`user_version = ${version - 1}`);
  });
}

function inStep(db: Database, name: string, step: () => void): void {
  db.transaction(() => {
    step();
    const broken = db.pragma("foreign_key_check");
    if (Array.isArray(broken) && broken.length > 0)
      throw new CodedError<SqliteErrorCode>(
        "database-migration",
        `migration ${name} leaves ${broken.length} rows with a broken foreign key`,
        { fields: { migration: name } },
      );
  }).immediate();
}

function assertSameHistory(db: Database, migrations: readonly Migration[]): void {
  const taken = history(db);
  // Both are written in one transaction: when they differ, bytes of the file have changed.
  if (taken.some((m, i) => m.version !== i + 1) || taken.length !== schemaVersion(db))
    throw new CodedError<SqliteErrorCode>(
      "database-corrupt",
      `user_version is ${schemaVersion(db)}, and ${taken.length} migrations are recorded`,
    );
  for (const step of taken) {
    const known = migrations[step.version - 1];
    if (known !== undefined && known.name !== step.name)
      throw unknownSchema(
        `migration ${step.version} is ${step.name} there and ${known.name} in this program`,
      );
  }
}

/** A file with tables but without our history was made by something else; it is not ours to change. */
function assertNotForeign(db: Database): void {
  const tables = db
    .prepare<[], { readonly name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .all()
    .map((table) => table.name);
  if (tables.length > 0 && !tables.includes("flotilla_migration"))
    throw unknownSchema("it has tables and no record of migrations");
}

interface TakenStep {
  readonly version: number;
  readonly name: string;
  readonly down: string;
}

function history(db: Database): readonly TakenStep[] {
  return db
    .prepare<[], TakenStep>("SELECT version, name, down FROM flotilla_migration ORDER BY version")
    .all();
}

function unknownSchema(why: string): CodedError<SqliteErrorCode> {
  return new CodedError("database-migration", `the database is of another program: ${why}`, {
    mend: "Point the program at its own data folder, or install the version that wrote this one.",
  });
}

/** A table that is not STRICT stores text in an INTEGER column; that is a bug of ours. */
function assertStrict(db: Database): void {
  const loose = db
    .prepare<[], { readonly name: string }>(
      `SELECT name FROM pragma_table_list
       WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`,
    )
    .all()
    .map((table) => table.name);
  assert(loose.length === 0, `tables that are not STRICT: ${loose.join(", ")}`);
}
