import { parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { HourLoad } from "@flotilla/shared/model/resources/edge";
import fc from "fast-check";
import { expect, test } from "vitest";
import { hourOf, isBusyHour, KNOWN_HOURS_MIN, roundedLoad, withReading } from "./site-load.ts";

const day = (ratioOf: (hour: number) => number): readonly HourLoad[] =>
  Array.from({ length: 24 }, (_, hour) => ({ hour, cpuRatio: ratioOf(hour) }));

test("hours that are used more than others are busy", () => {
  const shift = day((hour) => (hour >= 8 && hour < 16 ? 0.6 : 0.1));
  expect(shift.filter((h) => isBusyHour(shift, h.hour)).map((h) => h.hour)).toEqual([
    8, 9, 10, 11, 12, 13, 14, 15,
  ]);
});

test("an even day, an idle site and one that is little known have no busy hours", () => {
  for (const load of [
    day(() => 0.9),
    day((hour) => (hour === 3 ? 0.1 : 0.001)),
    day((hour) => (hour === 3 ? 0.9 : 0.1)).slice(0, KNOWN_HOURS_MIN - 1),
  ])
    expect(load.filter((h) => isBusyHour(load, h.hour))).toEqual([]);
  expect(isBusyHour([], 3)).toBe(false);
});

test("readings are folded in, bounded by a day of hours, and stay between what was read", () => {
  const readings = fc.array(
    fc.record({ hour: fc.nat(23), cpuRatio: fc.double({ min: 0, max: 1, noNaN: true }) }),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(readings, (list) => {
      const load = list.reduce<readonly HourLoad[]>(
        (hours, r) => withReading(hours, r.hour, r.cpuRatio),
        [],
      );
      expect(load.map((h) => h.hour)).toEqual(
        [...new Set(list.map((r) => r.hour))].toSorted((a, b) => a - b),
      );
      for (const { hour, cpuRatio } of load) {
        const read = list.filter((r) => r.hour === hour).map((r) => r.cpuRatio);
        expect(cpuRatio).toBeGreaterThanOrEqual(Math.min(...read) - 1e-9);
        expect(cpuRatio).toBeLessThanOrEqual(Math.max(...read) + 1e-9);
      }
    }),
    { seed: 42, numRuns: 200 },
  );
});

test("what is written is rounded, and hours are those of UTC", () => {
  expect(roundedLoad([{ hour: 3, cpuRatio: 0.123_456 }])).toEqual([{ hour: 3, cpuRatio: 0.12 }]);
  expect(hourOf(parseIsoTimeMs("2026-06-01T23:59:59Z") ?? 0)).toBe(23);
});
