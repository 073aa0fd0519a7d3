import { JSON_DEPTH_MAX } from "@flotilla/shared/kernel/json";
import { FORBIDDEN_KEYS } from "@flotilla/shared/kernel/merge-patch";
import { badRequest } from "./api-error.ts";

/** A JSON object from outside. */
export type JsonObject = { readonly [field: string]: unknown };

/** True for an object that is no list. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The member when it is an object, else an empty one. */
export function objectAt(object: JsonObject, field: string): JsonObject {
  const value = object[field];
  return isJsonObject(value) ? value : {};
}

/**
 * What holds for every body, before anything else reads it: an object, not too deep, no key that could reach a
 * prototype. Throws BadRequest with the path.
 */
export function checkBodyShape(body: unknown, kind: string): JsonObject {
  if (!isJsonObject(body))
    throw badRequest(
      `the object provided is unrecognized (must be of type ${kind}): it must be a JSON object`,
    );
  checkMember(body, "", 1);
  return body;
}

function checkMember(value: unknown, path: string, depth: number): void {
  if (typeof value !== "object" || value === null) return;
  if (depth > JSON_DEPTH_MAX)
    throw badRequest(`${path}: nested deeper than ${JSON_DEPTH_MAX} levels`);
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) checkMember(item, `${path}[${index}]`, depth + 1);
    return;
  }
  for (const [key, member] of Object.entries(value)) {
    const memberPath = path === "" ? key : `${path}.${key}`;
    if (FORBIDDEN_KEYS.includes(key)) throw badRequest(`field "${memberPath}" is not allowed`);
    checkMember(member, memberPath, depth + 1);
  }
}
