import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime, parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { apiVersionOf, KINDS } from "@flotilla/shared/model/kinds";
import {
  type Execution,
  type ExecutionEffect,
  type ExecutionEvent,
  stepExecution,
} from "@flotilla/shared/scheduling/defragment/execution";
import { isResolved } from "../../domain/application/component.ts";
import { Draft, type PlanHappening } from "../../domain/application/draft.ts";
import { reportOf } from "../../domain/application/instance-state.ts";
import { type Plan, planApplication } from "../../domain/application/plan.ts";
import {
  executionOfPlan,
  idOfMovePlan,
  isMovePlanOver,
  nodesText,
  planAfter,
} from "../../domain/defragment/move-plan.ts";
import { eventsOf, type Sight } from "../../domain/defragment/observe.ts";
import { planInputOf } from "../application/plan-input.ts";
import { changeOf } from "../control/change.ts";
import type { Sha256 } from "../desired/ports.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { Change, ResourceStore } from "../resources/ports.ts";
import { applicationIdOf, idOf } from "../scheduling/assignment-index.ts";
import type { MoveProposal } from "../scheduling/room-maker.ts";
import type { QueueOutcome, Scheduler } from "../scheduling/scheduler.ts";

/** Least time between two searches for moves, milliseconds. */
export const MOVE_PLAN_RETRY_MS = 30_000;
/** A job whose plan was given up gets no other one for so long, milliseconds: each costs interruptions. */
export const MOVE_PLAN_COOLDOWN_MS = 600_000;
/** MovePlans that are over and kept to be read, the newest; at least the one made last. */
export const MOVE_PLANS_KEPT_MAX = 20;
/** Longest name of an Assignment that a MovePlan is named after whole. */
const NAME_LENGTH_MAX = 240;

type MovePlan = ObjectOf<"MovePlan">;
type Assignment = ObjectOf<"Assignment">;

/** A plan after what has happened, and what its move changes. */
interface Step {
  readonly plan: MovePlan;
  readonly change?: { readonly before: Assignment; readonly after: Assignment };
  readonly happenings: readonly PlanHappening[];
}

/**
 * Makes room by moves for what waits. A MovePlan says what is to be done and how far it is; it is stored together with the Assignment
 * that a step changes, so that after a crash the next look goes on from there. Runs within the passes of the ApplicationController, so
 * that nothing else decides meanwhile.
 */
export class Defragmenter {
  readonly #deps: DefragmenterDeps;
  /** Whether the fleet has changed since moves were looked for last. */
  #hasNews = true;
  #nextSearchMs = 0;

  constructor(deps: DefragmenterDeps) {
    this.#deps = deps;
  }

  /** Looks at each plan under way and does its next step. A conflict is left to the pass that it causes. */
  async advance(): Promise<void> {
    for (const plan of this.#deps.store.list("MovePlan"))
      if (!isMovePlanOver(plan)) await this.#advance(plan);
  }

  /** Plans moves for the first job that waits for room, unless a plan is under way, nothing has changed, or the last search is too near. */
  async consider(queues: QueueOutcome | undefined, { hasNews }: { readonly hasNews: boolean }) {
    if (hasNews) this.#hasNews = true;
    const { store, clock, scheduler, log } = this.#deps;
    const nowMs = clock.wallMs();
    const plans = store.list("MovePlan");
    if (queues === undefined || !this.#hasNews || nowMs < this.#nextSearchMs) return;
    if (plans.some((plan) => !isMovePlanOver(plan))) return;
    const cooling = new Set(
      plans.filter((plan) => isCooling(plan, nowMs)).map(({ spec }) => spec.job),
    );
    const jobIds = waitingForRoom(queues).filter((id) => !cooling.has(id));
    if (jobIds.length === 0) return;
    this.#hasNews = false;
    this.#nextSearchMs = nowMs + MOVE_PLAN_RETRY_MS;
    const planOf = (id: string): Plan | undefined => this.#planOf(id);
    for (const proposal of scheduler.roomMaker.propose(jobIds, { nowMs, planOf }))
      if (proposal.kind === "plan") await this.#begin(proposal);
      else log.debug({ job: proposal.jobId, reason: proposal.reason }, "no moves make room");
  }

  async #begin({ namespace, spec }: Extract<MoveProposal, { kind: "plan" }>): Promise<void> {
    const { random, clock, store, scheduler } = this.#deps;
    const uid = uuid(random, "move-plan.uid");
    const [first] = spec.rooms;
    const plan: MovePlan = {
      apiVersion: apiVersionOf(KINDS.MovePlan),
      kind: "MovePlan",
      metadata: {
        name: `${(first?.assignment ?? "").slice(0, NAME_LENGTH_MAX)}-${uid.slice(0, 8)}`,
        namespace,
        uid,
        generation: 1,
        creationTimestamp: isoTime(clock.wallMs()),
      },
      spec,
    };
    const step = this.#follow(plan, [{ kind: "start" }]);
    // Its first move cannot be made: nothing was done, so nothing is stored.
    if (step.change === undefined) return scheduler.mirror.holds.drop(idOfMovePlan(plan));
    const told = `${spec.moves.length} moves make room on ${nodesText(plan)}: ${movesText(plan)}`;
    const request = store.get("Assignment", namespace, first?.assignment ?? "");
    const happenings = [
      ...step.happenings,
      ...(request === undefined ? [] : [normal(request, "MakingRoom", told)]),
    ];
    await this.#commit(undefined, { ...step, happenings }, this.#superfluous());
  }

  async #advance(plan: MovePlan): Promise<void> {
    const step = this.#follow(plan, undefined);
    if (step.plan !== plan) await this.#commit(plan, step, []);
  }

