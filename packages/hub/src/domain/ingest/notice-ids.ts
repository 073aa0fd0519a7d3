import type { ObjectOf } from "@flotilla/shared/model/kinds";

/**
 * Which notices an Event has counted. A notice whose acknowledgement was lost comes again under a new number, and perhaps to
 * another process of the hub: only its id tells, and only what is committed with the count remembers it.
 */
export const NOTICE_IDS_ANNOTATION = "edge.kurator.dev/notice-ids";
/** Ids kept per Event: twice what an agent has under way at a time. */
export const NOTICE_IDS_MAX = 32;

/** True when this notice is in the Event's count already. */
export function hasCounted(event: ObjectOf<"Event"> | undefined, noticeId: string): boolean {
  return event !== undefined && idsOf(event).includes(noticeId);
}

/** The Event that remembers this notice; it forgets the oldest of more than NOTICE_IDS_MAX. */
export function withCounted(event: ObjectOf<"Event">, noticeId: string): ObjectOf<"Event"> {
  const ids = [...idsOf(event), noticeId].slice(-NOTICE_IDS_MAX);
  const annotations = { ...event.metadata.annotations, [NOTICE_IDS_ANNOTATION]: ids.join(" ") };
  return { ...event, metadata: { ...event.metadata, annotations } };
}

function idsOf({ metadata }: ObjectOf<"Event">): readonly string[] {
  const text = metadata.annotations?.[NOTICE_IDS_ANNOTATION] ?? "";
  return text === "" ? [] : text.split(" ");
}
