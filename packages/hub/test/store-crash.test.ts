import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { expect, test } from "vitest";
import { temporaryDir, testStore } from "./support/store.ts";

const CHILD = join(import.meta.dirname, "support", "store-crash-child.ts");
const KILLS = 8;

/** Runs the writer until it has acknowledged some commits, kills it, and returns the whole lines that it printed. */
async function writeAndKill(dataDir: string, acknowledged: number, delayMs: number) {
  const child = spawn(process.execPath, [CHILD, dataDir], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  let planned = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    if (planned || output.split("\n").length < acknowledged) return;
    planned = true;
    setTimeout(() => child.kill("SIGKILL"), delayMs);
  });
  await once(child, "close");
  return output.split("\n").slice(0, -1);
}

test("a store killed at any instant has every acknowledged commit, and its revisions only grow", async () => {
  const dataDir = temporaryDir();
  const random = new SeededRandom(42);
  const acknowledged = new Map<string, string>();
  let revisionMax = 0;
  let termMax = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const lines = await writeAndKill(
      dataDir,
      4 + Math.floor(random.unit("acknowledged") * 150),
      random.unit("delay") * 12,
    );
    const [opened, ...commits] = lines.map((line) => line.split(" "));
    expect(Number(opened?.[1])).toBeGreaterThanOrEqual(revisionMax);
    expect(Number(opened?.[2])).toBeGreaterThan(termMax);
    for (const [, name = "", value = "", revision] of commits) {
      acknowledged.set(name, value);
      expect(Number(revision)).toBeGreaterThan(revisionMax);
      revisionMax = Number(revision);
    }
    const store = testStore({ dataDir });
    expect(store.outcome).toBe("opened");
    expect(store.revision).toBeGreaterThanOrEqual(revisionMax);
    termMax = store.term;
    for (const [name, value] of acknowledged) {
      const found = store.get("ConfigMap", "default", name)?.data?.["n"];
      // A later write may have reached the disk without its acknowledgement: it is newer, never older.
      expect(found !== undefined && !isOlder(found, value), `${name}: ${found} < ${value}`).toBe(
        true,
      );
    }
    expect(store.cursor("n1")?.epoch).toBe(Number(opened?.[2]));
    expect(store.logAfter(store.compactedRevision, 1_000_000)?.at(-1)?.revision).toBe(
      store.revision,
    );
    store.close();
  }
  expect(acknowledged.size).toBeGreaterThan(KILLS);
});

/** Values are `term-count`. */
function isOlder(found: string, value: string): boolean {
  const [term = 0, count = 0] = found.split("-").map(Number);
  const [termBefore = 0, countBefore = 0] = value.split("-").map(Number);
  return term < termBefore || (term === termBefore && count < countBefore);
}
