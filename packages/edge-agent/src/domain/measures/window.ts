import type { LatencyStats } from "@flotilla/shared/model/measures";

/** Probes of one target that are kept: at the usual interval the last ten minutes. */
export const PROBE_WINDOW_LENGTH = 20;

/** One probe: its round trip in milliseconds, or lost. */
export type Sample = number | "lost";

/** The window after one more probe. A round trip that is no time counts as lost: nothing answers in no time. */
export function withSample(window: readonly Sample[], sample: Sample): readonly Sample[] {
  const isTime = sample !== "lost" && Number.isFinite(sample) && sample > 0;
  const next: readonly Sample[] = [...window, isTime ? sample : "lost"];
  return next.slice(-PROBE_WINDOW_LENGTH);
}

/** What a window says; undefined when it is empty. Percentiles by nearest rank, rounded up to a hundredth of a millisecond. */
export function statsOf(window: readonly Sample[], timeoutMs: number): LatencyStats | undefined {
  const sampleCount = window.length;
  if (sampleCount === 0) return undefined;
  const lostCount = window.filter((sample) => sample === "lost").length;
  const lossRatio = Math.round((lostCount / sampleCount) * 1_000) / 1_000;
  if (lostCount === sampleCount) return { lossRatio, sampleCount };
  const sorted = window
    .map((sample) => (sample === "lost" ? timeoutMs : Math.min(sample, timeoutMs)))
    .toSorted((a, b) => a - b);
  const at = (percentile: number): number => {
    const value = sorted[Math.ceil(percentile * sampleCount) - 1] ?? timeoutMs;
    return Math.ceil(value * 100) / 100;
  };
  return { p50Ms: at(0.5), p95Ms: at(0.95), lossRatio, sampleCount };
}
