import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  DiskReserve,
  RESERVE_BYTES,
  RESERVE_INTERVAL_MS,
  RESERVE_MAKE_ABOVE_BYTES,
} from "../src/adapters/store/disk-reserve.ts";
import { lockStateDir } from "../src/adapters/store/state-lock.ts";
import { testFolder } from "./support/real-node.ts";

let folder: ReturnType<typeof testFolder>;
let stop: AbortController;
beforeEach(() => {
  folder = testFolder();
  stop = new AbortController();
});
afterEach(() => {
  stop.abort();
  folder.remove();
});

test("space is held while there is plenty, given up on a full disk, and held again later", async () => {
  let freeBytes = RESERVE_MAKE_ABOVE_BYTES;
  const [clock, log] = [new ManualClock(), new RecordingLog()];
  const path = join(folder.path, "reserve");
  const reserve = new DiskReserve({ path, freeBytes: () => freeBytes }, { clock, log });
  void reserve.run(stop.signal);
  await clock.advance(RESERVE_INTERVAL_MS);
  expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(RESERVE_BYTES);
  freeBytes = 0;
  await clock.advance(RESERVE_INTERVAL_MS);
  expect(existsSync(path)).toBe(false);
  freeBytes = RESERVE_BYTES;
  await clock.advance(RESERVE_INTERVAL_MS);
  expect(existsSync(path)).toBe(false);
  freeBytes = RESERVE_MAKE_ABOVE_BYTES;
  await clock.advance(RESERVE_INTERVAL_MS);
  expect(existsSync(path)).toBe(true);
  expect(log.lines.map((l) => l.level)).toEqual(["warn"]);
});

test("an agent that starts on a full disk gives the reserve up first; without one it only goes on", () => {
  const path = join(folder.path, "reserve");
  const log = new RecordingLog();
  const reserve = new DiskReserve({ path, freeBytes: () => 0 }, { clock: new ManualClock(), log });
  reserve.release();
  expect(log.lines).toEqual([]);
});

test("a state directory that cannot be looked at is said once and stops nothing", async () => {
  const [clock, log] = [new ManualClock(), new RecordingLog()];
  const reserve = new DiskReserve({ path: join(folder.path, "no/such/reserve") }, { clock, log });
  void reserve.run(stop.signal);
  for (let i = 0; i < 3; i++) await clock.advance(RESERVE_INTERVAL_MS);
  expect(log.lines).toHaveLength(1);
});

test("the lock of a state directory writes nothing, so that a full disk keeps no agent from starting", () => {
  const lock = lockStateDir(folder.path);
  expect(existsSync(join(folder.path, "agent.lock-journal"))).toBe(false);
  lock.release();
});
