import { expect, test } from "vitest";
import { renewalAtMs } from "./renewal.ts";

test("a certificate of 90 days is renewed between day 45 and day 54", () => {
  const times = { notBeforeMs: 1_000, notAfterMs: 1_000 + 90 * 86_400_000 };
  expect(renewalAtMs(times, 0)).toBe(1_000 + 45 * 86_400_000);
  expect(renewalAtMs(times, 0.999)).toBeLessThan(1_000 + 54 * 86_400_000);
});
