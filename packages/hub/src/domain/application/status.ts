import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { NodeLife } from "@flotilla/shared/model/lease";
import { type Condition, withCondition } from "@flotilla/shared/model/metadata";
import type {
  ApplicationStatus,
  ComponentStatus,
} from "@flotilla/shared/model/resources/application";
import { DEFAULT_QUEUE } from "@flotilla/shared/scheduling/round/types";
import { priorityClassNameOf } from "../scheduling/traits.ts";
import { setbackText } from "./artifact-state.ts";
import { type ComponentProblem, isResolved, type ResolvedComponent } from "./component.ts";
import {
  isAvailable,
  isFailed,
  isSucceeded,
  isUpToDate,
  servingReportOf,
} from "./instance-state.ts";

/** One component and what its plan said of it. */
export interface ComponentOutcome {
  readonly component: ResolvedComponent | ComponentProblem;
  /** What stands in its way. */
  readonly message?: string;
}

type ConditionDraft = Omit<Condition, "lastTransitionTime" | "observedGeneration">;

/** Conditions that are written here; those of others are left alone. */
const OWN_CONDITIONS: readonly string[] = [
  "Ready",
  "Progressing",
  "Scheduled",
  "Complete",
  "Autoscaling",
  "Queued",
  "ProfileFound",
  "PriorityClassFound",
];

/** What the Application's status is, given its instances as they are (or are about to be). */
export function applicationStatus(input: {
  readonly application: ObjectOf<"Application">;
  readonly outcomes: readonly ComponentOutcome[];
  readonly assignments: readonly ObjectOf<"Assignment">[];
  readonly lifeOf: (node: string) => NodeLife | undefined;
  /** False when the spec names a SchedulingProfile that does not exist. */
  readonly profileFound: boolean;
  readonly priorityClassExists: (name: string) => boolean;
  readonly nowIso: string;
}): ApplicationStatus {
  const { application, assignments, nowIso } = input;
  const byComponent = Map.groupBy(assignments, (a) => a.spec.component);
  const components = input.outcomes.map((o) =>
    componentStatus(o, byComponent.get(o.component.name) ?? []),
  );
  const facts: Facts = {
    components,
    problem: input.outcomes.find((o) => o.message !== undefined),
    waiting: assignments.find((a) => a.spec.node === undefined),
    waitingCount: assignments.filter((a) => a.spec.node === undefined).length,
    isAway: assignments.some(
      (a) => a.spec.node !== undefined && !isEnded(a) && input.lifeOf(a.spec.node) !== "ready",
    ),
    setback: setbackOf(components, byComponent),
  };
  const { generation } = application.metadata;
  const before = application.status?.conditions ?? [];
  const drafts = [
    ...lifeConditions(facts),
    ...queuedConditions(application, facts),
    ...priorityClassConditions(application, input.priorityClassExists),
    ...(input.profileFound ? [] : [profileCondition(application)]),
  ];
  const kept = before.filter(
    (c) => !OWN_CONDITIONS.includes(c.type) || drafts.some((d) => d.type === c.type),
  );
  const conditions = drafts.reduce(
    (list, draft) => withCondition(list, { ...draft, observedGeneration: generation }, nowIso),
    kept,
  );
  return { phase: phaseOf(facts), observedGeneration: generation, components, conditions };
}

function setbackOf(
  components: readonly ComponentStatus[],
  assignments: ReadonlyMap<string, readonly ObjectOf<"Assignment">[]>,
): string | undefined {
  for (const { name } of components) {
    const text = setbackText(assignments.get(name) ?? []);
    if (text !== undefined) return `${name}: ${text}`;
  }
  return undefined;
}

