import type { LatencyStats, Measures } from "@flotilla/shared/model/measures";

/** Measures are told anew when one has moved beyond its step; otherwise this often. */
export const MEASURES_REPORT_INTERVAL_MS = 3_600_000;
/** A measured value moves when it changes by more than this share … */
const STEP_RATIO = 0.2;
/** … and a latency by more than this as well. */
const STEP_LATENCY_MS = 1;
/** A loss ratio moves by more than this. */
const STEP_LOSS_RATIO = 0.1;

/** True when `next` should be sent, given what was sent last and when. */
export function areWorthSending(
  last: { readonly measures: Measures; readonly sentBootMs: number } | undefined,
  next: Measures,
  nowBootMs: number,
): boolean {
  if (last === undefined || nowBootMs - last.sentBootMs >= MEASURES_REPORT_INTERVAL_MS) return true;
  const { measures: before } = last;
  const sites = new Map((before.latencies ?? []).map((l) => [l.site, l]));
  return (
    moved(before.networkBitsPerSecond, next.networkBitsPerSecond, 0) ||
    moved(before.diskWritesPerSecond, next.diskWritesPerSecond, 0) ||
    statsMoved(before.hubLatency, next.hubLatency) ||
    sites.size !== (next.latencies?.length ?? 0) ||
    (next.latencies ?? []).some((l) => statsMoved(sites.get(l.site), l))
  );
}

function statsMoved(before: LatencyStats | undefined, next: LatencyStats | undefined): boolean {
  if (before === undefined || next === undefined) return before !== next;
  return (
    moved(before.p50Ms, next.p50Ms, STEP_LATENCY_MS) ||
    moved(before.p95Ms, next.p95Ms, STEP_LATENCY_MS) ||
    Math.abs(before.lossRatio - next.lossRatio) > STEP_LOSS_RATIO
  );
}

function moved(before: number | undefined, next: number | undefined, floor: number): boolean {
  if (before === undefined || next === undefined) return before !== next;
  return Math.abs(next - before) > Math.max(floor, STEP_RATIO * before);
}
