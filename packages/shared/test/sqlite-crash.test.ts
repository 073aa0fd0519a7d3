import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Database, openDatabase } from "../src/platform/sqlite.ts";
import { SeededRandom } from "../src/testing/seeded-random.ts";
import { silentLog } from "../src/testing/silent-log.ts";
import { ROWS } from "./sqlite-rows.ts";

const WRITER = fileURLToPath(new URL("./sqlite-writer.ts", import.meta.url));
const SEED = 42;
const KILLS = 12;
/** From before the program has loaded to well into its work. */
const KILL_AFTER_MS_MAX = 500;

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-crash-"));
  path = join(folder, "state.db");
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Told {
  readonly acknowledged: number;
  readonly saved: number;
}

/** Runs the writer and kills it with SIGKILL after a while, or after it has told so many commits. */
function writeUntilKilled(when: { afterMs: number } | { commits: number }): Promise<Told> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [WRITER, path], { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let errors = "";
    const kill = (): void => {
      child.kill("SIGKILL");
    };
    const timer = "afterMs" in when ? setTimeout(kill, when.afterMs) : undefined;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      if ("commits" in when && out.split("\n").length > when.commits) kill();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      if (code !== null) reject(new Error(`the writer ended by itself with ${code}: ${errors}`));
      else resolve(told(out));
    });
  });
}

/** Only whole lines count: what was cut off was not told. */
function told(out: string): Told {
  const lines = out.split("\n").slice(0, -1);
  const last = (of: readonly string[]): number => Number(of.at(-1)?.replace("saved ", "") ?? 0);
  return {
    acknowledged: last(lines.filter((line) => !line.startsWith("saved"))),
    saved: last(lines.filter((line) => line.startsWith("saved"))),
  };
}

function rowsOf(db: Database): { readonly count: number; readonly last: number } {
  const row = db
    .prepare<[], { count: number; last: number }>(
      "SELECT count(*) AS count, coalesce(max(n), 0) AS last FROM row",
    )
    .get();
  return { count: row?.count ?? -1, last: row?.last ?? -1 };
}

test("a process killed at any moment loses no commit that it acknowledged, and leaves no half of one", async () => {
  const random = new SeededRandom(SEED);
  let acknowledged = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const afterMs = Math.floor(random.unit("kill") * KILL_AFTER_MS_MAX);
    const told = await writeUntilKilled({ afterMs });
    acknowledged = Math.max(acknowledged, told.acknowledged);
    const { db, outcome } = openDatabase({ path, migrations: ROWS, log: silentLog() });
    const { count, last } = rowsOf(db);
    db.close();
    const verdict = {
      isSound: outcome === "opened" || outcome === "created",
      isLost: last < acknowledged,
      isHalf: last % 2 === 1 || count !== last,
    };
    // The seed, the kill and its moment stand in the comparison, so that a failure prints them.
    const at = { seed: SEED, kill, afterMs, acknowledged, last };
    expect({ ...at, ...verdict }).toEqual({ ...at, isSound: true, isLost: false, isHalf: false });
  }
  expect(acknowledged).toBeGreaterThan(0);
});

test("the last good copy is whole after a kill, and holds what was committed before it was saved", async () => {
  const random = new SeededRandom(SEED);
  for (let kill = 0; kill < 4; kill++) {
    const commits = 45 + Math.floor(random.unit("kill") * 60);
    const { saved } = await writeUntilKilled({ commits });
    const copy = openDatabase({ path: `${path}.last-good`, migrations: ROWS, log: silentLog() });
    const { count, last } = rowsOf(copy.db);
    copy.db.close();
    const at = { seed: SEED, kill, commits, saved, last };
    const verdict = { outcome: copy.outcome, isLost: last < saved, isHalf: count !== last };
    expect({ ...at, ...verdict }).toEqual({
      ...at,
      outcome: "opened",
      isLost: false,
      isHalf: false,
    });
  }
});
