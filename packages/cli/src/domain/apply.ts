import type { Json } from "@flotilla/shared/kernel/json";
import { textOf } from "./text.ts";

/** Annotation in which `kubectl apply` and we keep what was applied last, so that either can go on where the other left off. */
export const LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration";

type JsonObject = { readonly [key: string]: Json };

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The manifest with itself in the last-applied annotation. */
export function withLastApplied(manifest: JsonObject): JsonObject {
  const metadata = isObject(manifest["metadata"]) ? manifest["metadata"] : {};
  const annotations = isObject(metadata["annotations"]) ? metadata["annotations"] : {};
  const plain = { ...annotations };
  delete plain[LAST_APPLIED_ANNOTATION];
  const text = JSON.stringify({ ...manifest, metadata: { ...metadata, annotations: plain } });
  return {
    ...manifest,
    metadata: { ...metadata, annotations: { ...plain, [LAST_APPLIED_ANNOTATION]: `${text}\n` } },
  };
}

/**
 * Three-way merge patch (RFC 7386), as kubectl's client-side apply makes it for kinds without a strategic merge:
 * everything that the manifest says, and null for what the last applied manifest said and this one does not.
 */
export function applyPatch(live: JsonObject, manifest: JsonObject): JsonObject {
  const patch = difference(lastApplied(live), manifest, live);
  return isObject(patch) ? patch : {};
}

/** What was applied last; nothing when the annotation is missing or no JSON. */
function lastApplied(live: JsonObject): JsonObject {
  const metadata = isObject(live["metadata"]) ? live["metadata"] : {};
  const annotations = isObject(metadata["annotations"]) ? metadata["annotations"] : {};
  try {
    const parsed: unknown = JSON.parse(textOf(annotations[LAST_APPLIED_ANNOTATION]) || "{}");
    return isObject(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

/** Undefined when there is nothing to change. */
function difference(last: Json | undefined, next: Json, live: Json | undefined): Json | undefined {
  if (!isObject(next) || !isObject(live))
    return JSON.stringify(next) === JSON.stringify(live) ? undefined : next;
  const patch = new Map<string, Json>();
  for (const [key, value] of Object.entries(next)) {
    const change = difference(isObject(last) ? last[key] : undefined, value, live[key]);
    if (change !== undefined) patch.set(key, change);
  }
  for (const key of isObject(last) ? Object.keys(last) : []) {
    if (!Object.hasOwn(next, key) && Object.hasOwn(live, key)) patch.set(key, null);
  }
  return patch.size === 0 ? undefined : Object.fromEntries(patch);
}
