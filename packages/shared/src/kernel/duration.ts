const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const PART = /(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)/g;

/** The pattern of a duration for schemas: `100ms`, `30s`, `1h30m`, `90d`. */
export const DURATION_PATTERN = "^(?:[0-9]{1,12}(?:\\.[0-9]{1,6})?(?:ms|s|m|h|d)){1,5}$";

const WHOLE = new RegExp(DURATION_PATTERN);

/** Longest duration accepted: ten years. */
export const DURATION_MS_MAX: number = 10 * 365 * 86_400_000;

/** Whole milliseconds of a Go-like duration (with `d` for days); undefined when it is none or longer than ten years. */
export function parseDurationMs(text: string): number | undefined {
  if (!WHOLE.test(text)) return undefined;
  let totalMs = 0;
  for (const match of text.matchAll(PART))
    totalMs += Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? Number.NaN);
  return totalMs <= DURATION_MS_MAX ? Math.round(totalMs) : undefined;
}
