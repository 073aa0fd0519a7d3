import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { CapacityReading, Inventory } from "@flotilla/shared/model/capacity";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Measures } from "@flotilla/shared/model/measures";
import { withCondition } from "@flotilla/shared/model/metadata";
import type { ReportedState } from "@flotilla/shared/model/reported-state";
import { listed } from "@flotilla/shared/scheduling/reason-text";
import { isFinished } from "../application/instance-state.ts";
import { lifeHappening, nextLife, readyCondition } from "../node/life.ts";
import type { NodeHappening } from "./happening.ts";
import { trustHappening, withTrust } from "./observe-artifacts.ts";
import { withReading } from "./reading.ts";

/** What a node said of itself: the part of an accepted up message that changes objects. */
export interface Observation {
  readonly epoch: number;
  /** Birth only. */
  readonly birth?: {
    readonly agentVersion: string;
    readonly bootId: string;
    readonly inventory: Inventory;
  };
  readonly reading?: CapacityReading;
  readonly reported?: ReportedState;
  readonly measures?: Measures;
}

export interface Observed {
  /** The node after the observation; the very object that was given when nothing changed. */
  readonly node: ObjectOf<"EdgeNode">;
  /** Assignments that changed. */
  readonly assignments: readonly ObjectOf<"Assignment">[];
  /** Instances that the node reports and that are not assigned to it: seen, counted, written nowhere. */
  readonly unassignedCount: number;
  readonly happenings: readonly NodeHappening[];
}

/**
 * Folds one observation into the objects it is about. `assignments` are those that are assigned to the node and those that
 * it last reported. Folding message by message gives the same objects however the messages are grouped.
 */
export function observe(
  node: ObjectOf<"EdgeNode">,
  assignments: readonly ObjectOf<"Assignment">[],
  observation: Observation,
  nowIso: string,
): Observed {
  const after = nodeAfter(node, observation, nowIso);
  const reported = observation.reported;
  const changed =
    reported === undefined ? [] : assignments.flatMap((a) => assignmentAfter(a, node, reported));
  const assigned = new Set(
    assignments.filter((a) => isAssigned(a, node)).map((a) => a.spec.desired.id),
  );
  return {
    node: sameStatus(node, after) ? node : after,
    assignments: changed,
    unassignedCount: (reported?.instances ?? []).filter((i) => !assigned.has(i.id)).length,
    happenings: [...happeningsOf(node, after), ...trustHappening(node, after)],
  };
}

/** Field by field, and by reference first: most heartbeats change nothing, and an inventory is long. */
function sameStatus(before: ObjectOf<"EdgeNode">, after: ObjectOf<"EdgeNode">): boolean {
  const old = new Map<string, unknown>(Object.entries(before.status ?? {}));
  const now = Object.entries(after.status ?? {});
  return (
    now.length >= old.size &&
    now.every(([field, value]) => old.get(field) === value || jsonEqual(old.get(field), value))
  );
}

function nodeAfter(
  node: ObjectOf<"EdgeNode">,
  observation: Observation,
  nowIso: string,
): ObjectOf<"EdgeNode"> {
  const { birth, reading, reported, measures } = observation;
  const { artifacts, ...before } = node.status ?? {};
  // What is not reported is not there: an older agent knows nothing of artifacts.
  const status =
    reported === undefined && artifacts !== undefined ? { ...before, artifacts } : before;
  const life = nextLife(status.life, "renewed");
  const renewed =
    life === status.life
      ? status.conditions
      : withCondition(status.conditions, readyCondition(life), nowIso);
  const conditions = reported === undefined ? renewed : withTrust(renewed, reported, nowIso);
  const heard = {
    ...status,
    life,
    epoch: observation.epoch,
    ...(conditions === undefined ? {} : { conditions }),
    ...birth,
    ...(measures === undefined ? {} : { measures }),
    ...(reported === undefined
      ? {}
      : {
          acceptedRevision: reported.acceptedRevision,
          convergedRevision: reported.convergedRevision,
          ...(reported.artifacts === undefined ? {} : { artifacts: reported.artifacts }),
        }),
  };
  const withIt =
    reading === undefined ? heard : { ...heard, ...withReading(heard, reading, nowIso) };
  const gpus = reading?.gpus;
  const { inventory } = withIt;
  if (gpus === undefined || inventory === undefined) return { ...node, status: withIt };
  return { ...node, status: { ...withIt, inventory: { ...inventory, gpus } } };
}

function assignmentAfter(
  assignment: ObjectOf<"Assignment">,
  node: ObjectOf<"EdgeNode">,
  reported: ReportedState,
): readonly ObjectOf<"Assignment">[] {
  const { name } = node.metadata;
  // The end of a Job's instance is final: a node that lost its records runs it again, and its room is given away already.
  if (isFinished(assignment) && isAssigned(assignment, node)) return [];
  const instance = reported.instances.findLast((i) => i.id === assignment.spec.desired.id);
  const { reported: before, reportedBy, ...rest } = assignment.status ?? {};
  if (instance !== undefined) {
    if (!isAssigned(assignment, node)) return [];
    if (reportedBy === name && jsonEqual(before, instance)) return [];
    return [{ ...assignment, status: { ...rest, reported: instance, reportedBy: name } }];
  }
  return reportedBy === name ? [{ ...assignment, status: rest }] : [];
}

function isAssigned(assignment: ObjectOf<"Assignment">, node: ObjectOf<"EdgeNode">): boolean {
  return assignment.spec.node === node.metadata.name;
}

function happeningsOf(
  before: ObjectOf<"EdgeNode">,
  after: ObjectOf<"EdgeNode">,
): readonly NodeHappening[] {
  const [old, now] = [before.status ?? {}, after.status ?? {}];
  const life = now.life === undefined ? undefined : lifeHappening(old.life, now.life);
  const rebooted = old.bootId !== undefined && old.bootId !== now.bootId;
  const newlyTrue = (now.conditions ?? []).filter(
    (c) =>
      ["CapacityInvalid", "MemoryPressure", "DiskPressure"].includes(c.type) &&
      c.status === "True" &&
      old.conditions?.find((o) => o.type === c.type)?.status !== "True",
  );
  return [
    ...(life === undefined ? [] : [life]),
    ...(rebooted
      ? [{ type: "Normal", reason: "Rebooted", message: "the machine was started anew" } as const]
      : []),
    ...cardsHappening(old.inventory, now.inventory),
    ...newlyTrue.map((c) => ({ type: "Warning", reason: c.type, message: c.message }) as const),
  ];
}

/** Cards that came or went; the first inventory of a node is no change. */
function cardsHappening(
  before: Inventory | undefined,
  after: Inventory | undefined,
): readonly NodeHappening[] {
  if (before === undefined || after === undefined || before.gpus === after.gpus) return [];
  const uuids = (inventory: Inventory): readonly string[] => inventory.gpus.map((g) => g.uuid);
  const [old, now] = [new Set(uuids(before)), new Set(uuids(after))];
  const gone = [...old].filter((uuid) => !now.has(uuid));
  const come = [...now].filter((uuid) => !old.has(uuid));
  if (gone.length + come.length === 0) return [];
  const parts = [
    ...(gone.length === 0 ? [] : [`not reported any more: ${listed(gone)}`]),
    ...(come.length === 0 ? [] : [`new: ${listed(come)}`]),
  ];
  const message = `${now.size} GPUs, ${old.size} before; ${parts.join("; ")}`;
  return gone.length === 0
    ? [{ type: "Normal", reason: "DevicesAdded", message }]
    : [{ type: "Warning", reason: "DevicesRemoved", message }];
}
