import type { LogEntry } from "@flotilla/hub/app/resources/ports";
import type { HubState } from "../hub/hub-state.ts";
import type { Machine, SimProcess } from "../node/machine.ts";
import {
  AMOUNTS,
  type Amounts,
  type Assignment,
  allocatedByQueue,
  assignmentsOf,
  componentOf,
  DEVICE_MILLI,
  givenMilli,
  holdsRoom,
  isMember,
  isSibling,
  NOTHING,
  queuesOf,
  roomFor,
  sumOf,
  times,
  totalOf,
  unmetGuarantees,
  wantOf,
} from "./room.ts";

/**
 * What was lost or edited so shortly before a commit need not be known to who decided it: a round's decisions are written
 * down one Application after the other, on a disk that may be slow.
 */
const UNSEEN_MS = 15_000;

interface Deps {
  readonly hub: HubState;
  readonly nowMs: () => number;
  readonly broken: (invariant: string, message: string) => void;
  readonly probe: (name: string) => void;
}

/** Sees who is given which room, commit by commit (invariants 10, 11 and 12), and who uses which device. */
export class PlacementAuditor {
  readonly #deps: Deps;
  readonly #machines = new Map<string, Machine>();
  readonly #before = new Map<string, Assignment>();
  /** When a member of a component last lost its room, by Application and component. */
  readonly #lostMs = new Map<string, number>();
  #queueEditMs = Number.NEGATIVE_INFINITY;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  watch(machine: Machine): void {
    this.#machines.set(machine.name, machine);
  }

  /** A commit is on the disk. */
  committed(entries: readonly LogEntry[]): void {
    const { nowMs } = this.#deps;
    if (entries.some((e) => e.key.kind === "Queue")) this.#queueEditMs = nowMs();
    if (!entries.some((e) => e.key.kind === "Assignment")) return;
    const assignments = assignmentsOf(this.#deps.hub);
    const fresh = this.#compare(assignments);
    for (const name of this.#machines.keys())
      this.#lookAtRoom(
        name,
        assignments.filter((a) => holdsRoom(a) && a.spec.node === name),
      );
    this.#lookAtDevices(assignments);
    for (const assignment of fresh) this.#lookAtGang(assignment, assignments);
    if (fresh.length > 0) this.#lookAtGuarantees(fresh, assignments);
  }

  /** A process has started: what it may use of a device, with what the other runs may, is no more than there is. */
  started(machine: Machine, process: SimProcess): void {
    const runs = new Map(
      [...machine.processes.values()].map((p) => [`${p.instanceId} ${p.runId}`, p]),
    );
    for (const { uuid } of process.devices) {
      this.#deps.probe("device used");
      const users = [...runs.values()].flatMap((p) =>
        p.devices
          .filter((d) => cardOf(d.uuid) === cardOf(uuid))
          .map((d) => ({ ...d, id: p.instanceId })),
      );
      const used = users.reduce((sum, d) => sum + d.milli, 0);
      if (used > DEVICE_MILLI)
        this.#deps.broken(
          "device in use",
          `${machine.name}: ${used} thousandths of ${cardOf(uuid)} are used at once, by ${users.map((u) => u.id).join(", ")}`,
        );
    }
  }

  /** Those that had no node before this commit and have one now. */
  #compare(assignments: readonly Assignment[]): readonly Assignment[] {
    const now = new Map(assignments.map((a) => [a.metadata.uid, a]));
    for (const [uid, before] of this.#before) {
      const after = now.get(uid);
      if (isMember(before) && (after === undefined || !isMember(after)))
        this.#lostMs.set(keyOf(before), this.#deps.nowMs());
    }
    const fresh = assignments.filter(
      (a) => holdsRoom(a) && this.#before.get(a.metadata.uid)?.spec.node === undefined,
    );
    this.#before.clear();
    for (const [uid, assignment] of now) this.#before.set(uid, assignment);
    return fresh;
  }

  #lookAtRoom(node: string, given: readonly Assignment[]): void {
    const capacity = this.#machines.get(node)?.capacity;
    if (capacity === undefined) return;
    for (const field of ["milliCpu", "memoryBytes", "diskBytes"] as const) {
      const sum = given.reduce((total, a) => total + a.spec.requests[field], 0);
      if (sum > capacity[field])
        this.#deps.broken(
          "invariant 11",
          `${node} has ${capacity[field]} ${field} and is given ${sum}: ${given.map((a) => a.metadata.name).join(", ")}`,
        );
    }
  }

  #lookAtDevices(assignments: readonly Assignment[]): void {
    const holders = assignments.filter(holdsRoom);
    for (const [uuid, milli] of givenMilli(holders))
      if (milli > DEVICE_MILLI)
        this.#deps.broken(
          "invariant 11",
          `device ${uuid} is given away ${milli} thousandths: ${holders
            .filter((a) => a.spec.devices?.some((d) => d.uuid === uuid))
            .map((a) => a.metadata.name)
            .join(", ")}`,
        );
  }

  /** Who was just placed has at least its minimum beside it, unless one was lost while it was decided. */
  #lookAtGang(fresh: Assignment, assignments: readonly Assignment[]): void {
    const minMember = componentOf(this.#deps.hub, fresh)?.volcano?.minMember ?? 0;
    if (minMember < 2) return;
    const members = assignments.filter((a) => isSibling(a, fresh) && isMember(a)).length;
    if (members >= minMember) this.#deps.probe("gang placed");
    else if (this.#isSeen(this.#lostMs.get(keyOf(fresh))))
      this.#deps.broken(
        "invariant 10",
        `${fresh.metadata.name} is placed, and its gang has ${members} members of ${minMember}`,
      );
  }

  /** What one queue is given leaves free what is guaranteed to others, as far as it was free before. */
  #lookAtGuarantees(fresh: readonly Assignment[], assignments: readonly Assignment[]): void {
    const { hub } = this.#deps;
    const queues = queuesOf(hub);
    if (queues.length === 0 || !this.#isSeen(this.#queueEditMs)) return;
    const now = keptOf(hub, assignments);
    const before = keptOf(
      hub,
      assignments.filter((a) => !fresh.includes(a)),
    );
    const total = totalOf([...this.#machines.values()]);
    for (const amount of AMOUNTS) {
      const isWorse = now.unmet[amount] > 0 && now.sum[amount] > before.sum[amount];
      if (isWorse && now.sum[amount] > total[amount])
        this.#deps.broken(
          "invariant 12",
          `${fresh.map((a) => a.metadata.name).join(", ")}: of ${total[amount]} ${amount} ${now.sum[amount] - now.unmet[amount]} are given away and ${now.unmet[amount]} were guaranteed to others`,
        );
    }
  }

  #isSeen(sinceMs = Number.NEGATIVE_INFINITY): boolean {
    return this.#deps.nowMs() - sinceMs > UNSEEN_MS;
  }
}

