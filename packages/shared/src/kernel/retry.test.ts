import fc from "fast-check";
import { expect, test } from "vitest";
import { SeededRandom } from "../testing/seeded-random.ts";
import { exponentialMs, fullJitterMs } from "./retry.ts";

const SCHEDULE = { baseMs: 1_000, capMs: 120_000 };

test("without jitter the wait doubles up to the cap", () => {
  expect([0, 1, 2, 6, 7, 1_000].map((attempt) => exponentialMs(SCHEDULE, attempt))).toEqual([
    1_000, 2_000, 4_000, 64_000, 120_000, 120_000,
  ]);
});

test("with full jitter the wait is whole, not negative and below the ceiling, at any attempt", () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat({ max: 1_000_000 }), (seed, attempt) => {
      const waitMs = fullJitterMs(SCHEDULE, attempt, new SeededRandom(seed));
      expect(Number.isSafeInteger(waitMs)).toBe(true);
      expect(waitMs).toBeGreaterThanOrEqual(0);
      expect(waitMs).toBeLessThan(exponentialMs(SCHEDULE, attempt));
    }),
    { seed: 42, numRuns: 500 },
  );
});

test("a fleet that lost the hub at one instant comes back spread over the whole window", () => {
  const random = new SeededRandom(42);
  const tenths = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 10_000; i++) {
    const tenth = Math.floor((fullJitterMs(SCHEDULE, 20, random) / SCHEDULE.capMs) * 10);
    tenths[tenth] = (tenths[tenth] ?? 0) + 1;
  }
  expect(Math.min(...tenths)).toBeGreaterThan(850);
  expect(Math.max(...tenths)).toBeLessThan(1_150);
});
