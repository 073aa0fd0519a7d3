/** Writes to a store until it is killed; tells each acknowledged commit on standard output, one line each. */
import { writeSync } from "node:fs";
import { systemClock } from "@flotilla/shared/platform/clock";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { SqliteResourceStore } from "../../src/adapters/store/sqlite-resource-store.ts";
import { configMap } from "./objects.ts";

const dataDir = process.argv[2] ?? "";
const store = new SqliteResourceStore(
  { dataDir, logLinesMin: 10, logLinesMax: 50 },
  { clock: systemClock(), log: silentLog() },
);
writeSync(1, `open ${store.revision} ${store.term}\n`);
for (let i = 0; ; i++) {
  const names = [`a${i % 7}`, `b${i % 5}`, `c${i}`];
  await Promise.all(
    names.map(async (name) => {
      const object = configMap(name, { n: `${store.term}-${i}` });
      const result = await store.commit({
        changes: [
          { key: { kind: "ConfigMap", namespace: "default", name }, expect: "any", object },
        ],
        cursors: [{ nodeId: "n1", epoch: store.term, seq: i }],
      });
      if (result.ok) writeSync(1, `ok ${name} ${store.term}-${i} ${result.revision}\n`);
    }),
  );
  if (i % 20 === 19) store.compact();
}
