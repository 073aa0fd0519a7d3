import { formatBytes } from "../kernel/quantity.ts";

/** Bytes for people: exact where a binary unit divides them, else rounded down to the largest unit with three digits. */
export function readableBytes(bytes: number): string {
  const exact = formatBytes(bytes);
  if (exact.length <= 6) return exact;
  for (const [unit, size] of [
    ["Ti", 2 ** 40],
    ["Gi", 2 ** 30],
    ["Mi", 2 ** 20],
    ["Ki", 2 ** 10],
  ] as const)
    if (bytes >= size) return `${Math.floor((bytes / size) * 100) / 100}${unit}`;
  return exact;
}

/** Most names that a reason lists. */
const LISTED_MAX = 5;

/** Names for people; of many the first few. */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, LISTED_MAX).join(", ");
  return names.length > LISTED_MAX ? `${shown} and ${names.length - LISTED_MAX} more` : shown;
}
