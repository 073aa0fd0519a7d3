import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { NodeLife } from "@flotilla/shared/model/lease";
import type { ApplicationStatus } from "@flotilla/shared/model/resources/application";
import type { Decision, NodeFacts, Weights } from "@flotilla/shared/scheduling/facts";
import {
  assignmentName,
  type ComponentContext,
  type ComponentProblem,
  isResolved,
  type ResolvedComponent,
  resolveComponent,
} from "./component.ts";
import { type Displacement, displacementOf } from "./displacement.ts";
import { type AssignmentChange, Draft, type PlanHappening, type Target } from "./draft.ts";
import { isAvailable, isFailed, isSucceeded } from "./instance-state.ts";
import { nextUpdates } from "./rolling-update.ts";
import { applicationStatus, type ComponentOutcome } from "./status.ts";
import { wantedOfDeployment, wantedOfJob } from "./wanted.ts";

type Assignment = ObjectOf<"Assignment">;

/** Everything that a plan is made from. */
export interface PlanInput extends ComponentContext {
  /** All of this Application (by uid). */
  readonly assignments: readonly Assignment[];
  /** The Assignment that has this name in the Application's namespace, whoever's it is. */
  readonly assignmentNamed: (name: string) => Assignment | undefined;
  /** A node as placement sees it; what is assigned to it is not asked. */
  readonly factsOf: (node: string) => NodeFacts | undefined;
  readonly nodeObjectOf: (node: string) => ObjectOf<"EdgeNode"> | undefined;
  readonly weights: Weights;
  /** False when the spec names a SchedulingProfile that does not exist. */
  readonly profileFound: boolean;
  readonly nowIso: string;
  readonly newUid: () => string;
  /** Most changes of one plan; what is left is seen by the next pass. */
  readonly changesMax: number;
}

/**
 * An instance that needs a place, and what becomes of the one that it has:
 * `place` it has none · `leave` it goes, whether or not another is found · `move` it goes when another is found, else it
 * stays · `refit` it stays when what it asks for now fits there too, else as `leave`. A decision for the node that it has
 * means that it stays.
 */
export interface Want {
  readonly kind: "place" | "leave" | "move" | "refit";
  /** Name of the Assignment. */
  readonly name: string;
  readonly target: Target;
  /** Absent: the Assignment is still to be made. */
  readonly before?: Assignment;
  /** Why it moves. */
  readonly why?: string;
}

/** One Application, compared: what can be done at once, and what waits for a decision of the scheduler. */
export interface Plan {
  readonly input: PlanInput;
  readonly draft: Draft;
  readonly wants: readonly Want[];
  readonly outcomes: readonly ComponentOutcome[];
}

/** What is to be committed, all or nothing, and told once it is. */
export interface Completed {
  readonly changes: readonly AssignmentChange[];
  readonly happenings: readonly PlanHappening[];
  readonly status: ApplicationStatus;
}

/**
 * Compares what an Application asks for with the assignments that exist and the nodes as they are. Level-triggered: it looks
 * at the state alone, so that any number of passes after any crash end at the same.
 */
export function planApplication(input: PlanInput): Plan {
  const draft = new Draft(input);
  const wants: Want[] = [];
  const components = input.application.spec.components.map((c) => resolveComponent(c, input));
  removeStrays(draft, components);
  const planner: Planner = { draft, input, components, wants };
  const outcomes = components.map((c): ComponentOutcome => {
    const message = isResolved(c) ? planComponent(planner, c) : c.problem;
    return { component: c, ...(message === undefined ? {} : { message }) };
  });
  return { input, draft, wants, outcomes };
}

/** Brings the scheduler's decisions into a plan. A want without a decision is left as it is, for a later pass. */
export function completePlan(
  { input, draft, wants, outcomes }: Plan,
  decisionOf: (want: Want) => Decision | undefined,
): Completed {
  for (const want of wants) {
    const decision = decisionOf(want);
    if (decision !== undefined) carryOut(draft, want, decision);
  }
  const status = applicationStatus({
    application: input.application,
    outcomes,
    assignments: draft.assignments,
    lifeOf: (node) => lifeOf(input, node),
    profileFound: input.profileFound,
    nowIso: input.nowIso,
  });
  return { changes: draft.changes, happenings: draft.happenings, status };
}

interface Planner {
  readonly draft: Draft;
  readonly input: PlanInput;
  readonly components: readonly (ResolvedComponent | ComponentProblem)[];
  readonly wants: Want[];
}

function lifeOf(input: PlanInput, node: string): NodeLife | undefined {
  return input.factsOf(node)?.life;
}

function carryOut(draft: Draft, want: Want, decision: Decision): void {
  const { kind, before, target, why } = want;
  const stays = before !== undefined && decision.node === before.spec.node;
  if (kind === "refit" && stays) {
    const after = draft.rewrite(before, target, undefined);
    if (before.spec.desired.specDigest !== target.component.specDigest)
      draft.tell(after, "Normal", "Updated", updatedMessage(after));
    return;
  }
  if (kind === "move" && stays) {
    stay(draft, before, target, `${why} and no other node fits; it stays there`);
    return;
  }
  draft.settle(before, target, decision, kind === "refit" ? misfit(before, decision) : why);
}

/** Why the new spec does not go where the old one is. */
function misfit(before: Assignment | undefined, { candidates }: Decision): string {
  const node = before?.spec.node;
  const here = candidates.find((c) => c.node === node);
  const because = here?.filter === undefined ? "" : `: ${here.filter} (${here.reason ?? ""})`;
  return `the new spec does not fit on ${node}${because}`;
}

function updatedMessage({ spec }: Assignment): string {
  return `${spec.node}: new spec ${spec.desired.specDigest.slice(0, 12)}`;
}

