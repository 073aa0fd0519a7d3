import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { isJsonObject, type JsonObject } from "./body-shape.ts";

/** An object as it goes over the API. */
export interface ServedObject extends JsonObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: JsonObject;
}

/** A time as Kubernetes objects carry it: whole seconds. */
export function timestamp(wallMs: number): string {
  return isoTime(wallMs).replace(/\.\d{3}Z$/, "Z");
}

/** The member at a path of field names; undefined where a step is missing. */
export function memberAt(object: unknown, ...path: readonly string[]): unknown {
  let value = object;
  for (const field of path) value = isJsonObject(value) ? value[field] : undefined;
  return value;
}

/** The member when it is a text. */
export function textAt(object: unknown, ...path: readonly string[]): string | undefined {
  const value = memberAt(object, ...path);
  return typeof value === "string" ? value : undefined;
}

/** The member when it is a number. */
export function numberAt(object: unknown, ...path: readonly string[]): number | undefined {
  const value = memberAt(object, ...path);
  return typeof value === "number" ? value : undefined;
}

/** The objects of a list at a path; none where there is no list. */
export function itemsAt(object: unknown, ...path: readonly string[]): readonly JsonObject[] {
  const value = memberAt(object, ...path);
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

/** The name of an object; "" when it has none. */
export function nameOf(object: JsonObject): string {
  return textAt(object, "metadata", "name") ?? "";
}
