import { AssertionError } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { hasCode, messageOf } from "@flotilla/shared/kernel/errors";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { type Completed, completePlan } from "../../domain/application/complete-plan.ts";
import { type Plan, planApplication } from "../../domain/application/plan.ts";
import { type Batching, batchingOf } from "../../domain/scheduling/batching.ts";
import { drainedNode } from "../../domain/scheduling/drain.ts";
import { changeOf } from "../control/change.ts";
import { PassLoop } from "../control/pass-loop.ts";
import { concerns } from "../control/relevance.ts";
import type { Defragmenter } from "../defragment/defragmenter.ts";
import type { Sha256 } from "../desired/ports.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { Change, ResourceStore, StoreErrorCode } from "../resources/ports.ts";
import { idOf } from "../scheduling/assignment-index.ts";
import { KINDS_SEEN, type MirrorChanges } from "../scheduling/fleet-mirror.ts";
import type { QueueStatusWriter } from "../scheduling/queue-status.ts";
import type { Batch, QueueOutcome, Scheduler } from "../scheduling/scheduler.ts";
import { idOfWant } from "../scheduling/wanted-instance.ts";
import { linkedApplications } from "./linked-applications.ts";
import { planInputOf } from "./plan-input.ts";

/** Most new instances of one component in one plan: a commit stays small enough to hold up nothing else for long. */
export const PLAN_CHANGES_MAX = 200;
/** Applications that are planned before others get a turn of the event loop. */
export const PLANS_PER_TURN = 50;
/** Commits that share an fsync; between them others get a turn of the event loop. */
export const COMMITS_PER_TURN = 500;
/** Rounds within a pass: one that was made undone by another writer is decided anew, at most so often. */
export const PASS_ROUNDS_MAX = 50;

/**
 * Turns Applications into Assignments. A pass plans every Application that something may have changed for, has the
 * scheduler decide where what it wants belongs, and commits each Application's changes at once, together with its status.
 */
export class ApplicationController implements Service {
  readonly name = "application";
  readonly #changesMax: number;
  readonly #deps: ApplicationDeps;
  readonly #loop: PassLoop;
  /** Applications to be looked at, as `namespace/name`. */
  readonly #dirty = new Set<string>();
  /** Whether what waits may find a place now. */
  #mayPlaceMore = false;
  /** Applications for which time alone may change something: a standby whose first candidate is healthy again. */
  readonly #timed = new Set<string>();
  readonly #nodes = new Set<string>();
  /** How the queues stood after the last round of this pass. */
  #standing: QueueOutcome | undefined;
  /** Whether something has changed in this pass. */
  #hasNews = false;

  constructor(
    options: {
      readonly resyncMs?: number;
      readonly coalesceMs?: number;
      readonly changesMax?: number;
    },
    deps: ApplicationDeps,
  ) {
    this.#changesMax = options.changesMax ?? PLAN_CHANGES_MAX;
    this.#deps = deps;
    this.#loop = new PassLoop(
      { coalesceMs: () => this.#batching().delayMs, ...options, name: this.name },
      {
        store: deps.store,
        clock: deps.clock,
        metrics: deps.metrics,
        isRelevant: (entry) => concerns(entry, KINDS_SEEN),
        pass: (signal) => this.pass(signal),
      },
    );
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#loop.run(signal);
  }

