import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseActive, type StandbyCandidate } from "./standby.ts";

const list = (health: Readonly<Record<string, StandbyCandidate["health"]>>) =>
  Object.entries(health).map(([name, h]) => ({ name, health: h }));
const base = { isDemanded: false, nowMs: 1_000_000 };

describe("who is active", () => {
  test("the first healthy one; it stays while it may come back, and gives way when it is lost", () => {
    const all = list({ a: "healthy", b: "healthy" });
    expect(chooseActive({ ...base, candidates: all }).active).toBe("a");
    const cut = list({ a: "away", b: "healthy" });
    expect(chooseActive({ ...base, candidates: cut, active: "a" }).active).toBe("a");
    const lost = list({ a: "lost", b: "healthy" });
    const after = chooseActive({ ...base, candidates: lost, active: "a" });
    expect(after).toEqual({ active: "b", reason: "a is lost; b takes over" });
    const nobody = list({ a: "lost", b: "away" });
    expect(chooseActive({ ...base, candidates: nobody, active: "a" }).active).toBe("a");
    expect(chooseActive({ ...base, candidates: nobody }).active).toBeUndefined();
  });

  test("back only on demand, or once the earlier one has been healthy long enough without a break", () => {
    const candidates = list({ a: "healthy", b: "healthy" });
    const at = (nowMs: number, stableSinceMs?: number, failbackAfterMs?: number) =>
      chooseActive({
        candidates,
        active: "b",
        isDemanded: false,
        nowMs,
        ...(stableSinceMs === undefined ? {} : { stableSinceMs }),
        ...(failbackAfterMs === undefined ? {} : { failbackAfterMs }),
      });
    expect(at(1_000)).toMatchObject({ active: "b", stableSinceMs: 1_000 });
    expect(at(9_000_000, 1_000).active).toBe("b");
    expect(at(1_500, 1_000, 600)).toMatchObject({ active: "b", stableSinceMs: 1_000 });
    expect(at(1_600, 1_000, 600)).toEqual({
      active: "a",
      reason: "back to a, which has been healthy long enough",
    });
    // A clock that was set back begins anew instead of waiting for ever.
    expect(at(500, 1_000, 600)).toMatchObject({ active: "b", stableSinceMs: 500 });
    expect(chooseActive({ ...base, candidates, active: "b", isDemanded: true }).active).toBe("a");
  });

  test("a break begins the time anew", () => {
    const candidates = list({ a: "away", b: "healthy" });
    const during = chooseActive({ ...base, candidates, active: "b", stableSinceMs: 1 });
    expect(during).toEqual({ active: "b", reason: "b is active" });
  });

  test("a healthy active one changes only for an earlier one", () => {
    const health = fc.constantFrom<StandbyCandidate["health"]>("healthy", "away", "lost");
    fc.assert(
      fc.property(
        fc.array(health, { minLength: 1, maxLength: 5 }),
        fc.nat(4),
        fc.boolean(),
        fc.nat(100),
        (states, index, isDemanded, waitedMs) => {
          const candidates = states.map((h, i) => ({ name: `c${i}`, health: h }));
          const active = candidates[index % candidates.length] ?? { name: "", health: "lost" };
          const next = chooseActive({
            candidates,
            active: active.name,
            isDemanded,
            stableSinceMs: 0,
            failbackAfterMs: 50,
            nowMs: waitedMs,
          });
          if (active.health === "lost" || next.active === active.name) return;
          const [from, to] = [active.name, next.active].map((name) =>
            candidates.findIndex((c) => c.name === name),
          );
          expect(to).toBeLessThan(from ?? 0);
          expect(isDemanded || waitedMs >= 50).toBe(true);
          expect(candidates[to ?? 0]?.health).toBe("healthy");
        },
      ),
      { seed: 20_261_125, numRuns: 500 },
    );
  });
});