  /** Applies these events, else what is seen, until nothing more follows or an instance was sent. */
  #follow(plan: MovePlan, first: readonly ExecutionEvent[] | undefined): Step {
    const happenings: PlanHappening[] = [];
    let current = plan;
    let events = first ?? eventsOf(plan, this.#sight());
    while (events.length > 0) {
      const [event, ...rest] = events;
      const before = executionOfPlan(current);
      const { execution, effects } =
        event === undefined ? { execution: before, effects: [] } : stepExecution(before, event);
      const after = this.#after(current, execution);
      if (after === current) {
        events = rest;
        continue;
      }
      current = after;
      happenings.push(...this.#ended(current));
      this.#deps.scheduler.mirror.holds.put(current);
      const sent = effects.find((effect) => effect.kind === "move");
      const change = sent === undefined ? undefined : this.#move(current, sent);
      if (change !== undefined && change !== "cannot")
        return { plan: current, ...change, happenings: [...happenings, ...change.happenings] };
      const failed: readonly ExecutionEvent[] =
        sent !== undefined && change === "cannot" ? [{ kind: "move-failed", id: sent.id }] : [];
      events = [...failed, ...eventsOf(current, this.#sight())];
    }
    return { plan: current, happenings };
  }

  /** The plan itself when the step changes nothing. */
  #after(plan: MovePlan, execution: Execution): MovePlan {
    const { clock, scheduler } = this.#deps;
    const before = executionOfPlan(plan);
    const isSame =
      before.phase === execution.phase &&
      before.brokenBy === execution.brokenBy &&
      before.moves.every(({ state }, i) => state === execution.moves[i]?.state);
    if (isSame) return plan;
    const runStartedAt = (id: string): string | undefined => {
      const assignment = scheduler.mirror.assignments.get(id);
      return assignment && reportOf(assignment)?.startedAt;
    };
    return planAfter(plan, execution, { nowMs: clock.wallMs(), runStartedAt });
  }

  /** Undefined: it is there already. */
  #move(
    plan: MovePlan,
    { id, room }: Extract<ExecutionEffect, { kind: "move" }>,
  ): (Required<Pick<Step, "change">> & Pick<Step, "happenings">) | "cannot" | undefined {
    const { scheduler } = this.#deps;
    const assignment = scheduler.mirror.assignments.get(id);
    if (assignment === undefined) return "cannot";
    const isBack = executionOfPlan(plan).moves.some(
      (move) => move.id === id && move.state === "returning",
    );
    if (isBack && hasRoom(assignment, room)) return undefined;
    const application = this.#planOf(applicationIdOf(assignment));
    const found = application?.outcomes.find((o) => o.component.name === assignment.spec.component);
    if (application === undefined || found === undefined || !isResolved(found.component))
      return "cannot";
    const decision = scheduler.roomMaker.relocate(application, assignment, room.node);
    if (decision === undefined) return "cannot";
    const draft = new Draft(application.input);
    const target = { component: found.component, index: assignment.spec.index };
    const why = isBack
      ? `back, for move plan ${plan.metadata.name} was given up`
      : `to make room for ${plan.spec.job} (move plan ${plan.metadata.name})`;
    const after = draft.settle(assignment, target, decision, why);
    return { change: { before: assignment, after }, happenings: draft.happenings };
  }

  async #commit(
    before: MovePlan | undefined,
    { plan, change, happenings }: Step,
    more: readonly Change[],
  ): Promise<void> {
    const { store, metrics, scheduler } = this.#deps;
    const giveBack = (): void => {
      const stored = store.get("MovePlan", plan.metadata.namespace ?? "", plan.metadata.name);
      if (stored === undefined) scheduler.mirror.holds.drop(idOfMovePlan(plan));
      else scheduler.mirror.holds.put(stored);
      if (change !== undefined) scheduler.giveBack([idOf(change.before)]);
    };
    try {
      const { ok } = await store.commit({
        changes: [
          changeOf(before, plan),
          ...(change === undefined ? [] : [changeOf(change.before, change.after)]),
          ...more,
        ],
      });
      if (ok) this.#tell(before, plan, happenings);
      else {
        giveBack();
        metrics.count("flotilla_hub_pass_conflicts_total", { controller: "defragment" });
      }
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  #tell(before: MovePlan | undefined, plan: MovePlan, happenings: readonly PlanHappening[]): void {
    const { events, log, metrics } = this.#deps;
    for (const { about, type, reason, message } of happenings)
      if (about !== "application") {
        events.record({ about, type, reason, message });
        log.info({ name: about.metadata.name, reason, message }, "defragmentation");
      }
    const { moves = [], phase, brokenBy = "" } = plan.status ?? {};
    for (const [i, { state }] of moves.entries())
      if (state !== "waiting" && state !== before?.status?.moves[i]?.state)
        metrics.count("flotilla_hub_moves_total", { outcome: state });
    if (isMovePlanOver(plan))
      metrics.count("flotilla_hub_move_plans_total", {
        outcome: phase === "done" ? "done" : brokenBy,
      });
  }

  /** What is told of a plan that has just ended. */
  #ended(plan: MovePlan): readonly PlanHappening[] {
    if (!isMovePlanOver(plan)) return [];
    const { metadata, spec, status } = plan;
    const [first] = spec.rooms;
    const about = this.#deps.store.get(
      "Assignment",
      metadata.namespace ?? "",
      first?.assignment ?? "",
    );
    if (about === undefined) return [];
    if (status?.phase === "done")
      return [normal(about, "RoomMade", `on ${nodesText(plan)}, by ${spec.moves.length} moves`)];
    const message = `move plan ${metadata.name} was given up: ${status?.brokenBy ?? ""}`;
    return [{ about, type: "Warning", reason: "NoRoomMade", message }];
  }

  #sight(): Sight {
    const { scheduler, clock } = this.#deps;
    const { mirror } = scheduler;
    return {
      assignmentOf: (id) => mirror.assignments.get(id),
      isUsable: (node) => {
        const [facts, object] = [mirror.factsOf(node), mirror.nodeObjectOf(node)];
        if (facts === undefined || object === undefined || facts.life === "lost") return false;
        const { revoked, drain, unschedulable } = object.spec;
        return revoked !== true && drain !== true && unschedulable !== true;
      },
      nowMs: clock.wallMs(),
    };
  }

  #planOf(applicationId: string): Plan | undefined {
    const { store, scheduler, sha256, clock, random } = this.#deps;
    const [namespace = "", name = ""] = applicationId.split("/");
    const application = store.get("Application", namespace, name);
    if (application === undefined || application.metadata.deletionTimestamp !== undefined)
      return undefined;
    return planApplication({
      ...planInputOf(application, { store, scheduler, mirror: scheduler.mirror }),
      sha256,
      nowIso: isoTime(clock.wallMs()),
      newUid: () => uuid(random, "assignment.uid"),
      changesMax: Number.POSITIVE_INFINITY,
    });
  }

  /** Deletions of plans that are over, but for the newest. */
  #superfluous(): readonly Change[] {
    return this.#deps.store
      .list("MovePlan")
      .filter(isMovePlanOver)
      .toSorted((a, b) => ((a.status?.since ?? "") < (b.status?.since ?? "") ? 1 : -1))
      .slice(MOVE_PLANS_KEPT_MAX - 1)
      .map((plan) => changeOf(plan, undefined));
  }
}

