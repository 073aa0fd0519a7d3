import { parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import type { RoundRunning } from "@flotilla/shared/scheduling/round/types";
import { isAvailable, isFinished } from "../../domain/application/instance-state.ts";
import type { Plan } from "../../domain/application/plan.ts";
import { type PriorityClasses, type Traits, traitsOf } from "../../domain/scheduling/traits.ts";
import { applicationIdOf, idOf } from "./assignment-index.ts";
import type { FleetMirror } from "./fleet-mirror.ts";

type Assignment = ObjectOf<"Assignment">;

/** Of an instance whose component is not known: it is left alone. */
const UNKNOWN: Traits = { priority: 0, preemption: "Never", minMember: 0, movable: false };

const DAY_MS = 86_400_000;

/** What holds room, as rounds see it: whose it is, what it is worth, and whether it may be taken away. */
export class RunningBook {
  readonly #mirror: FleetMirror;
  readonly #table: FleetTable;
  /** By Application, then component. */
  readonly #traits = new Map<string, ReadonlyMap<string, Traits>>();
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
    this.#traits.set(id, new Map(traits));
    this.#leftAlone.delete(id);
  }

  /** Brings what is known of an Application back as it is now. */
  saved(applicationId: string): () => void {
    const before = this.#traits.get(applicationId);
    return () => {
      if (before === undefined) this.#traits.delete(applicationId);
      else this.#traits.set(applicationId, before);
    };
  }

  /** What is known of it may not be so any more. */
  leaveAlone(applicationId: string): void {
    this.#leftAlone.add(applicationId);
  }

  forget(applicationId: string): void {
    this.#traits.delete(applicationId);
    this.#leftAlone.delete(applicationId);
  }

  traitsOf(applicationId: string, component: string): Traits {
    return this.#traits.get(applicationId)?.get(component) ?? UNKNOWN;
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
    for (const [applicationId, components] of this.#traits)
      for (const [component, { unavailableMax }] of components) {
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
    const jobId = `${applicationIdOf(assignment)}/${spec.component}`;
    const traits = this.traitsOf(applicationIdOf(assignment), spec.component);
    const decidedMs = parseIsoTimeMs(status?.decidedAt ?? "") ?? nowMs;
    const ageMs = Math.max(0, nowMs - decidedMs);
    return {
      id: idOf(assignment),
      jobId,
      ...(traits.queue === undefined ? {} : { queue: traits.queue }),
      priority: traits.priority,
      placed,
      evictable: traits.movable && !this.#leftAlone.has(applicationIdOf(assignment)),
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