  /** One look at what may have changed. Rejects when the store fails; the next pass takes up where it ended. */
  async pass(signal?: AbortSignal): Promise<void> {
    const { scheduler, metrics, defragmenter } = this.#deps;
    this.#standing = undefined;
    this.#hasNews = this.#note(scheduler.mirror.takeChanges());
    // Nothing has changed, so this pass is there for what was missed: everything is looked at.
    if (!this.#hasNews) this.#noteAll();
    // Before anything else is decided, for what a plan of moves gives up is not to be moved twice.
    await defragmenter.advance();
    this.#note(scheduler.mirror.takeChanges());
    for (const id of this.#timed) this.#dirty.add(id);
    for (let round = 0; round < PASS_ROUNDS_MAX && this.#hasWork; round++) {
      if (signal?.aborted === true) return;
      await this.#round();
      if (this.#note(scheduler.mirror.takeChanges())) this.#hasNews = true;
    }
    if (!this.#hasWork) await defragmenter.consider(this.#standing, { hasNews: this.#hasNews });
    this.#surveyQueues();
    await this.#markDrained();
    metrics.set("flotilla_hub_instances_unplaced", scheduler.mirror.assignments.waitingCount);
  }

  get #hasWork(): boolean {
    return this.#dirty.size > 0 || (this.#mayPlaceMore && this.#deps.scheduler.hasPending);
  }

  /** Whether anything has changed. */
  #note(changes: MirrorChanges): boolean {
    for (const name of changes.nodes) this.#nodes.add(name);
    for (const id of changes.applications) this.#dirty.add(id);
    if (changes.all) this.#noteAll();
    if (changes.roomMayHaveGrown) this.#mayPlaceMore = true;
    return (
      changes.all || changes.roomMayHaveGrown || changes.nodes.size + changes.applications.size > 0
    );
  }

  #noteAll(): void {
    for (const application of this.#deps.store.list("Application"))
      this.#dirty.add(idOfApplication(application));
  }

  async #round(): Promise<void> {
    const { scheduler, clock } = this.#deps;
    const plans = await this.#planDirty();
    // What was written while others had a turn is planned by the next round; what it waited for before does not count any more.
    this.#note(scheduler.mirror.takeChanges());
    for (const id of this.#dirty) if (!plans.has(id)) scheduler.setAside(id);
    this.#mayPlaceMore = false;
    const { instancesMax } = this.#batching();
    const batch = scheduler.decide([...plans.values()], { nowMs: clock.wallMs(), instancesMax });
    if (!this.#planDecided(plans, batch)) return;
    if (batch.isFull) this.#mayPlaceMore = true;
    this.#standing = batch.queues;
    if (batch.queues !== undefined) this.#deps.queues.tell(batch.queues);
    await this.#commitAll(plans, batch);
  }

  /**
   * Plans also those that were planned in an earlier round, so that what was decided about them can be committed. False: one of them cannot
   * be planned any more; all is given back, for others may have been decided on the strength of it.
   */
  #planDecided(plans: Map<string, Plan>, { applicationIds, outcomes, evictions }: Batch): boolean {
    const { scheduler } = this.#deps;
    const lost: string[] = [];
    for (const id of applicationIds) {
      if (plans.has(id)) continue;
      const plan = this.#plan(id);
      if (plan === undefined) lost.push(id);
      else plans.set(id, plan);
    }
    if (lost.length > 0) {
      scheduler.giveBack(outcomes.keys());
      scheduler.giveBack(evictions.keys());
      for (const id of plans.keys()) this.#dirty.add(id);
      for (const id of lost) scheduler.forget(id);
      return false;
    }
    // An earlier plan may have asked for more instances than the one that is committed.
    const wanted = new Set([...plans.values()].flatMap((p) => p.wants.map((w) => idOfWant(p, w))));
    scheduler.giveBack([...outcomes.keys()].filter((id) => !wanted.has(id)));
    return true;
  }

  /** Queues are told how they stand also when nothing waits. */
  #surveyQueues(): void {
    const { scheduler, store, queues, clock } = this.#deps;
    if (scheduler.hasPending || store.list("Queue").length === 0) return;
    queues.tell(scheduler.survey(clock.wallMs()));
  }

  async #planDirty(): Promise<Map<string, Plan>> {
    const plans = new Map<string, Plan>();
    const ids = [...this.#dirty].toSorted();
    this.#dirty.clear();
    for (const [n, id] of ids.entries()) {
      if (n % PLANS_PER_TURN === PLANS_PER_TURN - 1) await this.#deps.turn();
      const plan = this.#plan(id);
      if (plan === undefined) this.#deps.scheduler.forget(id);
      else plans.set(id, plan);
    }
    return plans;
  }

  /**
   * Each Application's changes are one commit. Those that make room for others and those that it is made for are one together: no
   * crash and no conflict may leave both on the same room.
   */
  async #commitAll(plans: ReadonlyMap<string, Plan>, batch: Batch): Promise<void> {
    const linked = linkedApplications(plans, batch);
    const groups = [
      [...plans].filter(([id]) => linked.has(id)),
      ...[...plans].filter(([id]) => !linked.has(id)).map((entry) => [entry]),
    ];
    for (let first = 0; first < groups.length; first += COMMITS_PER_TURN) {
      const some = groups.slice(first, first + COMMITS_PER_TURN);
      const results = await Promise.allSettled(
        some.map((group) =>
          this.#commit(
            group.map(([, plan]) => plan),
            batch,
          ),
        ),
      );
      const failed = results.find((result) => result.status === "rejected");
      if (failed === undefined) continue;
      // The store is not well: what was not tried is given back, and all is looked at again by the next pass.
      for (const group of groups.slice(first + COMMITS_PER_TURN)) this.#leave(group);
      throw failed.reason;
    }
  }

  #leave(group: readonly (readonly [string, Plan])[]): void {
    for (const [id, plan] of group) {
      this.#dirty.add(id);
      this.#giveBack([plan]);
    }
  }

  /** Undefined when there is nothing to plan: it is gone, or going, or cannot be planned. */
  #plan(id: string): Plan | undefined {
    const [namespace = "", name = ""] = id.split("/");
    const application = this.#deps.store.get("Application", namespace, name);
    this.#timed.delete(id);
    // One that is going away is left to the collector.
    if (application === undefined || application.metadata.deletionTimestamp !== undefined) return;
    try {
      return planApplication(this.#inputOf(application));
    } catch (error) {
      // A bug that was held impossible ends the process; anything else is kept to the Application that it shows in.
      if (error instanceof AssertionError) throw error;
      this.#tellFailed(application, error);
      return undefined;
    }
  }

  #inputOf(application: ObjectOf<"Application">) {
    const { sha256, random, clock } = this.#deps;
    return {
      ...planInputOf(application, { ...this.#deps, mirror: this.#deps.scheduler.mirror }),
      sha256,
      nowIso: isoTime(clock.wallMs()),
      newUid: () => uuid(random, "assignment.uid"),
      changesMax: this.#changesMax,
    };
  }

  /** What was decided is given back when it cannot be committed, and decided anew when somebody else had changed something. */
  async #commit(plans: readonly Plan[], batch: Batch): Promise<void> {
    const { store, metrics, scheduler } = this.#deps;
    const completed = plans.map((plan) => this.#complete(plan, batch));
    const changes = completed.flatMap((c) => changesOf(c.plan.input.application, c));
    if (changes.length === 0) return;
    const dirty = (): void => {
      for (const { input } of plans) this.#dirty.add(idOfApplication(input.application));
      this.#giveBack(plans);
    };
    try {
      const result = await store.commit({ changes });
      if (result.ok) {
        for (const c of completed) this.#tell(c.plan.input.application, c);
        if (completed.every((c) => isSettled(c, batch))) scheduler.mirror.expect(result.entries);
      } else {
        metrics.count("flotilla_hub_pass_conflicts_total", { controller: this.name });
        dirty();
      }
    } catch (error) {
      if (!hasCode<StoreErrorCode>(error, "object-too-large")) {
        dirty();
        throw error;
      }
      this.#giveBack(plans);
      for (const { input } of plans) {
        this.#deps.scheduler.forget(idOfApplication(input.application));
        this.#tellFailed(input.application, error);
      }
    }
  }

  #complete(plan: Plan, { outcomes, evictions }: Batch): Completed & { readonly plan: Plan } {
    const completed = completePlan(
      plan,
      (want) => outcomes.get(idOfWant(plan, want)),
      (assignment) => evictions.get(idOf(assignment))?.message,
    );
    if (plan.division.some((d) => d.stableSince !== undefined))
      this.#timed.add(idOfApplication(plan.input.application));
    return { ...completed, plan };
  }

  /** The table has what the store has again. */
  #giveBack(plans: readonly Plan[]): void {
    for (const plan of plans) {
      this.#deps.scheduler.giveBack(plan.wants.map((want) => idOfWant(plan, want)));
      this.#deps.scheduler.giveBack(plan.input.assignments.map(idOf));
    }
  }

  #batching(): Batching {
    return batchingOf(this.#deps.store.list("PerformanceProfile"));
  }

  #tell(application: ObjectOf<"Application">, { happenings }: Completed): void {
    const { events, log, metrics } = this.#deps;
    for (const { about, type, reason, message } of happenings) {
      const subject = about === "application" ? application : about;
      events.record({ about: subject, type, reason, message });
      log.info({ name: subject.metadata.name, reason, message }, "placement");
      const outcome = OUTCOMES[reason];
      if (outcome !== undefined) metrics.count("flotilla_hub_placements_total", { outcome });
    }
  }

  /** It is tried again when anything that it is planned from changes, and at each resync. */
  #tellFailed(application: ObjectOf<"Application">, error: unknown): void {
    const { events, log } = this.#deps;
    const { namespace, name } = application.metadata;
    log.error({ namespace, name, err: error }, "an application could not be reconciled");
    events.record({
      about: application,
      type: "Warning",
      reason: "ReconcileFailed",
      message: `nothing of it was changed: ${messageOf(error)}`,
    });
  }

  /** Says of every node that is to be drained whether it is empty. A conflict is left to the pass that it causes. */
  async #markDrained(): Promise<void> {
    const { store, clock, events, scheduler } = this.#deps;
    const names = [...this.#nodes];
    this.#nodes.clear();
    for (const name of names) {
      const node = store.get("EdgeNode", "", name);
      if (node === undefined) continue;
      const held = [...scheduler.mirror.assignments.ofNode(name)];
      const after = drainedNode(node, held, isoTime(clock.wallMs()));
      if (after === undefined) continue;
      const result = await store.commit({ changes: [changeOf(node, after)] });
      const drained = after.status?.conditions?.find((c) => c.type === "Drained");
      if (result.ok && drained?.status === "True")
        events.record({
          about: node,
          type: "Normal",
          reason: "Drained",
          message: "nothing is left",
        });
    }
  }
}

