/**
 * The process that the crash tests kill. Commits rows 1, 2, 3 … and tells each number on standard output only after its
 * commit; every SAVE_EVERY commits it writes a last good copy.
 */
import { writeSync } from "node:fs";
import { openDatabase, saveLastGood } from "../src/platform/sqlite.ts";
import { silentLog } from "../src/testing/silent-log.ts";
import { ROWS } from "./sqlite-rows.ts";

const SAVE_EVERY = 40;
const PAYLOAD = "x".repeat(300);

const path = process.argv[2] ?? "";
const { db } = openDatabase({ path, migrations: ROWS, log: silentLog() });
const last = db.prepare<[], { n: number }>("SELECT coalesce(max(n), 0) AS n FROM row").get();
const insert = db.prepare("INSERT INTO row (n, payload) VALUES (?, ?)");
for (let n = (last?.n ?? 0) + 1; ; n += 2) {
  db.transaction(() => {
    insert.run(n, PAYLOAD);
    insert.run(n + 1, PAYLOAD);
  })();
  writeSync(1, `${n + 1}\n`);
  if (n % SAVE_EVERY === 1) {
    saveLastGood(db, path);
    writeSync(1, `saved ${n + 1}\n`);
  }
}
