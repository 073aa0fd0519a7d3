import { expect, test } from "vitest";
import { ManualClock } from "./manual-clock.ts";
import { RecordingMetrics } from "./recording-metrics.ts";
import { SeededRandom } from "./seeded-random.ts";

test("the manual clock wakes sleepers in the order in which they are due, also those that sleep again", async () => {
  const clock = new ManualClock({ bootMs: 100, wallMs: 5_000 });
  const events: string[] = [];
  const tick = async (name: string, everyMs: number): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      await clock.sleep(everyMs);
      events.push(`${name}@${clock.bootMs()}`);
    }
  };
  void tick("slow", 25);
  void tick("fast", 10);
  await clock.advance(80);
  expect(events).toEqual(["fast@110", "fast@120", "slow@125", "fast@130", "slow@150", "slow@175"]);
  expect([clock.bootMs(), clock.wallMs(), clock.sleeperCount]).toEqual([180, 5_080, 0]);
});

test("in a suspend boot time goes on and timers do not", async () => {
  const clock = new ManualClock();
  let woke = false;
  void clock.sleep(1_000).then(() => {
    woke = true;
  });
  clock.suspend(3_600_000);
  await clock.advance(999);
  expect([clock.bootMs(), woke]).toEqual([3_600_999, false]);
  await clock.advance(1);
  expect(woke).toBe(true);
  clock.setWall(0);
  expect([clock.wallMs(), clock.bootMs()]).toEqual([0, 3_601_000]);
});

test("a sleep that is aborted rejects with the reason and leaves no sleeper", async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const sleeping = clock.sleep(10, stop.signal);
  stop.abort(new Error("enough"));
  await expect(sleeping).rejects.toThrow("enough");
  await expect(clock.sleep(10, stop.signal)).rejects.toThrow("enough");
  expect(clock.sleeperCount).toBe(0);
});

test("the same seed draws the same numbers, another seed others, all of them in [0, 1)", () => {
  const draw = (seed: number): number[] => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 1_000 }, () => random.unit("test"));
  };
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
  expect(draw(7).every((x) => x >= 0 && x < 1)).toBe(true);
  const mean = draw(7).reduce((sum, x) => sum + x, 0) / 1_000;
  expect(mean).toBeGreaterThan(0.45);
  expect(mean).toBeLessThan(0.55);
});

test("recorded metrics answer by some of their labels", () => {
  const metrics = new RecordingMetrics();
  metrics.count("a", { kind: "x", node: "1" });
  metrics.count("a", { kind: "y", node: "1" }, 2);
  metrics.set("g", 1);
  metrics.set("g", 5);
  metrics.observe("h", 0.5);
  expect([metrics.total("a"), metrics.total("a", { kind: "y" }), metrics.total("b")]).toEqual([
    3, 2, 0,
  ]);
  expect([metrics.value("g"), metrics.value("none")]).toEqual([5, undefined]);
  expect(metrics.observations("h")).toEqual([0.5]);
});
