import { createTask, parse, validate } from "node-cron";
import type { Calendar, CalendarRule } from "../../app/delivery/ports.ts";

/** Fields of a rule: minute, hour, day of the month, month, day of the week. */
const FIELD_COUNT = 5;
/** Zones change their offset at whole quarters of an hour of UTC. */
const OFFSET_HOLDS_MS = 15 * 60_000;
/** Offsets that are remembered: a fortnight of quarters. */
const OFFSETS_MAX = 1_344;
const MINUTE_MS = 60_000;
const HOUR_MINUTES = 60;
const DAY_HOURS = 24;

/**
 * Calendar rules by node-cron, which says whether a local minute is one of the rule. Which instants those minutes are, and
 * whether a window is open, is reckoned by domain/delivery/window.ts with the agent's own clock.
 */
export class CronCalendar implements Calendar {
  rule(window: { readonly start: string; readonly timeZone?: string }): CalendarRule | undefined {
    const start = window.start.trim();
    if (start.split(/\s+/).length !== FIELD_COUNT || !validate(start)) return undefined;
    const zone = window.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
    const offsetMs = offsetsOf(zone);
    return offsetMs && { offsetMs, names: matcherOf(start) };
  }
}

function matcherOf(start: string): CalendarRule["names"] {
  const { minute, hour } = parse(start);
  // Never started: it is asked, it does not run.
  const task = createTask(start, () => undefined, { timezone: "Etc/UTC" });
  void task.destroy();
  return (localMs) => {
    // Most minutes of a week are neither, and the task takes 20 µs for each.
    const minutes = Math.floor(localMs / MINUTE_MS);
    if (!minute.includes(minutes % HOUR_MINUTES)) return false;
    if (!hour.includes(Math.floor(minutes / HOUR_MINUTES) % DAY_HOURS)) return false;
    return task.match(new Date(localMs));
  };
}

/** Undefined when this machine knows no such zone. */
function offsetsOf(timeZone: string): CalendarRule["offsetMs"] | undefined {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch {
    return undefined;
  }
  const offsetAt = (atMs: number): number => {
    const parts = Object.fromEntries(
      format.formatToParts(atMs).map((p) => [p.type, Number(p.value)]),
    );
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(atMs / 1000) * 1000;
  };
  const known = new Map<number, number>();
  return (atMs) => {
    const quarter = Math.floor(atMs / OFFSET_HOLDS_MS);
    const offset = known.get(quarter) ?? offsetAt(quarter * OFFSET_HOLDS_MS);
    if (known.size >= OFFSETS_MAX) known.clear();
    known.set(quarter, offset);
    return offset;
  };
}