function componentStatus(
  { component, message }: ComponentOutcome,
  assignments: readonly ObjectOf<"Assignment">[],
): ComponentStatus {
  const count = (test: (a: ObjectOf<"Assignment">) => boolean): number =>
    assignments.filter(test).length;
  const waiting = assignments.find((a) => a.spec.node === undefined)?.status?.message;
  const kept = assignments.find((a) => isResolved(component) && isKeptBack(a, component));
  const said = message ?? waiting ?? kept?.status?.message ?? setbackText(assignments);
  return {
    name: component.name,
    type: component.type,
    desired: component.count,
    placed: count((a) => a.spec.node !== undefined),
    running: count((a) => servingReportOf(a)?.phase === "Running"),
    ready: count(isAvailable),
    succeeded: count(isSucceeded),
    failed: count(isFailed),
    updated: count((a) => isResolved(component) && isUpdated(a, component)),
    ...(said === undefined ? {} : { message: said }),
  };
}

/** Whether it runs with what the component asks for now. */
function isUpdated(assignment: ObjectOf<"Assignment">, component: ResolvedComponent): boolean {
  const { specDigest, artifacts = [] } = assignment.spec.desired;
  return (
    isUpToDate(assignment) &&
    specDigest === component.specDigest &&
    jsonEqual(artifacts, component.artifacts)
  );
}

/** It has a node and is not asked to be what the component is now; its message says why. */
function isKeptBack(
  { spec, status }: ObjectOf<"Assignment">,
  component: ResolvedComponent,
): boolean {
  return (
    status?.message !== undefined &&
    spec.node !== undefined &&
    (spec.desired.specDigest !== component.specDigest ||
      !jsonEqual(spec.desired.artifacts ?? [], component.artifacts))
  );
}

interface Facts {
  readonly components: readonly ComponentStatus[];
  readonly problem: ComponentOutcome | undefined;
  readonly waiting: ObjectOf<"Assignment"> | undefined;
  readonly waitingCount: number;
  /** Something is on a node that is not heard of. */
  readonly isAway: boolean;
  /** What instances went back from, or could not install. */
  readonly setback: string | undefined;
}

const isEnded = (a: ObjectOf<"Assignment">): boolean => isSucceeded(a) || isFailed(a);

const isServing = (c: ComponentStatus): boolean =>
  c.type === "Deployment" && c.ready >= c.desired && c.updated >= c.desired;

const isComplete = (c: ComponentStatus): boolean => c.type === "Job" && c.succeeded >= c.desired;

/** A Deployment that serves in full, or a Job that runs or is done. */
const isSettled = (c: ComponentStatus): boolean =>
  isServing(c) || isComplete(c) || (c.type === "Job" && c.running > 0 && c.failed === 0);

function phaseOf({
  components,
  problem,
  waiting,
  isAway,
  setback,
}: Facts): NonNullable<ApplicationStatus["phase"]> {
  if (components.every(isComplete)) return "Completed";
  if (components.some((c) => c.failed > 0) || isAway || setback !== undefined) return "Degraded";
  if (components.every((c) => c.placed === 0))
    return components.every(isSettled) ? "Running" : "Pending";
  if (problem?.component !== undefined && isInvalid(problem.component)) return "Degraded";
  if (waiting !== undefined) return "Degraded";
  return components.every(isSettled) ? "Running" : "Progressing";
}

function lifeConditions(facts: Facts): readonly ConditionDraft[] {
  const { components } = facts;
  const jobsOnly = components.every((c) => c.type === "Job");
  const complete: readonly ConditionDraft[] = jobsOnly ? [completeCondition(components)] : [];
  return [
    readyCondition(components),
    progressingCondition(facts),
    scheduledCondition(facts),
    ...complete,
  ];
}

function readyCondition(components: readonly ComponentStatus[]): ConditionDraft {
  const failed = components.find((c) => c.failed > 0);
  if (failed !== undefined)
    return {
      type: "Ready",
      status: "False",
      reason: "JobFailed",
      message: `${failed.name}: ${failed.failed} of ${failed.desired} failed for good`,
    };
  const lacking = components.find((c) => c.type === "Deployment" && c.ready < c.desired);
  return lacking === undefined
    ? {
        type: "Ready",
        status: "True",
        reason: "AllReady",
        message: "every Deployment serves in full",
      }
    : {
        type: "Ready",
        status: "False",
        reason: "NotReady",
        message: `${lacking.name}: ${lacking.ready} of ${lacking.desired} ready`,
      };
}

