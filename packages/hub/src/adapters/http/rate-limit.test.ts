import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { expect, test } from "vitest";
import { RateLimiter } from "./rate-limit.ts";

const limiter = (clock: ManualClock, addressesMax = 10): RateLimiter =>
  new RateLimiter({ burst: 2, perSecond: 0.5, addressesMax }, { clock });

test("an address may make its burst at once, is told how long to wait, and earns requests back", async () => {
  const clock = new ManualClock();
  const limit = limiter(clock);
  expect([limit.take("1.2.3.4"), limit.take("1.2.3.4"), limit.take("1.2.3.4")]).toEqual([0, 0, 2]);
  expect(limit.take("1.2.3.5")).toBe(0);
  await clock.advance(2_000);
  expect([limit.take("1.2.3.4"), limit.take("1.2.3.4")]).toEqual([0, 2]);
});

test("one IPv6 network of /64 is one address, and a mapped IPv4 address is the IPv4 address", () => {
  const limit = limiter(new ManualClock());
  expect([limit.take("2001:db8:1:2::1"), limit.take("2001:db8:1:2:3:4:5:6")]).toEqual([0, 0]);
  expect(limit.take("2001:db8:1:2::ffff")).toBe(2);
  expect(limit.take("2001:db8:1:3::1")).toBe(0);
  expect([limit.take("::ffff:9.9.9.9"), limit.take("9.9.9.9"), limit.take("9.9.9.9")]).toEqual([
    0, 0, 2,
  ]);
});

test("no more addresses are remembered than allowed; the quiet ones go first", () => {
  const limit = limiter(new ManualClock(), 2);
  for (const address of ["a", "a", "b", "c"]) limit.take(address);
  expect(limit.take("c")).toBe(0);
  expect(limit.take("a")).toBe(0);
});
