/**
 * Wall-clock milliseconds ↔ ISO 8601 in UTC, without Date, so that pure code can print a time that it was given.
 * Days ↔ civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 */
const DAY_MS = 86_400_000;
/** 9999-12-31T23:59:59.999Z: later times have no four-digit year. */
export const ISO_TIME_MS_MAX = 253_402_300_799_999;

const ISO = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?Z$/;

/** `2026-11-25T16:39:02.123Z`. Times before 1970 and after 9999 are held at those bounds. */
export function isoTime(wallMs: number): string {
  const ms = Math.min(Math.max(Math.trunc(wallMs), 0), ISO_TIME_MS_MAX);
  const { year, month, day } = civilOfDays(Math.floor(ms / DAY_MS));
  const rest = ms % DAY_MS;
  const hours = Math.floor(rest / 3_600_000);
  const minutes = Math.floor(rest / 60_000) % 60;
  const seconds = Math.floor(rest / 1000) % 60;
  const date = `${padded(year, 4)}-${padded(month, 2)}-${padded(day, 2)}`;
  const time = `${padded(hours, 2)}:${padded(minutes, 2)}:${padded(seconds, 2)}`;
  return `${date}T${time}.${padded(rest % 1000, 3)}Z`;
}

/** Milliseconds since 1970 of an ISO 8601 time in UTC (`Z`); undefined for anything else. */
export function parseIsoTimeMs(text: string): number | undefined {
  const match = ISO.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hours, minutes, seconds] = match.slice(1, 7).map(Number);
  if (year === undefined || month === undefined || day === undefined) return undefined;
  if (hours === undefined || minutes === undefined || seconds === undefined) return undefined;
  if (month < 1 || month > 12 || day < 1 || day > 31) return undefined;
  if (hours > 23 || minutes > 59 || seconds > 60) return undefined;
  const fractionMs = Math.floor(Number(`0.${match[7] ?? "0"}`) * 1000 + 1e-6);
  const timeMs = hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + fractionMs;
  return daysOfCivil(year, month, day) * DAY_MS + timeMs;
}

function civilOfDays(days: number): { year: number; month: number; day: number } {
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

function daysOfCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

function padded(value: number, width: number): string {
  return String(value).padStart(width, "0");
}
