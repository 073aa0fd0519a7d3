import { expect, test } from "vitest";
import { TokenBucket } from "./token-bucket.ts";

test("a burst passes at once, then so many a second", () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 3, nowMs: 0 });
  expect([1, 2, 3, 4].map(() => bucket.tryTake(0))).toEqual([true, true, true, false]);
  expect(bucket.tryTake(99)).toBe(false);
  expect(bucket.tryTake(100)).toBe(true);
  expect(bucket.tryTake(100)).toBe(false);
});

test("who takes too much waits as long as the debt lasts, and saves up no more than a burst", () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 5, nowMs: 0 });
  expect(bucket.charge(25, 0)).toBe(-20);
  expect(bucket.debtMs).toBe(2000);
  expect(bucket.charge(0, 2000)).toBe(0);
  expect(bucket.debtMs).toBe(0);
  expect(bucket.charge(0, 1e9)).toBe(5);
});

test("a clock that steps back gives and takes nothing", () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 5, nowMs: 1000 });
  bucket.charge(5, 1000);
  expect(bucket.charge(0, 0)).toBe(0);
});