/** Instances of components that the spec does not name any more. */
function removeStrays(
  draft: Draft,
  components: readonly (ResolvedComponent | ComponentProblem)[],
): void {
  const names = new Set(components.map((c) => c.name));
  for (const assignment of draft.assignments)
    if (!names.has(assignment.spec.component) && !draft.isFull)
      draft.remove(assignment, `component ${assignment.spec.component} was removed`);
}

/** Steps of one component. Answers what its status should say, if anything stands in the way. */
function planComponent(planner: Planner, component: ResolvedComponent): string | undefined {
  const { draft } = planner;
  const existing = draft.of(component.name);
  const views = existing.map((a) => ({
    index: a.spec.index,
    placed: a.spec.node !== undefined,
    available: isAvailable(a),
    succeeded: isSucceeded(a),
    failed: isFailed(a) && a.spec.desired.specDigest === component.specDigest,
  }));
  const wanted =
    component.type === "Deployment"
      ? wantedOfDeployment(views, component.count)
      : wantedOfJob(views, { completions: component.count, parallelism: component.parallelism });
  const removed = new Set(wanted.remove);
  for (const assignment of existing)
    if (removed.has(assignment.spec.index) && !draft.isFull)
      draft.remove(assignment, "no longer asked for");
  reviseAll(planner, component);
  const waitsFor = component.dependsOn.find((name) => !isDone(planner, name));
  if (waitsFor !== undefined && wanted.create.length > 0) return `waits for component ${waitsFor}`;
  return createAll(planner, component, wanted.create);
}

function createAll(
  planner: Planner,
  component: ResolvedComponent,
  indexes: readonly number[],
): string | undefined {
  const { input } = planner;
  let message: string | undefined;
  for (const index of indexes.slice(0, input.changesMax)) {
    const name = assignmentName(input.application.metadata.name, component.name, index);
    const holder = input.assignmentNamed(name);
    // The own one is absent from the draft only while it is being deleted; its name is free in the next pass.
    if (holder !== undefined && holder.spec.applicationUid !== input.application.metadata.uid)
      message = `the name ${name} belongs to application ${holder.spec.application}; rename one of them`;
    else if (holder === undefined)
      planner.wants.push({ kind: "place", name, target: { component, index } });
  }
  return message;
}

/** Ready or finished: what a dependent waits for. */
function isDone({ draft, components }: Planner, name: string): boolean {
  const component = components.find((c) => c.name === name);
  if (component === undefined) return false;
  const own = draft.of(name);
  const done = own.filter(component.type === "Job" ? isSucceeded : isAvailable);
  return done.length >= component.count;
}

interface Revision {
  readonly assignment: Assignment;
  readonly displacement: Displacement | undefined;
  readonly restarts: boolean;
}

/** Existing instances: keeps, updates, moves or unplaces each; a serving one only when it is its turn. */
function reviseAll(planner: Planner, component: ResolvedComponent): void {
  const { draft, input } = planner;
  const revisions = draft
    .of(component.name)
    .filter((a) => !isEnded(a, component))
    .map((assignment): Revision => {
      const { node, desired } = assignment.spec;
      const displacement =
        node === undefined
          ? undefined
          : displacementOf(
              { name: node, facts: input.factsOf(node) },
              input.nodeObjectOf(node),
              component.request,
            );
      return { assignment, displacement, restarts: desired.specDigest !== component.specDigest };
    });
  const turn = component.type === "Job" ? undefined : nextUpdates(revisions.map(updatable(input)));
  for (const revision of revisions) {
    if (draft.isFull) return;
    revise(planner, component, revision, turn?.has(revision.assignment.spec.index) ?? true);
  }
}

function isEnded(assignment: Assignment, component: ResolvedComponent): boolean {
  return (
    isSucceeded(assignment) ||
    (isFailed(assignment) && assignment.spec.desired.specDigest === component.specDigest)
  );
}

const updatable =
  (input: PlanInput) =>
  ({ assignment, displacement, restarts }: Revision) => ({
    index: assignment.spec.index,
    waiting: restarts || displacement?.urgency === "asked",
    available: isAvailable(assignment),
    reachable: lifeOf(input, assignment.spec.node ?? "") === "ready",
  });

/** What each displacement comes to. */
const WANT_OF = { gone: "leave", asked: "leave", lost: "move" } as const;

function revise(
  { draft, wants }: Planner,
  component: ResolvedComponent,
  { assignment, displacement, restarts }: Revision,
  isItsTurn: boolean,
): void {
  const { name } = assignment.metadata;
  const target = { component, index: assignment.spec.index };
  if (assignment.spec.node === undefined) {
    wants.push({ kind: "place", name, target, before: assignment });
  } else if (displacement !== undefined) {
    const { urgency, reason } = displacement;
    if (urgency !== "asked" || isItsTurn)
      wants.push({ kind: WANT_OF[urgency], name, target, before: assignment, why: reason });
  } else if (!restarts || isItsTurn) {
    if (draft.isCurrent(assignment, target)) return;
    if (restarts || !jsonEqual(assignment.spec.requests, component.request.amounts))
      wants.push({ kind: "refit", name, target, before: assignment });
    else draft.rewrite(assignment, target, undefined);
  }
}

/**
 * Leaves an instance on a node that is not heard of: it may well run there, cut off, and taking it away would gain nothing.
 * It is told the new spec when the node returns.
 */
function stay(draft: Draft, assignment: Assignment, target: Target, message: string): void {
  if (draft.isCurrent(assignment, target, message)) return;
  const restarts = assignment.spec.desired.specDigest !== target.component.specDigest;
  const after = draft.rewrite(assignment, target, message);
  if (restarts) draft.tell(after, "Normal", "Updated", updatedMessage(after));
}