/** Something in the spec has to be mended. */
function isInvalid(component: ComponentOutcome["component"]): boolean {
  return !isResolved(component) && component.waits !== true;
}

function progressingCondition({ components, problem, setback }: Facts): ConditionDraft {
  if (problem !== undefined)
    return {
      type: "Progressing",
      status: "False",
      reason: isInvalid(problem.component) ? "ComponentInvalid" : "Waiting",
      message: `${problem.component.name}: ${problem.message ?? ""}`,
    };
  if (setback !== undefined)
    return { type: "Progressing", status: "False", reason: "ArtifactFailed", message: setback };
  const moving = components.find((c) => !isServing(c) && !isComplete(c) && c.failed === 0);
  return moving === undefined
    ? { type: "Progressing", status: "False", reason: "Settled", message: "nothing is left to do" }
    : {
        type: "Progressing",
        status: "True",
        reason: "Reconciling",
        message: `${moving.name}: ${moving.updated} of ${moving.desired} run the spec asked for, ${moving.ready} ready, ${moving.succeeded} succeeded`,
      };
}

function scheduledCondition({ waiting, waitingCount }: Facts): ConditionDraft {
  return waiting === undefined
    ? {
        type: "Scheduled",
        status: "True",
        reason: "AllPlaced",
        message: "every instance has a node",
      }
    : {
        type: "Scheduled",
        status: "False",
        reason: "Unschedulable",
        message: `${waitingCount} without a node; ${waiting.metadata.name}: ${waiting.status?.message ?? ""}`,
      };
}

/** Written for Applications of Jobs only; its transition time is when the last Job ended, by the hub's clock. */
function completeCondition(components: readonly ComponentStatus[]): ConditionDraft {
  const ended = components.every((c) => isComplete(c) || (c.failed > 0 && c.running === 0));
  const failed = components.some((c) => c.failed > 0);
  return {
    type: "Complete",
    status: ended ? "True" : "False",
    reason: ended ? (failed ? "JobFailed" : "JobsSucceeded") : "JobsRunning",
    message: components.map((c) => `${c.name}: ${c.succeeded}/${c.desired} succeeded`).join(", "),
  };
}

function profileCondition({ spec }: ObjectOf<"Application">): ConditionDraft {
  return {
    type: "ProfileFound",
    status: "False",
    reason: "NotFound",
    message: `SchedulingProfile ${spec.schedulingProfile} does not exist; the default weights are used`,
  };
}

/** Whether something of it waits in a queue, and why; only where a component says how it queues, or something waits. */
function queuedConditions(
  { spec }: ObjectOf<"Application">,
  { waiting, waitingCount }: Facts,
): readonly ConditionDraft[] {
  const queueOf = (name: string): string =>
    spec.components.find((c) => c.name === name)?.volcano?.queue ?? DEFAULT_QUEUE;
  if (waiting !== undefined) {
    const { metadata, spec: of, status } = waiting;
    const message = `${waitingCount} wait; ${metadata.name} in queue ${queueOf(of.component)}: ${status?.message ?? ""}`;
    return [{ type: "Queued", status: "True", reason: status?.reason ?? "Waiting", message }];
  }
  const queues = spec.components.flatMap(({ name, volcano }) =>
    volcano === undefined ? [] : [queueOf(name)],
  );
  if (queues.length === 0) return [];
  const message = `nothing waits in ${[...new Set(queues)].join(", ")}`;
  return [{ type: "Queued", status: "False", reason: "Placed", message }];
}

function priorityClassConditions(
  { spec }: ObjectOf<"Application">,
  priorityClassExists: (name: string) => boolean,
): readonly ConditionDraft[] {
  const missing = spec.components.flatMap((component) => {
    const name = priorityClassNameOf(component);
    return name === undefined || priorityClassExists(name) ? [] : [{ component, name }];
  });
  if (missing.length === 0) return [];
  const texts = missing.map((m) => `${m.component.name}: PriorityClass ${m.name} does not exist`);
  const message = `${texts.join(", ")}; the default priority is used: create it, or name another`;
  return [{ type: "PriorityClassFound", status: "False", reason: "NotFound", message }];
}
