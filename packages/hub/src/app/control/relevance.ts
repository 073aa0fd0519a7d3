import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import { isAssignment } from "../node/node-assignments.ts";
import type { AnyObject, LogEntry } from "../resources/ports.ts";

/**
 * True for a change of one of these kinds. What moves all the time and decides nothing by itself is no change: a node's
 * load, and of what a node reports of an instance all but whether it is ready and how far it is.
 */
export function concerns(entry: LogEntry, kinds: readonly KindName[]): boolean {
  if (!kinds.includes(entry.key.kind)) return false;
  const { object, previous } = entry;
  if (entry.type !== "MODIFIED" || previous === undefined) return true;
  return !jsonEqual(decisivePart(object), decisivePart(previous));
}

function decisivePart(object: AnyObject): unknown {
  if (isNode(object)) return withoutLoad(object);
  // Statuses that say how it goes, and that nothing is decided from.
  if ((object.kind === "PriceList" || object.kind === "Queue") && "spec" in object)
    return { spec: object.spec };
  if (isRelease(object)) return withoutUse(object);
  if (isSite(object)) return withoutHours(object);
  return isAssignment(object) ? withoutDetails(object) : object;
}

function isNode(object: AnyObject): object is ObjectOf<"EdgeNode"> {
  return object.kind === "EdgeNode";
}

function isRelease(object: AnyObject): object is ObjectOf<"Release"> {
  return object.kind === "Release";
}

function isSite(object: AnyObject): object is ObjectOf<"Site"> {
  return object.kind === "Site";
}

/** How much it is used at which hour decides nothing that is placed. */
function withoutHours({ metadata, spec, status }: ObjectOf<"Site">): unknown {
  const { load: _load, ...rest } = status ?? {};
  return { metadata: { ...metadata, resourceVersion: "" }, spec, status: rest };
}

/** Who holds it, and what deltas to it cost, decides nothing. */
function withoutUse({ metadata, spec, status }: ObjectOf<"Release">): unknown {
  const ready = status?.conditions?.find((c) => c.type === "Ready");
  return {
    deleted: metadata.deletionTimestamp,
    spec,
    ready: ready?.status,
    why: ready?.message,
  };
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

function withoutDetails({ metadata, spec, status }: ObjectOf<"Assignment">): unknown {
  const { reported, ...rest } = status ?? {};
  const { specDigest, phase, ready, artifacts } = reported ?? {};
  return {
    metadata: { ...metadata, resourceVersion: "" },
    spec,
    // Of artifacts all but how far a download is.
    status: {
      ...rest,
      reported: {
        specDigest,
        phase,
        ready,
        artifacts: artifacts?.map(({ percent: _percent, ...decisive }) => decisive),
      },
    },
  };
}
