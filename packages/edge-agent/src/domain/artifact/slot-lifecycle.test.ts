import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { pin } from "../../../test/support/artifact-node.ts";
import { instance } from "../../../test/support/reconcile-builders.ts";
import { reloadsBetween, setText } from "./artifact-sets.ts";
import { EMPTY_LEDGER, ledgerOf, withFetchedAhead, withTaken } from "./prestage.ts";
import { SLOT_LIFECYCLE, type SlotEventKind } from "./slot-lifecycle.ts";
import {
  currentContents,
  FAILED_SETS_MAX,
  goodSlot,
  otherSlot,
  type SlotContents,
  type SlotRecord,
} from "./slot-record.ts";
import { afterSlotEvent, emptySlotRecord, freeSlot, type SlotEvent } from "./slot-transitions.ts";
import {
  activeLock,
  livingLocks,
  locksOfBoot,
  newLock,
  UPDATE_LOCK_FILE_MS_MAX,
  UPDATE_LOCK_MS_MAX,
} from "./update-lock.ts";

const NOW = { bootMs: 1_000, wallMs: 1_750_000_000_000, bootId: "b1" };

function contents(counter: number): Omit<SlotContents, "isGood"> {
  const desired = instance("a", ["serve"], { artifacts: [pin("detector", counter)] });
  return { set: `set-${counter}`, desired, targets: [] };
}

function eventOf(kind: SlotEventKind, counter: number): SlotEvent {
  const { desired } = contents(counter);
  switch (kind) {
    case "made":
      return { kind, contents: contents(counter) };
    case "switched":
      return { kind, desired, failuresBefore: 0, reloads: [], now: NOW };
    case "proved":
    case "respecified":
      return { kind, desired };
    case "failed":
      return { kind, failure: { reason: "CrashLoop", message: "it ended" }, now: NOW };
    case "lost":
      return { kind, slot: counter % 2 === 0 ? "a" : "b" };
    case "resumed":
      return { kind, now: { ...NOW, bootId: `b${counter}` } };
    case "begin":
    case "drop":
    case "intend":
    case "unswitched":
    case "told":
    case "withdrawn":
    case "retry":
      return { kind };
  }
}

/** What can happen to this record. */
function isPossible(record: SlotRecord, event: SlotEvent): boolean {
  const reaction = SLOT_LIFECYCLE[record.phase][event.kind];
  if (reaction === "impossible") return false;
  return reaction !== "prepare" || freeSlot(record) !== undefined;
}

function after(record: SlotRecord, kinds: readonly SlotEventKind[], counter: number): SlotRecord {
  return kinds.reduce((r, kind) => afterSlotEvent(r, eventOf(kind, counter)), record);
}

const INSTALL: readonly SlotEventKind[] = ["begin", "made", "intend", "switched"];
const COMMIT: readonly SlotEventKind[] = [...INSTALL, "proved"];

test("SPEC.md shows the table that the code goes by", () => {
  const spec = readFileSync(join(import.meta.dirname, "SPEC.md"), "utf8").replaceAll(/ +/g, " ");
  for (const [phase, row] of Object.entries(SLOT_LIFECYCLE))
    expect(spec).toContain(`| ${phase} | ${Object.values(row).join(" | ")} |`);
  expect(spec).toContain(`| phase | ${Object.keys(SLOT_LIFECYCLE.absent).join(" | ")} |`);
});

test("the slot with the last good set is never made anew, and what is current was whole", () => {
  const kinds = Object.keys(SLOT_LIFECYCLE.absent).filter((kind) => kind !== "lost");
  const anyStep = fc.record({
    kind: fc.constantFrom(...kinds.filter((k): k is SlotEventKind => k in SLOT_LIFECYCLE.absent)),
    counter: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
      let record = emptySlotRecord("a");
      for (const { counter, kind } of steps) {
        const event = eventOf(kind, counter);
        if (!isPossible(record, event)) continue;
        const good = goodSlot(record);
        const next = afterSlotEvent(record, event);
        // Once there was a good set there always is one, until another has taken its place.
        expect(good === undefined || goodSlot(next) !== undefined).toBe(true);
        expect(next.current === undefined || currentContents(next) !== undefined).toBe(true);
        expect(next.next).not.toBe(next.current ?? "none");
        expect(next.phase === "trial").toBe(next.phase === "trial" && next.trial !== undefined);
        expect(next.failed.length).toBeLessThanOrEqual(FAILED_SETS_MAX);
        record = next;
      }
    }),
    { seed: 42, numRuns: 2_000 },
  );
});

test("with damage in between no cell fails, and what can be gone back to is known or made anew", () => {
  const anyStep = fc.record({
    kind: fc.constantFrom(
      ...Object.keys(SLOT_LIFECYCLE.absent).filter((k): k is SlotEventKind => k !== ""),
    ),
    counter: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
      let record = emptySlotRecord("a");
      let wasGood = false;
      for (const { counter, kind } of steps) {
        const event = eventOf(kind, counter);
        if (!isPossible(record, event)) continue;
        record = afterSlotEvent(record, event);
        wasGood ||= goodSlot(record) !== undefined;
        expect(!wasGood || goodSlot(record) !== undefined || record.damaged !== undefined).toBe(
          true,
        );
        expect(record.phase === "rolling-back" && goodSlot(record) === undefined).toBe(false);
      }
    }),
    { seed: 7, numRuns: 2_000 },
  );
});

