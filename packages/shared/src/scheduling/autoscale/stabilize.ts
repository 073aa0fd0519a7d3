/** A recommendation that held from this moment until the next one; the last one holds still. */
export interface Recommendation {
  readonly atMs: number;
  readonly replicas: number;
}

interface Windows {
  readonly recommendations: readonly Recommendation[];
  readonly scaleUpWindowMs: number;
  readonly scaleDownWindowMs: number;
  readonly nowMs: number;
}

/** Most recommendations that are kept: those of an hour, when each of every 15 s differs. Of more the oldest go. */
export const RECOMMENDATIONS_MAX = 240;

/**
 * The recommendations with this one added: written down only where it differs from the last, so that quiet times change
 * nothing. Those that ended before the longer window are dropped; so are those of a clock that was ahead.
 */
export function scalingOf(windows: Windows, replicas: number): readonly Recommendation[] {
  const { recommendations, nowMs } = windows;
  const past = recommendations.filter((r) => r.atMs <= nowMs);
  const last = past.at(-1);
  if (last?.replicas === replicas) return past;
  const beginMs = nowMs - Math.max(windows.scaleUpWindowMs, windows.scaleDownWindowMs);
  const kept = past.filter((_, index) => (past[index + 1]?.atMs ?? nowMs) >= beginMs);
  return [...kept, { atMs: nowMs, replicas }].slice(-RECOMMENDATIONS_MAX);
}

/**
 * Down only to the highest, up only to the lowest of what held within the windows (HPA's stabilizationWindowSeconds). So
 * after a rise nothing falls until its reason has been gone for the whole window.
 */
export function stabilized(
  windows: Pick<Windows, "scaleUpWindowMs" | "scaleDownWindowMs" | "nowMs">,
  recommendations: readonly Recommendation[],
  current: number,
): number {
  const within = (windowMs: number): readonly number[] =>
    recommendations.flatMap(({ replicas }, index) => {
      const endMs = recommendations[index + 1]?.atMs ?? windows.nowMs;
      const isLast = index === recommendations.length - 1;
      return isLast || endMs > windows.nowMs - windowMs ? [replicas] : [];
    });
  const lowest = Math.min(...within(windows.scaleUpWindowMs));
  const highest = Math.max(...within(windows.scaleDownWindowMs));
  if (current < lowest) return lowest;
  return current > highest ? highest : current;
}
