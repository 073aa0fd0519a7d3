import fc from "fast-check";
import { expect, test } from "vitest";
import { ISO_TIME_MS_MAX, isoTime, parseIsoTimeMs } from "./iso-time.ts";

test("a time prints as Date prints it, and reads back, over every year from 1970 to 9999", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: ISO_TIME_MS_MAX }), (ms) => {
      // oxlint-disable-next-line no-restricted-globals -- the platform is what ours is held against
      expect(isoTime(ms)).toBe(new Date(ms).toISOString());
      expect(parseIsoTimeMs(isoTime(ms))).toBe(ms);
    }),
    { seed: 42, numRuns: 2000 },
  );
});

test("times that have no four-digit year are held at the bounds", () => {
  expect(isoTime(-1)).toBe("1970-01-01T00:00:00.000Z");
  expect(isoTime(8.64e15 + 1)).toBe("9999-12-31T23:59:59.999Z");
});

test.each(["", "2026", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01 00:00:00Z"])(
  "%j is no time",
  (text) => {
    expect(parseIsoTimeMs(text)).toBeUndefined();
  },
);

test("a time without a fraction of a second is read", () => {
  expect(parseIsoTimeMs("2026-11-25T16:39:02Z")).toBe(1_795_624_742_000);
});
