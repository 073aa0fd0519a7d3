import { LATENCY_MS_MAX, type Measures } from "@flotilla/shared/model/measures";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { areWorthSending, MEASURES_REPORT_INTERVAL_MS } from "./significance.ts";
import { PROBE_WINDOW_LENGTH, type Sample, statsOf, withSample } from "./window.ts";

const windowOf = (...samples: readonly Sample[]): readonly Sample[] =>
  samples.reduce<readonly Sample[]>((window, sample) => withSample(window, sample), []);

describe("a window of probes", () => {
  test("keeps the last twenty", () => {
    const window = windowOf(...Array.from({ length: 25 }, (_, i) => i + 1));
    expect(window).toHaveLength(PROBE_WINDOW_LENGTH);
    expect(window[0]).toBe(6);
  });

  test("says the median and the 95th percentile; what was lost counts as long as its timeout", () => {
    const window = windowOf(...Array.from({ length: 18 }, (_, i) => i + 1), "lost", "lost");
    expect(statsOf(window, 500)).toEqual({
      p50Ms: 10,
      p95Ms: 500,
      lossRatio: 0.1,
      sampleCount: 20,
    });
  });

  test("in which all was lost says no latency, an empty one nothing", () => {
    expect(statsOf(windowOf("lost", "lost"), 500)).toEqual({ lossRatio: 1, sampleCount: 2 });
    expect(statsOf([], 500)).toBeUndefined();
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])(
    "counts a round trip of %d as lost",
    (ms) => {
      expect(withSample([], ms)).toEqual(["lost"]);
    },
  );

  test("whatever was measured, what is told keeps to the schema", () => {
    const sample = fc.oneof(
      fc.double(),
      fc.constant<Sample>("lost"),
      fc.double({ min: 1e-9, max: 1e5 }),
    );
    fc.assert(
      fc.property(
        fc.array(sample, { maxLength: 40 }),
        fc.integer({ min: 1, max: LATENCY_MS_MAX }),
        (samples, timeoutMs) => {
          const stats = statsOf(windowOf(...samples), timeoutMs);
          const { p50Ms = 1, p95Ms = 1, lossRatio = 0 } = stats ?? {};
          expect(p50Ms > 0 && p50Ms <= p95Ms && p95Ms <= timeoutMs).toBe(true);
          expect(lossRatio >= 0 && lossRatio <= 1).toBe(true);
        },
      ),
      { seed: 42, numRuns: 500 },
    );
  });
});

describe("measures are worth a message", () => {
  const measures = (p95Ms: number, over: Partial<Measures> = {}): Measures => ({
    latencies: [{ site: "s", p50Ms: 1, p95Ms, lossRatio: 0, sampleCount: 20 }],
    ...over,
  });
  const sent = (m: Measures) => ({ measures: m, sentBootMs: 0 });

  test.each<[string, Measures, Measures, boolean]>([
    ["a latency that hardly moved", measures(10), measures(11.9), false],
    ["a latency that moved", measures(10), measures(12.1), true],
    ["a short latency that moved by less than a millisecond", measures(1), measures(1.9), false],
    [
      "a link that became faster",
      measures(1, { networkBitsPerSecond: 1e9 }),
      measures(1, { networkBitsPerSecond: 1e10 }),
      true,
    ],
    [
      "a disk that was measured for the first time",
      measures(1),
      measures(1, { diskWritesPerSecond: 5 }),
      true,
    ],
    ["a target that is gone", measures(1), {}, true],
    [
      "another target",
      measures(1),
      { latencies: [{ site: "t", p50Ms: 1, p95Ms: 1, lossRatio: 0, sampleCount: 1 }] },
      true,
    ],
    [
      "probes that get lost",
      measures(1),
      { latencies: [{ site: "s", p50Ms: 1, p95Ms: 1, lossRatio: 0.2, sampleCount: 20 }] },
      true,
    ],
  ])("%s", (_name, before, after, isWorth) => {
    expect(areWorthSending(sent(before), after, 1)).toBe(isWorth);
  });

  test("always the first time, and once an hour", () => {
    expect(areWorthSending(undefined, {}, 0)).toBe(true);
    expect(areWorthSending(sent({}), {}, MEASURES_REPORT_INTERVAL_MS - 1)).toBe(false);
    expect(areWorthSending(sent({}), {}, MEASURES_REPORT_INTERVAL_MS)).toBe(true);
  });
});
