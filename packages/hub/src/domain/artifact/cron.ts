/** Five fields of cron: minute, hour, day of month, month, day of week. */
interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** Names that stand for numbers, the first for `min`. */
  readonly words?: readonly string[];
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: readonly Field[] = [
  { name: "minute", min: 0, max: 59 },
  { name: "hour", min: 0, max: 23 },
  { name: "day of month", min: 1, max: 31 },
  { name: "month", min: 1, max: 12, words: MONTHS },
  { name: "day of week", min: 0, max: 7, words: DAYS },
];

/**
 * What is wrong with a cron expression; undefined when nothing is. Takes lists, ranges, steps and names as every cron does, and
 * nothing that only some of them take (`L`, `#`, seconds, `@daily`): nodes of different ages must read the same.
 */
export function cronFault(text: string): string | undefined {
  const parts = text.trim().split(/\s+/);
  if (parts.length !== FIELDS.length)
    return `must have five fields (minute, hour, day of month, month, day of week), not ${parts.length}, for example "0 22 * * 1-5"`;
  for (const [index, field] of FIELDS.entries()) {
    const wrong = (parts[index] ?? "").split(",").find((item) => !isItem(item, field));
    if (wrong !== undefined)
      return `${JSON.stringify(wrong)} is no ${field.name}: use ${field.min} to ${field.max}, a range such as ${field.min}-${field.max}, or *, each with a step such as /2`;
  }
  return undefined;
}

function isItem(item: string, field: Field): boolean {
  const [range = "", step, ...more] = item.split("/");
  if (more.length > 0 || (step !== undefined && !/^[1-9]\d?$/.test(step))) return false;
  if (range === "*") return true;
  const [first = "", last, ...rest] = range.split("-");
  if (rest.length > 0) return false;
  const from = valueOf(first, field);
  const to = last === undefined ? from : valueOf(last, field);
  return from !== undefined && to !== undefined && from <= to;
}

function valueOf(text: string, { min, max, words }: Field): number | undefined {
  const place = words?.indexOf(text.toLowerCase()) ?? -1;
  if (place >= 0) return min + place;
  if (!/^\d{1,2}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}
