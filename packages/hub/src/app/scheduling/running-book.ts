import { parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import type { RoundRunning } from "@flotilla/shared/scheduling/round/types";
import { isAvailable, isFinished } from "../../domain/application/instance-state.ts";
import type { Plan } from "../../domain/application/plan.ts";
import { type PriorityClasses, type Traits, traitsOf } from "../../domain/scheduling/traits.ts";
import { applicationIdOf, belongsTo, idOf } from "./assignment-index.ts";
import type { FleetMirror } from "./fleet-mirror.ts";

type Assignment = ObjectOf<"Assignment">;

/** Of an instance whose component or Application is not known: it is left alone. */
const UNKNOWN: Traits = { priority: 0, preemption: "Never", minMember: 0, movable: false };

/** What one Application says of its components. */
interface Known {
  readonly applicationUid: string;
  readonly traits: ReadonlyMap<string, Traits>;
}

const DAY_MS = 86_400_000;

/** What holds room, as rounds see it: whose it is, what it is worth, and whether it may be taken away. */
export class RunningBook {
  readonly #mirror: FleetMirror;
  readonly #table: FleetTable;
  /** By Application. */
  readonly #known = new Map<string, Known>();
  /** Applications of which nothing is evicted until they are learned again. */
  readonly #leftAlone = new Set<string>();

  constructor(deps: { readonly mirror: FleetMirror; readonly table: FleetTable }) {
    this.#mirror = deps.mirror;
    this.#table = deps.table;
  }

  /** Keeps what an Application says of its components. */
  learn({ input, outcomes }: Plan, classes: PriorityClasses): void {
    const { metadata, spec } = input.application;
    const counts = new Map(outcomes.map(({ component: c }) => [c.name, c.count]));
    const traits = spec.components.map(
      (c) => [c.name, traitsOf(c, classes, counts.get(c.name) ?? 1)] as const,
    );
    const id = `${metadata.namespace ?? ""}/${metadata.name}`;
    this.#known.set(id, { applicationUid: metadata.uid, traits: new Map(traits) });
    this.#leftAlone.delete(id);
  }

  /** Brings what is known of an Application back as it is now. */
  saved(applicationId: string): () => void {
    const before = this.#known.get(applicationId);
    return () => {
      if (before === undefined) this.#known.delete(applicationId);
      else this.#known.set(applicationId, before);
    };
  }

  /** What is known of it may not be so any more. */
  leaveAlone(applicationId: string): void {
    this.#leftAlone.add(applicationId);
  }

  forget(applicationId: string): void {
    this.#known.delete(applicationId);
    this.#leftAlone.delete(applicationId);
  }

  traitsOf(applicationId: string, component: string): Traits {
    return this.#known.get(applicationId)?.traits.get(component) ?? UNKNOWN;
  }

  /** Everything that holds room now. */
  all(nowMs: number): readonly RoundRunning[] {
    const running: RoundRunning[] = [];
    for (const assignment of this.#mirror.assignments.values()) {
      if (assignment.spec.node === undefined || isFinished(assignment)) continue;
      const placed = this.#table.placed(idOf(assignment));
      if (placed !== undefined) running.push(this.#runningOf(assignment, placed, nowMs));
    }
    return running;
  }

  /** Evictions that each component with a budget still allows. */
  budgets(): ReadonlyMap<string, number> {
    const budgets = new Map<string, number>();
    for (const [applicationId, { traits }] of this.#known)
      for (const [component, { unavailableMax }] of traits) {
        if (unavailableMax === undefined) continue;
        const unavailable = this.#unavailableCount(applicationId, component);
        budgets.set(`${applicationId}/${component}`, Math.max(0, unavailableMax - unavailable));
      }
    return budgets;
  }

  #unavailableCount(applicationId: string, component: string): number {
    let count = 0;
    for (const a of this.#mirror.assignments.ofApplication(applicationId))
      if (a.spec.component === component && !isAvailable(a) && !isFinished(a)) count++;
    return count;
  }

  #runningOf(assignment: Assignment, placed: RoundRunning["placed"], nowMs: number): RoundRunning {
    const { spec, status } = assignment;
    const applicationId = applicationIdOf(assignment);
    const known = this.#known.get(applicationId);
    // What a deleted Application still owns is no part of another one of its name: that one's plan could not take it away.
    const isOwn = known !== undefined && belongsTo(assignment, known.applicationUid);
    const traits = isOwn ? this.traitsOf(applicationId, spec.component) : UNKNOWN;
    const job = `${applicationId}/${spec.component}`;
    const jobId = isOwn ? job : `${job}/${spec.applicationUid}`;
    const decidedMs = parseIsoTimeMs(status?.decidedAt ?? "") ?? nowMs;
    const ageMs = Math.max(0, nowMs - decidedMs);
    return {
      id: idOf(assignment),
      jobId,
      ...(traits.queue === undefined ? {} : { queue: traits.queue }),
      priority: traits.priority,
      placed,
      evictable: traits.movable && !this.#leftAlone.has(applicationId),
      // Of as many victims those go whose work of less than a day is lost least.
      evictionCost: 1 + Math.min(1, ageMs / DAY_MS),
      ...(traits.unavailableMax === undefined ? {} : { budget: jobId }),
      minMember: traits.minMember,
      ...endOf(spec.desired.kind, decidedMs + (traits.estimateMs ?? Number.NaN)),
    };
  }
}

/** A Deployment runs until it is told otherwise, a Job as long as its owner estimates. */
function endOf(
  kind: Assignment["spec"]["desired"]["kind"],
  estimatedMs: number,
): Pick<RoundRunning, "endsAtMs"> {
  if (kind === "Deployment") return { endsAtMs: "never" };
  return Number.isFinite(estimatedMs) ? { endsAtMs: estimatedMs } : {};
}
