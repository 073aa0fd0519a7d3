import stringWidth from "string-width";

/** Spaces between columns. */
const GAP = 3;

/** Replaces what would let a name or a log line from elsewhere steer the terminal (Unicode category Cc but tab and newline). */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (control) =>
    control === "\t" || control === "\n" ? control : "\ufffd",
  );
}

/**
 * A table as text, columns as wide as their widest cell on a terminal (Chinese characters count two, joined emoji
 * once). The last column is not padded.
 */
export function formatTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  options: { readonly noHeaders?: boolean } = {},
): string {
  const clean = rows.map((row) =>
    headers.map((_, i) => printable((row[i] ?? "").replaceAll("\n", " "))),
  );
  const lines = options.noHeaders === true ? clean : [headers, ...clean];
  const widths = headers.map((_, i) =>
    Math.max(0, ...lines.map((line) => stringWidth(line[i] ?? ""))),
  );
  return lines.map((line) => joinCells(line, widths)).join("");
}

function joinCells(cells: readonly string[], widths: readonly number[]): string {
  const padded = cells.map((cell, i) =>
    i === cells.length - 1 ? cell : cell + " ".repeat((widths[i] ?? 0) - stringWidth(cell) + GAP),
  );
  return `${padded.join("").trimEnd()}\n`;
}

/** `13.9 MB`: for people, to three digits; powers of ten, as disks and networks count. */
export function sizeText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [value, unit] = [bytes, 0];
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** `3h12m`, `45s`, `17d`: how long ago, as kubectl prints an age. */
export function age(fromIso: string | undefined, nowMs: number): string {
  const from = Date.parse(fromIso ?? "");
  if (Number.isNaN(from)) return "<unknown>";
  const seconds = Math.max(0, Math.floor((nowMs - from) / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10)
    return minutes < 10 && seconds % 60 !== 0 ? `${minutes}m${seconds % 60}s` : `${minutes}m`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h`;
  return `${Math.floor(hours / 24)}d`;
}
