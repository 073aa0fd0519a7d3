/** One stretch of a file. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * Reads a Range header (RFC 9110 §14.2) against a file of `totalBytes`: one stretch, or the whole without a header or in another
 * unit. Several stretches at once, and one that is none or begins behind the end, are `unsatisfiable`.
 */
export function rangeOf(
  header: string | undefined,
  totalBytes: number,
): ByteRange | "whole" | "unsatisfiable" {
  if (header === undefined || !/^bytes=/i.test(header)) return "whole";
  const found = /^bytes= *(\d{0,15}) *- *(\d{0,15}) *$/i.exec(header);
  if (found === null) return "unsatisfiable";
  const [, first = "", last = ""] = found;
  if (first === "") return suffix(last, totalBytes);
  const offset = Number(first);
  const end = last === "" ? totalBytes - 1 : Math.min(Number(last), totalBytes - 1);
  if (offset >= totalBytes || end < offset) return "unsatisfiable";
  return { offset, length: end - offset + 1 };
}

function suffix(last: string, totalBytes: number): ByteRange | "unsatisfiable" {
  const length = Math.min(Number(last), totalBytes);
  if (last === "" || length === 0) return "unsatisfiable";
  return { offset: totalBytes - length, length };
}
