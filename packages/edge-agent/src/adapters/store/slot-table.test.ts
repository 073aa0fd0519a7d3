import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { expect, test } from "vitest";
import { emptySlotRecord } from "../../domain/artifact/slot-transitions.ts";
import { BlobTable } from "./blob-table.ts";
import { SlotTable } from "./slot-table.ts";
import { SqliteAgentStore } from "./sqlite-agent-store.ts";

function open(): { readonly store: SqliteAgentStore; readonly log: RecordingLog } {
  const log = new RecordingLog();
  const deps = { clock: new ManualClock(), random: new SeededRandom(1), log };
  return { store: new SqliteAgentStore({ directory: ":memory:" }, deps), log };
}

test("records and memos are as they were put, the last one counts", () => {
  const { store, log } = open();
  const table = new SlotTable({ store, log });
  expect(table.slots()).toEqual([]);
  expect(table.memo("prestage")).toBeUndefined();
  table.putSlot({ ...emptySlotRecord("b"), phase: "preparing", next: "a" });
  table.putSlot(emptySlotRecord("a"));
  table.putSlot(emptySlotRecord("b"));
  table.putMemo("prestage", { hits: 1 });
  table.putMemo("prestage", { hits: 2 });
  const again = new SlotTable({ store, log });
  expect(again.slots()).toEqual([emptySlotRecord("a"), emptySlotRecord("b")]);
  expect(again.memo("prestage")).toEqual({ hits: 2 });
  again.deleteSlot("a");
  again.deleteSlot("a");
  expect(table.slots()).toEqual([emptySlotRecord("b")]);
});

test("a record that cannot be read is left out and said; the others stay", () => {
  const { store, log } = open();
  const table = new SlotTable({ store, log });
  table.putSlot(emptySlotRecord("good"));
  store.database.exec(`INSERT INTO slot VALUES ('cut', '{"id":"cut","ph'), ('odd', '{"id":7}')`);
  store.database.exec("INSERT INTO memo VALUES ('prestage', '{')");
  expect(table.slots()).toEqual([emptySlotRecord("good")]);
  expect(table.memo("prestage")).toBeUndefined();
  expect(log.lines.filter((line) => line.level === "error")).toHaveLength(2);
});

test("what is written within a transaction that fails was never written", () => {
  const { store, log } = open();
  const table = new SlotTable({ store, log });
  const blobs = new BlobTable({ store });
  expect(() =>
    store.transaction(() => {
      table.putSlot(emptySlotRecord("a"));
      blobs.put({ sha256: "0", lengthBytes: 1, stamp: "1:1:1", usedWallMs: 1 });
      throw new Error("no");
    }),
  ).toThrow("no");
  expect(table.slots()).toEqual([]);
  expect(blobs.all()).toEqual([]);
});

test("rows of contents are put, found, replaced and removed", () => {
  const { store } = open();
  const table = new BlobTable({ store });
  const row = { sha256: "a", lengthBytes: 3, stamp: "9:3:1", usedWallMs: 5 };
  table.put(row);
  table.put({ ...row, usedWallMs: 6 });
  expect(table.get("a")).toEqual({ ...row, usedWallMs: 6 });
  table.remove("a");
  expect(table.get("a")).toBeUndefined();
  expect(table.all()).toEqual([]);
});
