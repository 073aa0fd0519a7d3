import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { onTestFinished } from "vitest";
import {
  SqliteResourceStore,
  type SqliteStoreOptions,
} from "../../src/adapters/store/sqlite-resource-store.ts";

/** A folder that is gone after the test. */
export function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "flotilla-store-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** The real store in a temporary folder; closed and removed after the test. */
export function testStore(
  options: Partial<SqliteStoreOptions> & { readonly clock?: Clock } = {},
): SqliteResourceStore {
  const { clock = new ManualClock(), dataDir = temporaryDir(), ...rest } = options;
  const store = new SqliteResourceStore({ dataDir, ...rest }, { clock, log: silentLog() });
  onTestFinished(() => store.close());
  return store;
}
