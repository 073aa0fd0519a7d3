import { messageOf } from "../kernel/errors.ts";
import { JSON_DEPTH_MAX, type Json, jsonDepth } from "../kernel/json.ts";
import { TrustError } from "./refusal.ts";

/**
 * Bytes → JSON for what is signed: one text, one reading. Beyond JSON.parse it refuses whatever two readers could take
 * differently, or what canonical JSON cannot tell apart: repeated keys, `__proto__`, fractions, exponents, negative numbers
 * and -0, integers beyond 2^53, lone surrogates, a byte order mark. The size is judged before anything is decoded.
 * Throws TrustError `metadata-too-large` or `metadata-malformed`.
 */
export function readStrictJson(subject: string, bytes: Uint8Array, bytesMax: number): Json {
  if (bytes.byteLength > bytesMax)
    throw new TrustError("metadata-too-large", {
      subject,
      message: `${bytes.byteLength} bytes, at most ${bytesMax}`,
      mend: "Publish a smaller file; if the publisher's is smaller, the mirror sends something else.",
    });
  const malformed = (message: string): TrustError =>
    new TrustError("metadata-malformed", {
      subject,
      message,
      mend: "Get the file again from the publisher; it was damaged or not made by `flotilla trust`.",
    });
  let value: Json;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    if (jsonDepth(text) > JSON_DEPTH_MAX) throw malformed(`nested deeper than ${JSON_DEPTH_MAX}`);
    value = JSON.parse(text);
  } catch (error) {
    throw error instanceof TrustError ? error : malformed(`no JSON: ${messageOf(error)}`);
  }
  const outside = scanOutsideStrings(text);
  if (outside.hasOddNumber) throw malformed("a number that is no plain whole number");
  const counted = countMembers(value, malformed);
  if (counted !== outside.colonCount) throw malformed("a key stands twice in one object");
  return value;
}

/** What stands outside strings of a text that JSON.parse took. */
function scanOutsideStrings(text: string): { colonCount: number; hasOddNumber: boolean } {
  let colonCount = 0;
  let hasOddNumber = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i] ?? "";
    if (c === '"') i = endOfString(text, i);
    else if (c === ":") colonCount++;
    else if (c === "-" || c === "." || isExponent(text, i)) hasOddNumber = true;
  }
  return { colonCount, hasOddNumber };
}

/** Outside strings an `e` stands in `true`, `false` or after a digit. */
function isExponent(text: string, at: number): boolean {
  if (text[at] !== "e" && text[at] !== "E") return false;
  const before = text[at - 1] ?? "";
  return before >= "0" && before <= "9";
}

function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i;
}

/** Members of all objects within; refuses strings, keys and numbers that have no one reading. */
function countMembers(value: Json, malformed: (message: string) => TrustError): number {
  if (typeof value === "string" && !value.isWellFormed())
    throw malformed("half of a surrogate pair");
  if (typeof value === "number" && !Number.isSafeInteger(value))
    throw malformed(`the number ${value} is beyond 2^53`);
  if (typeof value !== "object" || value === null) return 0;
  if (Array.isArray(value))
    return value.reduce<number>((sum, item: Json) => sum + countMembers(item, malformed), 0);
  let count = 0;
  for (const [key, member] of Object.entries(value)) {
    if (key === "__proto__" || !key.isWellFormed())
      throw malformed(`the key ${JSON.stringify(key)}`);
    count += 1 + countMembers(member, malformed);
  }
  return count;
}