/** Given away and kept for guarantees, together. */
function keptOf(
  hub: HubState,
  assignments: readonly Assignment[],
): { readonly sum: Amounts; readonly unmet: Amounts } {
  const allocated = allocatedByQueue(hub, assignments);
  const unmet = unmetGuarantees(queuesOf(hub), allocated);
  return { unmet, sum: sumOf([...allocated.values(), unmet]) };
}

/** Something that waits beside room which it may have. */
export interface Stranded {
  readonly invariant: string;
  readonly message: string;
}

/**
 * When all is quiet, every node ready and open: gangs below their minimum whose missing members would all find room
 * (invariant 10), and what waits, finds room and is within what its queue is guaranteed (invariant 12). A queue's capability and what is
 * guaranteed to others are reasons to wait; so is a plan that makes room.
 */
export function stranded(hub: HubState, machines: readonly Machine[]): readonly Stranded[] {
  if (hub.ofKind("MovePlan").length > 0) return [];
  const assignments = assignmentsOf(hub);
  const waiting = assignments.filter((a) => a.spec.node === undefined);
  const firsts = waiting.filter((a, i) => waiting.findIndex((b) => isSibling(a, b)) === i);
  return firsts.flatMap((first): readonly Stranded[] => {
    const component = componentOf(hub, first);
    if (component === undefined) return [];
    const members = assignments.filter((a) => isSibling(a, first) && isMember(a)).length;
    const needed = Math.max(1, (component.volcano?.minMember ?? 0) - members);
    if (waiting.filter((a) => isSibling(a, first)).length < needed) return [];
    if (roomFor(first, component, { machines, assignments }) < needed) return [];
    const queue = component.volcano?.queue ?? "default";
    const leave = leaveOf(hub, { queue, more: times(wantOf(first), needed), machines });
    if (leave === undefined) return [];
    const isGang = (component.volcano?.minMember ?? 0) > members;
    if (!isGang && leave !== "guaranteed") return [];
    const message = `${first.metadata.name} (${needed} of its kind) waits (${first.status?.reason ?? "no reason"}: ${first.status?.message ?? ""}) beside room for ${needed}, queue ${queue}, ${leave}`;
    return [{ invariant: isGang ? "invariant 10" : "invariant 12", message }];
  });
}

/** Whether a queue may have so much more. */
function leaveOf(
  hub: HubState,
  {
    queue,
    more,
    machines,
  }: { readonly queue: string; readonly more: Amounts; readonly machines: readonly Machine[] },
): "guaranteed" | "allowed" | undefined {
  const queues = queuesOf(hub);
  const own = queues.find((q) => q.name === queue);
  if (own === undefined && queue !== "default") return undefined;
  const allocated = allocatedByQueue(hub, assignmentsOf(hub));
  const next = sumOf([allocated.get(queue) ?? NOTHING, more]);
  const after = new Map(allocated).set(queue, next);
  const sum = sumOf([...after.values(), unmetGuarantees(queues, after)]);
  const total = totalOf(machines);
  const asked = AMOUNTS.filter((amount) => more[amount] > 0);
  const isOver = asked.some(
    (amount) =>
      next[amount] > (own?.capability[amount] ?? Number.POSITIVE_INFINITY) ||
      sum[amount] > total[amount],
  );
  if (isOver) return undefined;
  const isWithin = asked.every((amount) => next[amount] <= (own?.guarantee[amount] ?? 0));
  return isWithin ? "guaranteed" : "allowed";
}

function keyOf({ spec }: Assignment): string {
  return `${spec.applicationUid}/${spec.component}`;
}

/** The card behind a uuid: a tool that lies may tell one card under two names. */
function cardOf(uuid: string): string {
  return uuid.replace(/-again$/, "");
}
