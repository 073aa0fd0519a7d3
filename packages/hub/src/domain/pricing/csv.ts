/** A strict reader of RFC 4180: comma, LF or CRLF, `"` around a field, `""` for one within. Every row is as wide as the first. */

/** Most characters of one field. */
const FIELD_LENGTH_MAX = 1_024;

export type CsvResult =
  | { readonly kind: "rows"; readonly rows: readonly (readonly string[])[] }
  /** `line` counts from 1. */
  | { readonly kind: "wrong"; readonly line: number; readonly message: string };

/** One field and what ends it. Sticky: the next one begins where this one ended. */
const FIELD = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|\n|$)/y;

/** Splits a text into rows. A last empty line is none; an empty text has no rows. */
export function parseCsv(text: string): CsvResult {
  const field = new RegExp(FIELD);
  const rows: string[][] = [];
  let row: string[] = [];
  let line = 1;
  const body = text.startsWith("\uFEFF") ? text.slice(1) : text;
  while (field.lastIndex < body.length) {
    const match = field.exec(body);
    if (match === null) return wrong(line, "a quote that is not closed, or text beside it");
    const value = match[1]?.replaceAll('""', '"') ?? match[2] ?? "";
    if (value.length > FIELD_LENGTH_MAX)
      return wrong(line, `a field of more than ${FIELD_LENGTH_MAX} characters`);
    row.push(value);
    if (match[3] === ",") {
      // A comma at the very end is followed by an empty field.
      if (field.lastIndex === body.length) row.push("");
      else continue;
    }
    rows.push(row);
    const width = rows[0]?.length ?? 0;
    if (row.length !== width) return wrong(line, `${row.length} fields, the header has ${width}`);
    line += match[0].split("\n").length - 1;
    row = [];
  }
  return { kind: "rows", rows };
}

function wrong(line: number, message: string): CsvResult {
  return { kind: "wrong", line, message };
}
