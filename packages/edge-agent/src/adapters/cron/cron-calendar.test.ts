import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { expect, test } from "vitest";
import { Windows } from "../../app/delivery/windows.ts";
import { lastStart } from "../../domain/delivery/window.ts";
import { CronCalendar } from "./cron-calendar.ts";

const HOUR_MS = 3_600_000;
const BERLIN = "Europe/Berlin";
const calendar = new CronCalendar();

/** Every start in a span, oldest first. */
function startsIn(start: string, timeZone: string, from: string, to: string): readonly string[] {
  const rule = calendar.rule({ start, timeZone });
  if (rule === undefined) throw new Error("no rule");
  const found: string[] = [];
  let toMs = Date.parse(to);
  for (;;) {
    const at = lastStart(rule, { fromMs: Date.parse(from) - 60_000, toMs });
    if (at === undefined) return found.toReversed();
    found.push(new Date(at).toISOString().slice(0, 16));
    toMs = at - 60_000;
  }
}

test("rules of five fields are read, others are not", () => {
  for (const start of ["0 2 * * *", " */5 1-3 * * 1-5 ", "30 23 1,15 * *"])
    expect(calendar.rule({ start })).toBeDefined();
  for (const start of [
    "",
    "0 2 * *",
    "0 0 2 * * *",
    "61 2 * * *",
    "@daily",
    "a b c d e",
    "0 2 * * * ; x",
  ])
    expect(calendar.rule({ start })).toBeUndefined();
  expect(calendar.rule({ start: "0 2 * * *", timeZone: "Mars/Olympus" })).toBeUndefined();
});

test("a start that the clock leaves out in spring begins when the clock passes it", () => {
  // 2026-03-29 in Berlin: 01:59 is followed by 03:00.
  expect(startsIn("30 2 * * *", BERLIN, "2026-03-28T00:00Z", "2026-03-31T00:00Z")).toEqual([
    "2026-03-28T01:30",
    "2026-03-29T01:00",
    "2026-03-30T00:30",
  ]);
});

test("a start that comes twice in autumn begins once", () => {
  // 2026-10-25 in Berlin: 02:59 is followed by 02:00.
  expect(startsIn("30 2 * * *", BERLIN, "2026-10-24T00:00Z", "2026-10-27T00:00Z")).toEqual([
    "2026-10-24T00:30",
    "2026-10-25T00:30",
    "2026-10-26T01:30",
  ]);
});

test("zones that change by half an hour, or not at all, are right too", () => {
  // Lord Howe goes from +10:30 to +11 at 02:00 on 2026-10-04.
  expect(
    startsIn("10 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00Z", "2026-10-04T12:00Z"),
  ).toEqual(["2026-10-03T15:30"]);
  expect(startsIn("0 12 * * *", "Asia/Kolkata", "2026-06-01T00:00Z", "2026-06-02T00:00Z")).toEqual([
    "2026-06-01T06:30",
  ]);
});

test("a window over midnight of a weekday is open on the next day too", async () => {
  const clock = new ManualClock({ wallMs: Date.parse("2026-06-05T20:59:00Z") });
  const windows = new Windows({ calendar, clock, log: new RecordingLog() });
  // Fridays from 23:00 in Berlin, six hours.
  windows.use([{ start: "0 23 * * 5", durationMs: 6 * HOUR_MS, timeZone: BERLIN }]);
  expect(windows.isOpen()).toBe(false);
  await clock.advance(60_000);
  expect(windows.isOpen()).toBe(true);
  await clock.advance(6 * HOUR_MS - 1);
  expect(windows.isOpen()).toBe(true);
  await clock.advance(1);
  expect(windows.isOpen()).toBe(false);
});

test("an agent that starts within a window finds it open, and one whose clock was put back looks again", () => {
  const clock = new ManualClock({ wallMs: Date.parse("2026-06-03T03:00:00Z") });
  const windows = new Windows({ calendar, clock, log: new RecordingLog() });
  windows.use([{ start: "0 1 * * 1", durationMs: 7 * 24 * HOUR_MS, timeZone: "Etc/UTC" }]);
  expect(windows.isOpen()).toBe(true);
  windows.use([{ start: "0 2 * * *", durationMs: 2 * HOUR_MS, timeZone: "Etc/UTC" }]);
  expect(windows.isOpen()).toBe(true);
  clock.setWall(Date.parse("2026-06-03T01:00:00Z"));
  expect(windows.isOpen()).toBe(false);
  clock.setWall(Date.parse("2026-06-03T02:30:00Z"));
  expect(windows.isOpen()).toBe(true);
});

test("who waits goes on when the window opens; a window that cannot be read never opens, and that is said", async () => {
  const clock = new ManualClock({ wallMs: Date.parse("2026-06-03T01:00:00Z") });
  const log = new RecordingLog();
  const windows = new Windows({ calendar, clock, log });
  windows.use([{ start: "0 2 * * *", durationMs: HOUR_MS, timeZone: "Etc/UTC" }]);
  let isThrough = false;
  const waiting = windows.opened(new AbortController().signal).then(() => {
    isThrough = true;
  });
  await clock.advance(HOUR_MS - 60_000);
  expect(isThrough).toBe(false);
  await clock.advance(120_000);
  await waiting;
  windows.use([{ start: "never at all", durationMs: HOUR_MS }]);
  expect(windows.isOpen()).toBe(false);
  windows.use(undefined);
  expect(windows.isOpen()).toBe(true);
  expect(log.lines.length).toBe(1);
});
