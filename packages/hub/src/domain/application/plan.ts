import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ApplicationStatus } from "@flotilla/shared/model/resources/application";
import type { NodeFacts, Snapshot, Weights } from "@flotilla/shared/scheduling/facts";
import { firstRejection } from "@flotilla/shared/scheduling/filter";
import {
  assignmentName,
  type ComponentContext,
  type ComponentProblem,
  isResolved,
  type ResolvedComponent,
  resolveComponent,
} from "./component.ts";
import { type Displacement, displacementOf } from "./displacement.ts";
import { type AssignmentChange, Draft, type PlanHappening } from "./draft.ts";
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
  readonly nodes: Snapshot;
  readonly nodeObjects: ReadonlyMap<string, ObjectOf<"EdgeNode">>;
  readonly weights: Weights;
  /** False when the spec names a SchedulingProfile that does not exist. */
  readonly profileFound: boolean;
  readonly nowIso: string;
  readonly newUid: () => string;
  /** Most changes of one plan; what is left is seen by the next pass. */
  readonly changesMax: number;
}

/** Next steps of one Application, as data. Committing all of them, or none, is up to the caller. */
export interface Plan {
  readonly changes: readonly AssignmentChange[];
  readonly happenings: readonly PlanHappening[];
  /** Nodes after the changes. */
  readonly nodes: ReadonlyMap<string, NodeFacts>;
  readonly status: ApplicationStatus;
}

/**
 * Compares what an Application asks for with the assignments that exist and the nodes as they are, and says what to
 * change. Level-triggered: it looks at the state alone, so that any number of passes after any crash end at the same.
 */
export function planApplication(input: PlanInput): Plan {
  const draft = new Draft(input);
  const components = input.application.spec.components.map((c) => resolveComponent(c, input));
  removeStrays(draft, components);
  const outcomes = components.map((c): ComponentOutcome => {
    const message = isResolved(c) ? planComponent(draft, c, input, components) : c.problem;
    return { component: c, ...(message === undefined ? {} : { message }) };
  });
  const status = applicationStatus({
    application: input.application,
    outcomes,
    assignments: draft.assignments,
    nodes: draft.nodes,
    profileFound: input.profileFound,
    nowIso: input.nowIso,
  });
  return { changes: draft.changes, happenings: draft.happenings, nodes: draft.nodes, status };
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
function planComponent(
  draft: Draft,
  component: ResolvedComponent,
  input: PlanInput,
  components: readonly (ResolvedComponent | ComponentProblem)[],
): string | undefined {
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
  reviseAll(draft, component, input);
  const waitsFor = component.dependsOn.find((name) => !isDone(draft, name, components));
  if (waitsFor !== undefined && wanted.create.length > 0) return `waits for component ${waitsFor}`;
  return createAll(draft, component, input, wanted.create);
}

function createAll(
  draft: Draft,
  component: ResolvedComponent,
  input: PlanInput,
  indexes: readonly number[],
): string | undefined {
  let message: string | undefined;
  for (const index of indexes) {
    if (draft.isFull) break;
    const name = assignmentName(input.application.metadata.name, component.name, index);
    const holder = input.assignmentNamed(name);
    // The own one is absent from the draft only while it is being deleted; its name is free in the next pass.
    if (holder !== undefined && holder.spec.applicationUid !== input.application.metadata.uid)
      message = `the name ${name} belongs to application ${holder.spec.application}; rename one of them`;
    else if (holder === undefined)
      draft.settle(undefined, { component, index }, draft.decide(component));
  }
  return message;
}

/** Ready or finished: what a dependent waits for. */
function isDone(
  draft: Draft,
  name: string,
  components: readonly (ResolvedComponent | ComponentProblem)[],
): boolean {
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
function reviseAll(draft: Draft, component: ResolvedComponent, input: PlanInput): void {
  const revisions = draft
    .of(component.name)
    .filter((a) => !isEnded(a, component))
    .map((assignment): Revision => {
      const { node, desired } = assignment.spec;
      const displacement =
        node === undefined
          ? undefined
          : displacementOf(
              { name: node, facts: draft.nodes.get(node) },
              input.nodeObjects.get(node),
              component.request,
            );
      return { assignment, displacement, restarts: desired.specDigest !== component.specDigest };
    });
  const turn = component.type === "Job" ? undefined : nextUpdates(revisions.map(updatable(draft)));
  for (const revision of revisions) {
    if (draft.isFull) return;
    revise(draft, component, revision, turn?.has(revision.assignment.spec.index) ?? true);
  }
}

function isEnded(assignment: Assignment, component: ResolvedComponent): boolean {
  return (
    isSucceeded(assignment) ||
    (isFailed(assignment) && assignment.spec.desired.specDigest === component.specDigest)
  );
}

const updatable =
  (draft: Draft) =>
  ({ assignment, displacement, restarts }: Revision) => ({
    index: assignment.spec.index,
    waiting: restarts || displacement?.urgency === "asked",
    available: isAvailable(assignment),
    reachable: draft.nodes.get(assignment.spec.node ?? "")?.life === "ready",
  });

function revise(
  draft: Draft,
  component: ResolvedComponent,
  revision: Revision,
  isItsTurn: boolean,
): void {
  const { assignment, displacement, restarts } = revision;
  const target = { component, index: assignment.spec.index };
  if (assignment.spec.node === undefined) {
    draft.settle(assignment, target, draft.decide(component));
    return;
  }
  if (displacement !== undefined) {
    displace(draft, revision, displacement, { component, isItsTurn });
    return;
  }
  if (restarts && !isItsTurn) return;
  updateInPlace(draft, assignment, component);
}

function displace(
  draft: Draft,
  { assignment }: Revision,
  { urgency, reason }: Displacement,
  { component, isItsTurn }: { component: ResolvedComponent; isItsTurn: boolean },
): void {
  const target = { component, index: assignment.spec.index };
  if (urgency === "asked" && !isItsTurn) return;
  draft.release(assignment);
  const decision = draft.decide(component);
  if (urgency !== "lost" || decision.node !== undefined) {
    draft.settle(assignment, target, decision, reason);
    return;
  }
  // It may well run there, cut off; taking it away would gain nothing. What it is to run then is told when it returns.
  draft.reserve(assignment);
  updateInPlace(draft, assignment, component, `${reason} and no other node fits; it stays there`);
}

/** Brings the instance's spec up to date where it is; moves it when what it now asks for does not fit there. */
function updateInPlace(
  draft: Draft,
  assignment: Assignment,
  component: ResolvedComponent,
  message?: string,
): void {
  const target = { component, index: assignment.spec.index };
  if (draft.isCurrent(assignment, target, message)) return;
  const node = assignment.spec.node ?? "";
  const restarts = assignment.spec.desired.specDigest !== component.specDigest;
  if (!restarts && jsonEqual(assignment.spec.requests, component.request.amounts)) {
    draft.rewrite(assignment, target, message);
    return;
  }
  draft.release(assignment);
  const facts = draft.nodes.get(node);
  const rejection =
    facts === undefined
      ? undefined
      : firstRejection(component.request, facts, ["Resources", "Ports"]);
  if (rejection === undefined) {
    const after = draft.rewrite(assignment, target, message);
    draft.reserve(after);
    if (restarts)
      draft.tell(
        after,
        "Normal",
        "Updated",
        `${node}: new spec ${component.specDigest.slice(0, 12)}`,
      );
    return;
  }
  const reason = `the new spec does not fit on ${node}: ${rejection.filter} (${rejection.reason})`;
  draft.settle(assignment, target, draft.decide(component), reason);
}
