import { expect, test } from "vitest";
import { GuessLimiter, LOCKOUT_KEYS_MAX, LOCKOUT_MS } from "./guess-limiter.ts";

test("a key is locked at its limit and free again once it has been quiet", () => {
  const limiter = new GuessLimiter();
  for (let i = 1; i <= 3; i++) expect(limiter.countWrong("a", 1000)).toBe(i);
  expect(limiter.isLocked("a", 4, 1000)).toBe(false);
  expect(limiter.isLocked("a", 3, 1000)).toBe(true);
  expect(limiter.isLocked("a", 3, 999 + LOCKOUT_MS)).toBe(true);
  expect(limiter.isLocked("a", 3, 1000 + LOCKOUT_MS)).toBe(false);
  expect(limiter.countWrong("a", 1000 + LOCKOUT_MS)).toBe(1);
});

test("one key's guesses do not lock another", () => {
  const limiter = new GuessLimiter();
  limiter.countWrong("a", 0);
  expect(limiter.isLocked("b", 1, 0)).toBe(false);
});

test("memory is bounded: the key that guessed longest ago is forgotten", () => {
  const limiter = new GuessLimiter();
  for (let i = 0; i <= LOCKOUT_KEYS_MAX; i++) limiter.countWrong(`k${i}`, i);
  expect(limiter.size).toBe(LOCKOUT_KEYS_MAX);
  expect(limiter.isLocked("k0", 1, LOCKOUT_KEYS_MAX)).toBe(false);
  expect(limiter.isLocked("k1", 1, LOCKOUT_KEYS_MAX)).toBe(true);
});
