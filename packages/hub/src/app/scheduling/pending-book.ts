import { parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import type { RoundJob, RoundMember } from "@flotilla/shared/scheduling/round/types";
import { isFailed, isSucceeded } from "../../domain/application/instance-state.ts";
import type { Plan } from "../../domain/application/plan.ts";
import type { Neighbours } from "./neighbours.ts";
import type { RunningBook } from "./running-book.ts";
import { type WantedInstance, wantedInstances } from "./wanted-instance.ts";

/** What waits for a place, Application by Application, as their plans of last want it. */
export class PendingBook {
  readonly #byApplication = new Map<string, readonly WantedInstance[]>();

  get isEmpty(): boolean {
    return this.#byApplication.size === 0;
  }

  /** Replaces what is known of the plan's Application. */
  learn(applicationId: string, plan: Plan): void {
    const waiting = wantedInstances(plan).filter(({ want }) => want.kind === "place");
    if (waiting.length === 0) this.#byApplication.delete(applicationId);
    else this.#byApplication.set(applicationId, waiting);
  }

  /** These have a place. */
  drop(ids: ReadonlySet<string>): void {
    if (ids.size === 0) return;
    for (const [applicationId, waiting] of this.#byApplication) {
      const left = waiting.filter(({ id }) => !ids.has(id));
      if (left.length === 0) this.#byApplication.delete(applicationId);
      else if (left.length < waiting.length) this.#byApplication.set(applicationId, left);
    }
  }

  /** Brings everything back as it is now. */
  saved(): () => void {
    const before = [...this.#byApplication];
    return () => {
      this.#byApplication.clear();
      for (const [applicationId, waiting] of before)
        this.#byApplication.set(applicationId, waiting);
    };
  }

  forget(applicationId: string): void {
    this.#byApplication.delete(applicationId);
  }

  *instances(): Iterable<WantedInstance> {
    for (const waiting of this.#byApplication.values()) yield* waiting;
  }

  /** One job for each component that waits. */
  jobs(deps: {
    readonly table: FleetTable;
    readonly neighbours: Neighbours;
    readonly running: RunningBook;
    readonly nowMs: number;
  }): readonly RoundJob[] {
    return [...this.#byApplication].flatMap(([applicationId, waiting]) =>
      [...Map.groupBy(waiting, (w) => w.component)].map(([component, members]) =>
        jobOf({ applicationId, component }, members, deps),
      ),
    );
  }
}

function jobOf(
  of: { readonly applicationId: string; readonly component: string },
  waiting: readonly WantedInstance[],
  deps: Parameters<PendingBook["jobs"]>[0],
): RoundJob {
  const { applicationId, component } = of;
  const { queue, priority, preemption, minMember, waitMaxMs, estimateMs, movable } =
    deps.running.traitsOf(applicationId, component);
  const plan = waiting[0]?.plan;
  const own = plan?.draft.of(component) ?? [];
  const pendingSinceMs = waiting.reduce(
    (ms, { want }) =>
      Math.min(ms, parseIsoTimeMs(want.before?.metadata.creationTimestamp ?? "") ?? ms),
    deps.nowMs,
  );
  return {
    id: `${applicationId}/${component}`,
    ...(queue === undefined ? {} : { queue }),
    priority,
    orderKey: `${plan?.input.application.metadata.creationTimestamp ?? ""}/${applicationId}/${component}`,
    members: waiting.map((instance) => memberOf(instance, deps)),
    runningCount: own.filter((a) => isSucceeded(a) || (a.spec.node !== undefined && !isFailed(a)))
      .length,
    minMember,
    pendingSinceMs,
    ...(waitMaxMs === undefined ? {} : { waitMaxMs }),
    preemption,
    evictable: movable,
    ...(estimateMs === undefined ? {} : { estimateMs }),
  };
}

function memberOf(
  { id, plan, component, request, weights }: WantedInstance,
  { table, neighbours }: Parameters<PendingBook["jobs"]>[0],
): RoundMember {
  return {
    id,
    shape: table.shapeOf(request, weights, neighbours.adjustmentOf(plan, component)),
  };
}
