import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { SqliteAgentStore } from "../../src/adapters/store/sqlite-agent-store.ts";

/** The agent's real store over a database in memory: same statements, same limits, gone with the test. */
export function memoryAgentStore(
  options: { readonly outboxCountMax?: number; readonly seed?: number } = {},
): SqliteAgentStore {
  return new SqliteAgentStore(
    {
      directory: ":memory:",
      ...(options.outboxCountMax === undefined ? {} : { outboxCountMax: options.outboxCountMax }),
    },
    { clock: new ManualClock(), random: new SeededRandom(options.seed ?? 1), log: silentLog() },
  );
}
