import { isoTime, parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";

/** An Event is forgotten this long after it was last seen; until then a repetition raises its count. */
export const EVENT_TTL_MS = 3_600_000;
/** Longest message of an Event in characters, as core/v1 has it; the rest is cut. */
export const EVENT_MESSAGE_LENGTH_MAX = 1024;
/** Longest part of the object's name that goes into the Event's name, so that the whole stays a DNS subdomain. */
const EVENT_NAME_PREFIX_LENGTH_MAX = 230;
/** Namespace of Events about cluster-scoped objects, as Kubernetes has it. */
export const EVENT_NAMESPACE_DEFAULT = "default";

/** The part of an object that an Event points to. */
export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly namespace?: string | undefined;
  };
}

/** What happened. `reason` is one CamelCase word, `message` a sentence. */
export interface Happening {
  readonly about: EventSubject;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** Where the Event of a happening is kept: the same happening has the same address, over restarts too. */
export function eventAddress(happening: Happening): { namespace: string; name: string } {
  const { metadata, kind } = happening.about;
  const identity = [
    kind,
    metadata.uid,
    happening.type,
    happening.reason,
    cut(happening.message),
  ].join("\n");
  const prefix = metadata.name.slice(0, EVENT_NAME_PREFIX_LENGTH_MAX).replace(/[.-]+$/, "");
  return {
    namespace: metadata.namespace ?? EVENT_NAMESPACE_DEFAULT,
    name: `${prefix}.${hash64(identity)}`,
  };
}

/**
 * The Event after `times` more happenings: the old one with a higher count when it is younger than EVENT_TTL_MS, else a
 * new one with `uid`.
 */
export function eventAfter(
  old: ObjectOf<"Event"> | undefined,
  happening: Happening,
  context: { readonly times: number; readonly nowMs: number; readonly uid: string },
): ObjectOf<"Event"> {
  const now = isoTime(context.nowMs);
  if (old !== undefined && !isExpired(old, context.nowMs) && isSame(old, happening))
    return { ...old, count: (old.count ?? 1) + context.times, lastTimestamp: now };
  const { about } = happening;
  const { namespace, name } = eventAddress(happening);
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name, namespace, uid: context.uid, generation: 1, creationTimestamp: now },
    involvedObject: {
      apiVersion: about.apiVersion,
      kind: about.kind,
      name: about.metadata.name,
      uid: about.metadata.uid,
      ...(about.metadata.namespace === undefined ? {} : { namespace: about.metadata.namespace }),
    },
    reason: happening.reason,
    message: cut(happening.message),
    type: happening.type,
    source: { component: "flotilla-hub" },
    reportingComponent: "flotilla-hub",
    firstTimestamp: now,
    lastTimestamp: now,
    count: context.times,
  };
}

/** Wall-clock milliseconds at which the Event was last seen; 0 when it does not say. */
export function lastSeenMs(event: ObjectOf<"Event">): number {
  return parseIsoTimeMs(event.lastTimestamp ?? event.metadata.creationTimestamp ?? "") ?? 0;
}

/** True when the Event is older than EVENT_TTL_MS. One from the future is not: a clock at 1970 deletes nothing. */
export function isExpired(event: ObjectOf<"Event">, nowMs: number): boolean {
  return nowMs - lastSeenMs(event) > EVENT_TTL_MS;
}

function isSame(old: ObjectOf<"Event">, happening: Happening): boolean {
  return (
    old.involvedObject.uid === happening.about.metadata.uid &&
    old.reason === happening.reason &&
    old.message === cut(happening.message)
  );
}

function cut(message: string): string {
  return message.slice(0, EVENT_MESSAGE_LENGTH_MAX);
}

/** 16 hexadecimal digits: two FNV-1a hashes of 32 bits with different offsets (Fowler–Noll–Vo). Not for secrets. */
function hash64(text: string): string {
  let a = 0x811c9dc5;
  let b = 0xcbf29ce4;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ (code + i), 0x01000193);
  }
  return [a, b].map((h) => (h >>> 0).toString(16).padStart(8, "0")).join("");
}
