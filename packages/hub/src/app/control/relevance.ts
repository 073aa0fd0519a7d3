import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import type { AnyObject, LogEntry } from "../resources/ports.ts";

/** True for a change of one of these kinds. A node's load alone is no change: it moves all the time and decides nothing by itself. */
export function concerns(entry: LogEntry, kinds: readonly KindName[]): boolean {
  if (!kinds.includes(entry.key.kind)) return false;
  const { object, previous } = entry;
  if (!isNode(object) || previous === undefined || !isNode(previous)) return true;
  return entry.type !== "MODIFIED" || !jsonEqual(withoutLoad(object), withoutLoad(previous));
}

function isNode(object: AnyObject): object is ObjectOf<"EdgeNode"> {
  return object.kind === "EdgeNode";
}

function withoutLoad({ metadata, spec, status }: ObjectOf<"EdgeNode">): unknown {
  const { life, inventory, capacity } = status ?? {};
  return {
    labels: metadata.labels,
    deleted: metadata.deletionTimestamp,
    spec,
    life,
    inventory,
    capacity,
    drained: status?.conditions?.find((c) => c.type === "Drained")?.status,
  };
}
