import type { AnyObject } from "@flotilla/hub/app/resources/ports";
import { isFinished, isSucceeded } from "@flotilla/hub/domain/application/instance-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Component } from "@flotilla/shared/model/resources/application";
import type { HubState } from "../hub/hub-state.ts";
import type { Machine } from "../node/machine.ts";
import { isApplication, isAssignment } from "./kinds.ts";

/**
 * How full machines and queues are, counted from the Assignments on the hub's disk and from what the machines truly have. None
 * of the product's own tables is asked.
 */

export type Assignment = ObjectOf<"Assignment">;

/** Thousandths of a device. */
export const DEVICE_MILLI = 1_000;
/** What a node keeps for itself. */
const RESERVE_RATIO = 0.05;
const GPU = "nvidia.com/gpu";
const GPU_MILLI = "edge.kurator.dev/gpu-milli";

/** CPU in thousandths of a core, and accelerators in thousandths of a device. */
export interface Amounts {
  readonly milliCpu: number;
  readonly gpuMilli: number;
}
export const AMOUNTS = ["milliCpu", "gpuMilli"] as const;
export const NOTHING: Amounts = { milliCpu: 0, gpuMilli: 0 };

/** What the machines have for workloads, all together. */
export function totalOf(machines: readonly Machine[]): Amounts {
  return sumOf(
    machines.map(({ capacity, cards }) => ({
      milliCpu: Math.floor(capacity.milliCpu * (1 - RESERVE_RATIO)),
      gpuMilli: cards.length * DEVICE_MILLI,
    })),
  );
}

export function sumOf(list: readonly Amounts[]): Amounts {
  return {
    milliCpu: list.reduce((sum, a) => sum + a.milliCpu, 0),
    gpuMilli: list.reduce((sum, a) => sum + a.gpuMilli, 0),
  };
}

export function times(amounts: Amounts, count: number): Amounts {
  return { milliCpu: amounts.milliCpu * count, gpuMilli: amounts.gpuMilli * count };
}

/** What one instance asks for. */
export function wantOf({ spec }: Assignment): Amounts {
  const { count, milli } = devicesWanted(spec);
  return { milliCpu: spec.requests.milliCpu, gpuMilli: count * milli };
}

/** Whether it takes room now. */
export function holdsRoom(assignment: Assignment): boolean {
  return assignment.spec.node !== undefined && !isFinished(assignment);
}

/** Whether it counts for its gang: it holds room, or has done its work. */
export function isMember(assignment: Assignment): boolean {
  return holdsRoom(assignment) || isSucceeded(assignment);
}

/** How many more of these fit on the machines, all at once; they are all alike. */
export function roomFor(
  sample: Assignment,
  component: Component,
  fleet: { readonly machines: readonly Machine[]; readonly assignments: readonly Assignment[] },
): number {
  return fleet.machines.reduce((sum, machine) => {
    const here = fleet.assignments.filter((a) => holdsRoom(a) && a.spec.node === machine.name);
    return sum + roomOn(machine, here, { sample, component });
  }, 0);
}

function roomOn(
  machine: Machine,
  here: readonly Assignment[],
  { sample, component }: { readonly sample: Assignment; readonly component: Component },
): number {
  const isApart = component.placement?.antiAffinity?.required !== undefined;
  if (isApart && here.some((a) => isSibling(a, sample))) return 0;
  const { capacity } = machine;
  const limits = (["milliCpu", "memoryBytes", "diskBytes"] as const).flatMap((field) => {
    const want = sample.spec.requests[field];
    const given = here.reduce((sum, a) => sum + a.spec.requests[field], 0);
    const free = Math.floor(capacity[field] * (1 - RESERVE_RATIO)) - given;
    return want > 0 ? [Math.max(0, Math.floor(free / want))] : [];
  });
  const devices = devicesFor(machine, here, { sample, component });
  return Math.min(...limits, devices, isApart ? 1 : Number.POSITIVE_INFINITY);
}

