import fc from "fast-check";
import { expect, test } from "vitest";
import { DURATION_MS_MAX, DURATION_PATTERN, parseDurationMs } from "./duration.ts";

test.each<[string, number]>([
  ["0s", 0],
  ["100ms", 100],
  ["30s", 30_000],
  ["1h30m", 5_400_000],
  ["1.5h", 5_400_000],
  ["1.001s", 1_001],
  ["90d", 7_776_000_000],
  ["3650d", DURATION_MS_MAX],
])("%s is read as %d ms", (text, expected) => {
  expect(parseDurationMs(text)).toBe(expected);
});

test.each(["", "5", "s", "-5s", "5 s", "5S", "1h 30m", "1hh", "1.h", "1e3s", "3651d", "5s\n"])(
  "%j is no duration",
  (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  },
);

test("what the schema's pattern accepts is a duration, or too long; what it refuses is none", () => {
  const part = fc.tuple(fc.nat({ max: 9_999 }), fc.constantFrom("ms", "s", "m", "h", "d", "w"));
  const text = fc.array(part, { maxLength: 7 }).map((parts) => parts.flat().join(""));
  const pattern = new RegExp(DURATION_PATTERN);
  fc.assert(
    fc.property(text, (value) => {
      const durationMs = parseDurationMs(value);
      const isSound =
        durationMs === undefined || (pattern.test(value) && durationMs <= DURATION_MS_MAX);
      expect(isSound).toBe(true);
    }),
    { seed: 42, numRuns: 500 },
  );
});
