/** Writes to an agent store until it is killed; tells what is durable on standard output, one line each. */
import { writeSync } from "node:fs";
import { systemClock } from "@flotilla/shared/platform/clock";
import { systemRandom } from "@flotilla/shared/platform/random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { SqliteAgentStore } from "../../src/adapters/store/sqlite-agent-store.ts";
import { acceptedDesired } from "./desired.ts";

const store = new SqliteAgentStore(
  { directory: process.argv[2] ?? "", outboxCountMax: 500 },
  { clock: systemClock(), random: systemRandom(), log: silentLog() },
);
writeSync(1, `open ${store.epoch} ${store.revisionFloor()}\n`);
for (let i = 0; ; i++) {
  if (i % 5 === 0) {
    const revision = store.revisionFloor() + 1;
    store.acceptDesired(acceptedDesired({ revision }));
    writeSync(1, `accepted ${revision}\n`);
  }
  store.enqueue({ kind: "notice", body: { order: `${store.epoch}-${i}` } });
  writeSync(1, `queued ${store.epoch}-${i}\n`);
  if (i % 3 === 2) {
    const [first] = store.outbox(1);
    if (first === undefined) continue;
    store.acknowledge([first.id]);
    writeSync(1, `acknowledged ${JSON.stringify(first.body)}\n`);
  }
}
