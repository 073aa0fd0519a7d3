import { assert } from "./assert.ts";

/** Anything JSON can say. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/** Deepest nesting accepted from outside; JSON.stringify throws near 10,000. */
export const JSON_DEPTH_MAX = 32;

/** A string that JSON writes as it is, between quotation marks. */
const PLAIN_TEXT = /^[ !#-[\]-~]*$/;

/**
 * One text per value: keys sorted by code unit, no white space, no undefined (RFC 8785 for the values we use: finite
 * numbers as ECMAScript prints them). What is signed or hashed is always this text.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === "string") return quoted(value);
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    assert(Number.isFinite(value), `a number that JSON cannot carry: ${value}`);
    return JSON.stringify(value);
  }
  let text = "";
  if (Array.isArray(value)) {
    for (const item of value) {
      if (text !== "") text += ",";
      text += canonicalJson(item === undefined ? null : item);
    }
    return `[${text}]`;
  }
  assert(typeof value === "object", `a value that JSON cannot carry: ${typeof value}`);
  const members = value as { readonly [key: string]: unknown };
  // Sorts by code unit: so it does when it is not told otherwise.
  for (const key of Object.keys(members).sort()) {
    const member = members[key];
    if (member === undefined) continue;
    if (text !== "") text += ",";
    text += `${quoted(key)}:${canonicalJson(member)}`;
  }
  return `{${text}}`;
}

/** The test is several times as fast as JSON.stringify, and most strings pass it. */
function quoted(text: string): string {
  return PLAIN_TEXT.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** Deepest nesting of a JSON text, counted without parsing it; brackets within strings do not count. */
export function jsonDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (inString) {
      if (c === "\\") i++;
      else if (c === '"') inString = false;
    } else if (c === '"') inString = true;
    else if (c === "{" || c === "[") deepest = Math.max(deepest, ++depth);
    else if (c === "}" || c === "]") depth--;
  }
  return deepest;
}

/**
 * True when both hold the same JSON value: their canonical texts are equal, and found to differ without writing them. The
 * order of keys does not matter, a member that is undefined is none.
 */
export function jsonEqual(a: unknown, b: unknown): boolean {
  const [x, y] = [a ?? null, b ?? null];
  if (x === y) return true;
  if (typeof x !== "object" || typeof y !== "object" || x === null || y === null) return false;
  if (Array.isArray(x) || Array.isArray(y))
    return (
      Array.isArray(x) &&
      Array.isArray(y) &&
      x.length === y.length &&
      x.every((item, i) => jsonEqual(item, y[i]))
    );
  let memberCount = 0;
  for (const [key, member] of Object.entries(x)) {
    if (member === undefined) continue;
    memberCount++;
    const other: unknown = Object.hasOwn(y, key) ? Reflect.get(y, key) : undefined;
    if (other === undefined || !jsonEqual(member, other)) return false;
  }
  for (const key in y)
    if (Object.hasOwn(y, key) && Reflect.get(y, key) !== undefined) memberCount--;
  return memberCount === 0;
}