function devicesFor(
  machine: Machine,
  here: readonly Assignment[],
  { sample, component }: { readonly sample: Assignment; readonly component: Component },
): number {
  const { count, milli } = devicesWanted(sample.spec);
  if (count === 0) return Number.POSITIVE_INFINITY;
  const given = givenMilli(here);
  const models = component.placement?.gpu?.models;
  const free = machine.cards
    .filter((c) => models?.some((m) => c.model.split(" ").includes(m)) ?? true)
    .map((card) => Math.floor((DEVICE_MILLI - (given.get(card.uuid) ?? 0)) / milli));
  // Of several devices each is another one, so that those with less room bound it.
  return count === 1
    ? free.reduce((sum, n) => sum + n, 0)
    : Math.floor(free.filter((n) => n > 0).length / count);
}

/** Thousandths that are given away, by device. */
export function givenMilli(assignments: readonly Assignment[]): ReadonlyMap<string, number> {
  const given = new Map<string, number>();
  for (const { spec } of assignments)
    for (const { uuid, milli } of spec.devices ?? [])
      given.set(uuid, (given.get(uuid) ?? 0) + milli);
  return given;
}

function devicesWanted({ desired }: Assignment["spec"]): {
  readonly count: number;
  readonly milli: number;
} {
  const asked = desired.containers.flatMap((c) => {
    const requests = { ...c.resources?.limits, ...c.resources?.requests };
    const milli = Number(requests[GPU_MILLI] ?? DEVICE_MILLI);
    const count = Number(requests[GPU] ?? (requests[GPU_MILLI] === undefined ? 0 : 1));
    return count > 0 ? [{ count, milli }] : [];
  });
  return asked[0] ?? { count: 0, milli: 0 };
}

export function isSibling(a: Assignment, b: Assignment): boolean {
  return a.spec.applicationUid === b.spec.applicationUid && a.spec.component === b.spec.component;
}

/** What an Assignment was made for; undefined when that is gone. */
export function componentOf(hub: HubState, { spec }: Assignment): Component | undefined {
  const found = hub
    .ofKind("Application")
    .filter(isApplication)
    .find((a) => a.metadata.uid === spec.applicationUid);
  return found?.spec.components.find((c) => c.name === spec.component);
}

/** A queue, in amounts; what it does not name is not guaranteed, and not limited. */
export interface QueueTruth {
  readonly name: string;
  readonly guarantee: Amounts;
  readonly capability: Partial<Amounts>;
}

export function queuesOf(hub: HubState): readonly QueueTruth[] {
  return hub
    .ofKind("Queue")
    .filter(isQueue)
    .filter((q) => q.metadata.deletionTimestamp === undefined)
    .map(({ metadata, spec }) => ({
      name: metadata.name,
      guarantee: { ...NOTHING, ...amountsOf(spec.guarantee?.resource) },
      capability: amountsOf(spec.capability),
    }));
}

/** Whole cores and devices, as the operator writes them. */
function amountsOf(list: Readonly<Record<string, unknown>> = {}): Partial<Amounts> {
  return {
    ...(list["cpu"] === undefined ? {} : { milliCpu: Number(list["cpu"]) * 1_000 }),
    ...(list[GPU] === undefined ? {} : { gpuMilli: Number(list[GPU]) * DEVICE_MILLI }),
  };
}

/** What each queue has, by name. */
export function allocatedByQueue(
  hub: HubState,
  assignments: readonly Assignment[],
): ReadonlyMap<string, Amounts> {
  const byQueue = new Map<string, Amounts>();
  for (const assignment of assignments.filter(holdsRoom)) {
    const queue = componentOf(hub, assignment)?.volcano?.queue ?? "default";
    byQueue.set(queue, sumOf([byQueue.get(queue) ?? NOTHING, wantOf(assignment)]));
  }
  return byQueue;
}

/** What is guaranteed to the queues, less what they have: it must stay free of the others. */
export function unmetGuarantees(
  queues: readonly QueueTruth[],
  allocated: ReadonlyMap<string, Amounts>,
): Amounts {
  return sumOf(
    queues.map(({ name, guarantee }) => {
      const has = allocated.get(name) ?? NOTHING;
      return {
        milliCpu: Math.max(0, guarantee.milliCpu - has.milliCpu),
        gpuMilli: Math.max(0, guarantee.gpuMilli - has.gpuMilli),
      };
    }),
  );
}

export function assignmentsOf(hub: HubState): readonly Assignment[] {
  return hub.ofKind("Assignment").filter(isAssignment);
}

function isQueue(object: AnyObject): object is AnyObject & ObjectOf<"Queue"> {
  return object.kind === "Queue";
}
