import { messageOf } from "@flotilla/shared/kernel/errors";
import { JSON_DEPTH_MAX, jsonDepth } from "@flotilla/shared/kernel/json";
import { isMap, isSeq, Lexer, type Node, parseDocument } from "yaml";
import {
  type ApiError,
  badRequest,
  unsupportedMediaType,
} from "../../domain/resources/api-error.ts";
import { YAML_ALIASES_MAX } from "./limits.ts";
import { parseMediaType } from "./media-types.ts";

/** Request bodies: bytes → JSON values. Depth is judged before anything is parsed; what is wrong is an ApiError. */

/** Media types of an object in a request. */
export const OBJECT_TYPES: readonly string[] = ["application/json", "application/yaml"];

/** Longest piece of a bad body that an error shows. */
const EXCERPT_LENGTH_MAX = 64;

/** The value of a JSON or YAML body. No content type is read as JSON, as kube-apiserver does. */
export function decodeObject(body: Uint8Array, contentType: string | undefined): unknown {
  const type = contentType === undefined ? "application/json" : parseMediaType(contentType)?.type;
  if (type === undefined || !OBJECT_TYPES.includes(type)) throw unsupportedMediaType(OBJECT_TYPES);
  return type === "application/yaml" ? decodeYaml(body) : decodeJson(body);
}

/** The value of a JSON body. */
export function decodeJson(body: Uint8Array): unknown {
  const text = decodeText(body);
  if (jsonDepth(text) > JSON_DEPTH_MAX) throw tooDeep();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unreadable(`json parse error: ${messageOf(error).slice(0, 200)}`);
  }
  refusePrototypeKeys(value);
  return value;
}

/** The value of a body of one YAML document. Anchors are allowed, merge keys and tags are not. */
export function decodeYaml(body: Uint8Array): unknown {
  const text = decodeText(body);
  if (flowDepth(text) > JSON_DEPTH_MAX) throw tooDeep();
  // Their own check for unique keys compares each key with each other one: minutes for a large map.
  const document = parseDocument(text, { uniqueKeys: false, stringKeys: true, logLevel: "error" });
  const first = document.errors[0];
  if (first !== undefined) throw unreadable(`yaml parse error: ${first.message.slice(0, 200)}`);
  refuseDuplicateKeys(document.contents, 0);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: YAML_ALIASES_MAX });
  } catch (error) {
    throw unreadable(`yaml parse error: ${messageOf(error).slice(0, 200)}`);
  }
  refusePrototypeKeys(value);
  return value;
}

function decodeText(body: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw badRequest("the body of the request is not UTF-8");
  }
}

function unreadable(why: string): ApiError {
  return badRequest(
    `the object provided is unrecognized: ${why.slice(0, 200 + EXCERPT_LENGTH_MAX)}`,
  );
}

function tooDeep(): ApiError {
  return badRequest(`the body of the request is nested deeper than ${JSON_DEPTH_MAX} levels`);
}

/** Deepest nesting of brackets, from the lexer alone: the parser recurses. The lexeme after SCALAR is text. */
function flowDepth(text: string): number {
  const scalarMark = "\u001f";
  let depth = 0;
  let deepest = 0;
  let previous = "";
  for (const lexeme of new Lexer().lex(text)) {
    if (previous !== scalarMark) {
      if (lexeme === "{" || lexeme === "[") deepest = Math.max(deepest, ++depth);
      else if (lexeme === "}" || lexeme === "]") depth--;
    }
    if (deepest > JSON_DEPTH_MAX) return deepest;
    previous = lexeme;
  }
  return deepest;
}

function refuseDuplicateKeys(node: unknown, depth: number): void {
  if (depth > JSON_DEPTH_MAX) throw tooDeep();
  if (isSeq(node)) for (const item of node.items) refuseDuplicateKeys(item, depth + 1);
  if (!isMap(node)) return;
  const seen = new Set<string>();
  for (const { key, value } of node.items) {
    const name = String(key as Node);
    if (seen.has(name)) throw badRequest(`duplicate key "${name.slice(0, EXCERPT_LENGTH_MAX)}"`);
    seen.add(name);
    refuseDuplicateKeys(value, depth + 1);
  }
}

/** `__proto__` as a key is never meant; refusing it here keeps every later merge safe. */
function refusePrototypeKeys(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === "__proto__") throw badRequest('the key "__proto__" is not allowed');
    refusePrototypeKeys(inner);
  }
}
