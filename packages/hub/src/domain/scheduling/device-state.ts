import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { type Condition, withCondition } from "@flotilla/shared/model/metadata";
import { listed } from "@flotilla/shared/scheduling/reason-text";
import { isFinished } from "../application/instance-state.ts";
import type { DeviceClaim } from "./device-claims.ts";
import { uuidsOf } from "./devices.ts";

type Node = ObjectOf<"EdgeNode">;
type Assignment = ObjectOf<"Assignment">;

/** Condition of a node, and of an instance: whether its devices are there, and its own. */
export const DEVICES_READY = "DevicesReady";

/** What a node says of its devices; one that is revoked has nothing to say. */
export function claimOf({ metadata, spec, status }: Node): DeviceClaim {
  return {
    node: metadata.name,
    createdAt: metadata.creationTimestamp ?? "",
    uuids: spec.revoked === true ? [] : uuidsOf(status?.inventory?.gpus ?? []),
  };
}

/** Devices of instances that have not come to their end. */
export function devicesInUse(assignments: Iterable<Assignment>): ReadonlySet<string> {
  const inUse = new Set<string>();
  for (const assignment of assignments)
    if (!isFinished(assignment))
      for (const { uuid } of assignment.spec.devices ?? []) inUse.add(uuid);
  return inUse;
}

/**
 * The node with its condition DevicesReady brought up to date; undefined when it is, or when there never was anything to say.
 * `withheld`: devices that it may not be given work on, each with the node that has them.
 */
export function nodeWithDeviceState(
  node: Node,
  {
    assignments,
    withheld,
  }: {
    readonly assignments: readonly Assignment[];
    readonly withheld: ReadonlyMap<string, string>;
  },
  nowIso: string,
): Node | undefined {
  const missing = assignments
    .filter((a) => !isFinished(a))
    .flatMap((a) => missingOf(a, node).map((uuid) => `${uuid} of ${idOf(a)}`));
  const before = node.status?.conditions;
  const fine = missing.length === 0 && withheld.size === 0;
  if (fine && before?.some((c) => c.type === DEVICES_READY) !== true) return undefined;
  const conditions = withCondition(
    before,
    { type: DEVICES_READY, ...verdict(missing, withheld) },
    nowIso,
  );
  return jsonEqual(before ?? [], conditions)
    ? undefined
    : { ...node, status: { ...node.status, conditions } };
}

function verdict(
  missing: readonly string[],
  withheld: ReadonlyMap<string, string>,
): Pick<Condition, "status" | "reason" | "message"> {
  const duplicates = [...withheld].map(([uuid, other]) => `${uuid} (node ${other})`);
  const lost =
    missing.length === 0
      ? []
      : [
          `in use and not reported any more: ${listed(missing)}; what runs is left alone: look at the card and its driver, or delete the Assignment to place it anew`,
        ];
  const twice =
    duplicates.length === 0
      ? []
      : [
          `reported by another node as well, and not given away here: ${listed(duplicates)}; delete or revoke the node that does not have it`,
        ];
  if (lost.length + twice.length === 0)
    return { status: "True", reason: "AllPresent", message: "every device in use is there" };
  return {
    status: "False",
    reason: lost.length > 0 ? "DeviceMissing" : "DuplicateDevice",
    message: [...lost, ...twice].join("; "),
  };
}

/**
 * The assignment with its condition DevicesReady brought up to date; undefined when it is. An instance whose device has
 * vanished is marked and left where it is: it may well go on, and moving it is not for the hub to decide unasked.
 */
export function assignmentWithDeviceState(
  assignment: Assignment,
  node: Node | undefined,
  nowIso: string,
): Assignment | undefined {
  const missing = node === undefined || isFinished(assignment) ? [] : missingOf(assignment, node);
  const before = assignment.status?.conditions;
  if (missing.length === 0 && before?.some((c) => c.type === DEVICES_READY) !== true)
    return undefined;
  const conditions = withCondition(
    before,
    missing.length === 0
      ? {
          type: DEVICES_READY,
          status: "True",
          reason: "AllPresent",
          message: "every device of the instance is there",
        }
      : {
          type: DEVICES_READY,
          status: "False",
          reason: "DeviceMissing",
          message: `node ${assignment.spec.node} does not report ${listed(missing)} any more; the instance is left alone: look at the card and its driver, or delete this Assignment to place it anew`,
        },
    nowIso,
  );
  return jsonEqual(before ?? [], conditions)
    ? undefined
    : { ...assignment, status: { ...assignment.status, conditions } };
}

/** Devices of the instance that its node does not report; none while nothing is known of the node. */
function missingOf(assignment: Assignment, { status }: Node): readonly string[] {
  if (status?.inventory === undefined) return [];
  const reported = new Set(uuidsOf(status.inventory.gpus));
  return (assignment.spec.devices ?? []).filter((d) => !reported.has(d.uuid)).map((d) => d.uuid);
}

function idOf({ metadata }: Assignment): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}