/** What of the planner's happenings is counted. */
const OUTCOMES: Readonly<Record<string, string>> = {
  Scheduled: "placed",
  Moved: "moved",
  FailedScheduling: "unplaced",
};

/** Whether nothing is left to do for the Application until something else changes. */
function isSettled({ plan }: { readonly plan: Plan }, { outcomes, evictions }: Batch): boolean {
  return (
    !plan.isCut &&
    plan.wants.every((want) => outcomes.get(idOfWant(plan, want))?.node !== undefined) &&
    !plan.input.assignments.some((a) => evictions.has(idOf(a)))
  );
}

function idOfApplication({ metadata }: ObjectOf<"Application">): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}

/** All changes of a plan, its status among them; none when everything is as planned. */
function changesOf(application: ObjectOf<"Application">, plan: Completed): readonly Change[] {
  const after = { ...application, status: { ...application.status, ...plan.status } };
  if (plan.changes.length === 0 && jsonEqual(application, after)) return [];
  return [changeOf(application, after), ...plan.changes.map((c) => changeOf(c.before, c.after))];
}

interface ApplicationDeps {
  readonly store: ResourceStore;
  readonly scheduler: Scheduler;
  /** Works on the same scheduler, within the passes. */
  readonly defragmenter: Pick<Defragmenter, "advance" | "consider">;
  /** Hears how the queues stand after each round. */
  readonly queues: Pick<QueueStatusWriter, "tell">;
  readonly events: Pick<EventRecorder, "record">;
  readonly sha256: Sha256;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Resolves when others had a turn of the event loop. */
  readonly turn: () => Promise<void>;
}
