const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const PART = /(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)/y;

/** The pattern of a duration for schemas: `100ms`, `30s`, `1h30m`, `90d`. */
export const DURATION_PATTERN = "^(?:[0-9]{1,12}(?:\\.[0-9]{1,6})?(?:ms|s|m|h|d)){1,5}$";

/** Longest duration accepted: ten years. */
export const DURATION_MS_MAX: number = 10 * 365 * 86_400_000;

/** Milliseconds of a Go-like duration (with `d` for days); undefined when it is none or longer than ten years. */
export function parseDurationMs(text: string): number | undefined {
  let total = 0;
  let end = 0;
  for (const match of text.matchAll(new RegExp(PART, "gy"))) {
    total += Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? Number.NaN);
    end = match.index + match[0].length;
  }
  return end === text.length && end > 0 && total <= DURATION_MS_MAX ? total : undefined;
}
