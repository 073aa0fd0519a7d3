import { expect, test } from "vitest";
import { isExpired, UNKNOWN_HUB_TIME, withMessage } from "./hub-time.ts";

test("expiry is judged by the hub's clock, counted on by the boot clock", () => {
  const time = withMessage(UNKNOWN_HUB_TIME, 1_000_000, 50);
  expect(isExpired(time, 1_000_500, 550)).toBe(false);
  expect(isExpired(time, 1_000_500, 551)).toBe(true);
  expect(isExpired(time, undefined, 1e9)).toBe(false);
});

test("a message that was long under way does not set the estimate back", () => {
  const time = withMessage(withMessage(UNKNOWN_HUB_TIME, 1_000_000, 50), 1_000_001, 60_000);
  expect(isExpired(time, 1_000_500, 551)).toBe(true);
});

test("without an estimate nothing is expired", () => {
  expect(isExpired(UNKNOWN_HUB_TIME, 1, 1e9)).toBe(false);
});
