import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Component } from "@flotilla/shared/model/resources/application";
import type { PreemptionPolicy } from "@flotilla/shared/scheduling/round/types";

/** How a component queues, worked out. */
export interface Traits {
  /** Absent: the default queue. */
  readonly queue?: string;
  readonly priority: number;
  readonly preemption: PreemptionPolicy;
  /** Fewest instances that may run; 0: each on its own. */
  readonly minMember: number;
  readonly waitMaxMs?: number;
  readonly estimateMs?: number;
  /** False: is never evicted or moved for others. */
  readonly movable: boolean;
  /** Most instances that may be unavailable when others make some so; absent: no limit. */
  readonly unavailableMax?: number;
}

/** Priority classes by name, and the one that counts where none is named. */
export class PriorityClasses {
  readonly #byName: ReadonlyMap<string, ObjectOf<"PriorityClass">>;
  readonly #global: ObjectOf<"PriorityClass"> | undefined;

  constructor(classes: readonly ObjectOf<"PriorityClass">[]) {
    this.#byName = new Map(classes.map((c) => [c.metadata.name, c]));
    // Of several the lowest counts, as in Kubernetes.
    this.#global = classes
      .filter((c) => c.globalDefault === true)
      .toSorted((a, b) => a.value - b.value)[0];
  }

  /** A name that no class has counts as none: it is said in the Application's conditions, and holds up nothing. */
  of(name: string | undefined): ObjectOf<"PriorityClass"> | undefined {
    return (name === undefined ? undefined : this.#byName.get(name)) ?? this.#global;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }
}

/** Name of the class that a component asks for: its own over the pod template's. */
export function priorityClassNameOf(component: Component): string | undefined {
  return (
    component.volcano?.priorityClassName ?? component.template.spec.template.spec.priorityClassName
  );
}

/** What a component's manifest says of queueing; `count` is how many instances it has in all. */
export function traitsOf(component: Component, classes: PriorityClasses, count: number): Traits {
  const { volcano = {}, scheduling = {} } = component;
  const priority = classes.of(priorityClassNameOf(component));
  const waitMaxMs = durationOf(scheduling.waitMax);
  const estimateMs = durationOf(scheduling.estimate);
  const budget = scheduling.disruptionBudget?.maxUnavailable;
  return {
    ...(volcano.queue === undefined ? {} : { queue: volcano.queue }),
    priority: priority?.value ?? 0,
    preemption:
      scheduling.preemption ?? (priority?.preemptionPolicy === "Never" ? "Never" : "LowerPriority"),
    minMember: volcano.minMember ?? 0,
    ...(waitMaxMs === undefined ? {} : { waitMaxMs }),
    ...(estimateMs === undefined ? {} : { estimateMs }),
    movable: scheduling.movable ?? true,
    ...(budget === undefined ? {} : { unavailableMax: countOf(budget, count) }),
  };
}

function durationOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseDurationMs(text);
}

/** A percentage is rounded up, as Kubernetes does for maxUnavailable of a PodDisruptionBudget. */
function countOf(budget: number | string, count: number): number {
  if (typeof budget === "number") return budget;
  return Math.ceil((Number.parseInt(budget, 10) / 100) * count);
}