test("a set that fails goes back to the one before, with the spec that it ran with, and is remembered", () => {
  const good = after(emptySlotRecord("a"), COMMIT, 1);
  const back = after(after(good, INSTALL, 2), ["failed"], 2);
  expect(back).toMatchObject({ phase: "rolling-back", current: "b", failed: [{ set: "set-2" }] });
  const returned = after(back, ["switched"], 1);
  expect(returned).toMatchObject({ phase: "committed", current: "a", a: { set: "set-1" } });
  expect(returned).not.toHaveProperty("b");
  expect(after(returned, ["retry"], 1).failed).toEqual([]);
});

test("a first set, and a Job's, are tried on when they fail", () => {
  const first = after(after(emptySlotRecord("a"), INSTALL, 1), ["failed"], 1);
  expect(first).toMatchObject({ phase: "trial", trial: { failing: { reason: "CrashLoop" } } });
  expect(freeSlot(first)).toBe("b");
  const good = after(emptySlotRecord("a"), COMMIT, 1);
  const slot = good.current ?? "a";
  const ofJob = contents(1);
  const job: SlotRecord = {
    ...good,
    [slot]: { ...ofJob, isGood: true, desired: { ...ofJob.desired, kind: "Job" } },
  };
  expect(after(after(job, INSTALL, 2), ["failed"], 2)).toMatchObject({ phase: "trial" });
  expect(otherSlot(slot)).not.toBe(slot);
});

test("a set is the same in any order of its pins and files, and another with any other content", () => {
  const [a, b] = [pin("detector", 1), pin("labels", 1)];
  expect(setText([a, b])).toBe(setText([b, a]));
  expect(setText([{ ...a, reload: "none", healthWindowMs: 5 }])).toBe(setText([a]));
  for (const other of [pin("detector", 2), { ...a, path: "elsewhere" }, { ...a, version: "1.0.1" }])
    expect(setText([other])).not.toBe(setText([a]));
});

test("a workload is told each thing once, and only of what has changed", () => {
  const signal = { reload: "signal" } as const;
  const http = { reload: "http", http: { port: 80, path: "/r" } } as const;
  const from = [pin("a", 1, signal), pin("b", 1, signal), pin("c", 1, http), pin("d", 1, http)];
  const to = [pin("a", 2, signal), pin("b", 2, signal), pin("c", 2, http), pin("d", 1, http)];
  expect(reloadsBetween(from, to)).toEqual([
    { kind: "signal", signal: "SIGHUP" },
    { kind: "http", port: 80, path: "/r" },
  ]);
  expect(reloadsBetween(to, to)).toEqual([]);
  expect(reloadsBetween([], [pin("a", 1, { reload: "none" })])).toEqual([]);
});

test("a lock ends by time, over a reboot and whatever the wall clock does", () => {
  const lock = newLock({ reason: "x", forMs: 3_600_000 }, NOW);
  expect(livingLocks([lock], { ...NOW, bootMs: 3_600_999 })).toHaveLength(1);
  expect(livingLocks([lock], { ...NOW, bootMs: 3_601_000 })).toHaveLength(0);
  const rebooted = { bootMs: 50, wallMs: NOW.wallMs + 1_800_000, bootId: "b2" };
  const [left] = locksOfBoot([lock], rebooted);
  expect(left?.untilBootMs).toBe(50 + 1_800_000);
  // A clock that begins in 1970 makes no lock longer than a lock may be.
  const [flat] = locksOfBoot([lock], { bootMs: 50, wallMs: 0, bootId: "b2" });
  expect(flat?.untilBootMs).toBe(50 + UPDATE_LOCK_MS_MAX);
  expect(newLock({ reason: "x", forMs: 10 ** 12 }, NOW).untilBootMs).toBe(
    NOW.bootMs + UPDATE_LOCK_MS_MAX,
  );
});

test("a lock file counts for a day, also one from the future; of several locks the longest is told", () => {
  const file = { reason: "f", changedWallMs: NOW.wallMs + 10 ** 12, firstSeenBootMs: NOW.bootMs };
  const at = (ms: number) => ({ ...NOW, bootMs: NOW.bootMs + ms, wallMs: NOW.wallMs + ms });
  expect(activeLock("a", [], file, at(UPDATE_LOCK_FILE_MS_MAX - 1))).toMatchObject({
    by: "workload",
  });
  expect(activeLock("a", [], file, at(UPDATE_LOCK_FILE_MS_MAX))).toBeUndefined();
  const locks = [
    newLock({ reason: "all", forMs: 2 * 86_400_000 }, NOW),
    newLock({ instance: "b", reason: "b", forMs: 3 * 86_400_000 }, NOW),
  ];
  expect(activeLock("a", locks, file, NOW)).toMatchObject({ by: "operator", reason: "all" });
  expect(activeLock("b", locks, file, NOW)).toMatchObject({ reason: "b" });
});

test("what was fetched ahead counts once, when an instance takes it", () => {
  const artifact = pin("detector", 2);
  const [file] = artifact.files;
  const ahead = file === undefined ? EMPTY_LEDGER : withFetchedAhead(EMPTY_LEDGER, file);
  const taken = withTaken(ahead, [artifact]);
  expect(taken).toEqual({ contents: [], hits: 1, hitBytes: file?.length });
  expect(withTaken(taken, [artifact])).toBe(taken);
  expect(ledgerOf(JSON.parse(JSON.stringify(ahead)))).toEqual(ahead);
  expect([null, 7, {}, { contents: 1 }].map(ledgerOf)).toEqual(Array(4).fill(EMPTY_LEDGER));
});
