import type { HourLoad } from "@flotilla/shared/model/resources/edge";

/** Hours that must be known before any counts as busy: half a day. */
export const KNOWN_HOURS_MIN = 12;
/** An hour is busy when its CPU use is so many times the mean of all known hours … */
export const BUSY_FACTOR = 1.25;
/** … and at least so high: an idle site has no peaks. */
export const BUSY_CPU_RATIO_MIN = 0.2;
/** Weight of what is read now against what an hour was on earlier days: one reading in five minutes, so a day counts for about a third. */
const READING_WEIGHT = 0.04;

/** The hours with one more reading, sorted by hour; at most 24. The first reading of an hour is its value. */
export function withReading(
  hours: readonly HourLoad[],
  hour: number,
  cpuRatio: number,
): readonly HourLoad[] {
  const before = hours.find((h) => h.hour === hour);
  const next =
    before === undefined
      ? cpuRatio
      : before.cpuRatio + READING_WEIGHT * (cpuRatio - before.cpuRatio);
  return [...hours.filter((h) => h.hour !== hour), { hour, cpuRatio: next }].toSorted(
    (a, b) => a.hour - b.hour,
  );
}

/** As it is written: to whole percent, so that it is written seldom. */
export function roundedLoad(hours: readonly HourLoad[]): HourLoad[] {
  return hours.map(({ hour, cpuRatio }) => ({ hour, cpuRatio: Math.round(cpuRatio * 100) / 100 }));
}

/** Whether the site is used much at this hour, as far as is known. */
export function isBusyHour(hours: readonly HourLoad[], hour: number): boolean {
  const now = hours.find((h) => h.hour === hour);
  if (now === undefined || hours.length < KNOWN_HOURS_MIN) return false;
  const mean = hours.reduce((sum, h) => sum + h.cpuRatio, 0) / hours.length;
  return now.cpuRatio >= BUSY_CPU_RATIO_MIN && now.cpuRatio >= BUSY_FACTOR * mean;
}

/** Hour of the day, UTC. */
export function hourOf(nowMs: number): number {
  return Math.floor(nowMs / 3_600_000) % 24;
}