/** Jobs that nothing but room is missing for, the one that room is reserved for first, then as the round had them. */
function waitingForRoom({ waiting, reservation }: QueueOutcome): readonly string[] {
  const ids = waiting.filter(({ reason }) => reason === "NoRoom").map(({ jobId }) => jobId);
  const head = ids.filter((id) => id === reservation?.jobId);
  return [...head, ...ids.filter((id) => id !== reservation?.jobId)];
}

function isCooling({ status }: MovePlan, nowMs: number): boolean {
  if (status?.phase !== "undone") return false;
  return nowMs - (parseIsoTimeMs(status.since) ?? 0) < MOVE_PLAN_COOLDOWN_MS;
}

function hasRoom(
  { spec }: Assignment,
  room: { readonly node: string; readonly devices: readonly string[] },
): boolean {
  const devices = new Set(spec.devices?.map(({ uuid: id }) => id));
  return spec.node === room.node && room.devices.every((device) => devices.has(device));
}

function movesText({ spec }: MovePlan): string {
  return spec.moves
    .map(({ assignment, from, to }) => `${assignment} from ${from.node} to ${to.node}`)
    .join(", ");
}

function normal(about: Assignment, reason: string, message: string): PlanHappening {
  return { about, type: "Normal", reason, message };
}

interface DefragmenterDeps {
  readonly store: ResourceStore;
  readonly scheduler: Scheduler;
  readonly events: Pick<EventRecorder, "record">;
  readonly sha256: Sha256;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}
