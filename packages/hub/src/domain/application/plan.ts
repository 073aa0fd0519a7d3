import { parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { NodeLife } from "@flotilla/shared/model/lease";
import {
  type DivisionStatus,
  REBALANCE_ANNOTATION,
} from "@flotilla/shared/model/resources/application";
import type { NodeFacts, Weights } from "@flotilla/shared/scheduling/facts";
import { hasShares } from "@flotilla/shared/scheduling/gpu/shares";
import {
  assignmentName,
  type ComponentContext,
  type ComponentProblem,
  componentAsBefore,
  isResolved,
  type ResolvedComponent,
  resolveComponent,
} from "./component.ts";
import { type Displacement, displacementOf } from "./displacement.ts";
import { type DividedComponent, divideComponent, type RoomsOf } from "./division.ts";
import { Draft, type Target } from "./draft.ts";
import { isAvailable, isEnded, isFailed, isSucceeded, isUpToDate } from "./instance-state.ts";
import { nextUpdates } from "./rolling-update.ts";
import type { ComponentOutcome } from "./status.ts";
import { type Wanted, wantedOfDeployment, wantedOfJob } from "./wanted.ts";

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
  /** Room on each site now, what is assigned counted. */
  readonly roomsOf: RoomsOf;
  readonly weights: Weights;
  /** False when the spec names a SchedulingProfile that does not exist. */
  readonly profileFound: boolean;
  readonly priorityClassExists: (name: string) => boolean;
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
  /** `move`: what it stays as when no other node is found; absent: it gets the new spec where it is. */
  readonly stayAs?: Target;
}

/** One Application, compared: what can be done at once, and what waits for a decision of the scheduler. */
export interface Plan {
  readonly input: PlanInput;
  readonly draft: Draft;
  readonly wants: readonly Want[];
  readonly outcomes: readonly ComponentOutcome[];
  /** Of the components that are shared out over sites. */
  readonly division: readonly DivisionStatus[];
  /** Whether it would be longer, but for `changesMax`: another one is to follow. */
  readonly isCut: boolean;
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
  const planner: Planner = { draft, input, components, wants, division: [], isCut: false };
  const outcomes = components.map((c): ComponentOutcome => {
    if (isResolved(c)) return planComponent(planner, c);
    if (c.waits !== undefined) keepAsBefore(planner, c);
    return { component: c, message: c.problem };
  });
  const isCut = draft.isFull || planner.isCut;
  return { input, draft, wants, outcomes, division: planner.division, isCut };
}

interface Planner {
  readonly draft: Draft;
  readonly input: PlanInput;
  readonly components: readonly (ResolvedComponent | ComponentProblem)[];
  readonly wants: Want[];
  readonly division: DivisionStatus[];
  isCut: boolean;
}

function lifeOf(input: PlanInput, node: string): NodeLife | undefined {
  return input.factsOf(node)?.life;
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
function planComponent(planner: Planner, component: ResolvedComponent): ComponentOutcome {
  const { draft } = planner;
  const existing = draft.of(component.name);
  const revisions = revisionsOf(planner, component);
  const divided = divisionOf(planner, component, revisions);
  if (divided !== undefined) planner.division.push(divided.status);
  const wanted = divided?.sharing ?? wantedOf(existing, component);
  const removed = new Set(wanted.remove);
  for (const assignment of existing)
    if (removed.has(assignment.spec.index) && !draft.isFull)
      draft.remove(assignment, "no longer asked for");
  const kept = new Set(draft.of(component.name).map((a) => a.spec.index));
  reviseAll(
    planner,
    component,
    revisions
      .filter((r) => kept.has(r.assignment.spec.index))
      .map((r) => sharedRevision(r, divided)),
  );
  const counted = divided === undefined ? component : { ...component, count: divided.count };
  const waitsFor = component.dependsOn.find((name) => !isDone(planner, name));
  const message =
    waitsFor !== undefined && wanted.create.length > 0
      ? `waits for component ${waitsFor}`
      : createAll(planner, component, { indexes: wanted.create, divided });
  return { component: counted, ...(message === undefined ? {} : { message }) };
}

function wantedOf(existing: readonly Assignment[], component: ResolvedComponent): Wanted {
  const views = existing.map((a) => ({
    index: a.spec.index,
    placed: a.spec.node !== undefined,
    available: isAvailable(a),
    succeeded: isSucceeded(a),
    failed: isFailed(a) && a.spec.desired.specDigest === component.specDigest,
  }));
  return component.type === "Deployment"
    ? wantedOfDeployment(views, component.count)
    : wantedOfJob(views, { completions: component.count, parallelism: component.parallelism });
}

/** Only the replicas of Deployments are shared out over sites. */
function divisionOf(
  { input }: Planner,
  component: ResolvedComponent,
  revisions: readonly Revision[],
): DividedComponent | undefined {
  if (component.type === "Job") return undefined;
  const { metadata, status } = input.application;
  return divideComponent({
    component,
    application: metadata.name,
    instances: revisions.map(({ assignment, displacement }) => {
      const { index, node } = assignment.spec;
      const site = displacement === undefined ? input.factsOf(node ?? "")?.site.name : undefined;
      return {
        index,
        placed: node !== undefined,
        available: isAvailable(assignment),
        ...(node === undefined ? {} : { node }),
        ...(site === undefined ? {} : { site }),
      };
    }),
    replicas: component.count,
    before: status?.division?.find((d) => d.component === component.name),
    rebalanceAsked: metadata.annotations?.[REBALANCE_ANNOTATION],
    roomsOf: input.roomsOf,
    nowMs: parseIsoTimeMs(input.nowIso) ?? 0,
  });
}

/** The revision with the site that the division gives the instance to, and moved there when it is elsewhere. */
function sharedRevision(revision: Revision, divided: DividedComponent | undefined): Revision {
  const { index } = revision.assignment.spec;
  const site = divided?.sharing.siteOf.get(index);
  if (divided === undefined || site === undefined) return revision;
  if (!divided.sharing.surplus.has(index)) return { ...revision, site };
  const reason = `its part of the replicas is on site ${site}`;
  return { ...revision, site, displacement: { urgency: "shared", reason } };
}

function createAll(
  planner: Planner,
  component: ResolvedComponent,
  wanted: { readonly indexes: readonly number[]; readonly divided: DividedComponent | undefined },
): string | undefined {
  const { input } = planner;
  let message: string | undefined;
  if (wanted.indexes.length > input.changesMax) planner.isCut = true;
  for (const index of wanted.indexes.slice(0, input.changesMax)) {
    const name = assignmentName(input.application.metadata.name, component.name, index);
    const holder = input.assignmentNamed(name);
    // The own one is absent from the draft only while it is being deleted; its name is free in the next pass.
    if (holder !== undefined && holder.spec.applicationUid !== input.application.metadata.uid)
      message = `the name ${name} belongs to application ${holder.spec.application}; rename one of them`;
    else if (holder === undefined) {
      const target = targetOf(component, index, wanted.divided?.sharing.siteOf.get(index));
      planner.wants.push({ kind: "place", name, target });
    }
  }
  return message;
}

function targetOf(component: ResolvedComponent, index: number, site: string | undefined): Target {
  return { component, index, ...(site === undefined ? {} : { site }) };
}

/** Ready or finished: what a dependent waits for. */
function isDone({ draft, components }: Planner, name: string): boolean {
  const component = components.find((c) => c.name === name);
  if (component === undefined) return false;
  const own = draft.of(name);
  const done = own.filter(component.type === "Job" ? isSucceeded : isAvailable);
  return done.length >= component.count;
}

/**
 * Instances of a component that pins what cannot be had go on as they were asked to be; those that lost their node, or have to leave
 * it, are placed again as that.
 */
function keepAsBefore(planner: Planner, { name }: ComponentProblem): void {
  const { draft, input, division } = planner;
  const component = input.application.spec.components.find((c) => c.name === name);
  const before = input.application.status?.division?.find((d) => d.component === name);
  if (before !== undefined) division.push(before);
  if (component === undefined) return;
  const kept = draft.of(name).flatMap((assignment) => {
    const asBefore = componentAsBefore(component, assignment, input);
    return isEnded(assignment, asBefore.specDigest)
      ? []
      : [{ asBefore, revision: revisionOf(input, asBefore, assignment) }];
  });
  const turn =
    component.type === "Job"
      ? undefined
      : nextUpdates(kept.map(({ revision }) => updatable(input)(revision)));
  for (const { asBefore, revision } of kept) {
    const { index, node } = revision.assignment.spec;
    if (draft.isFull) return;
    if (node === undefined || revision.displacement !== undefined)
      revise(planner, asBefore, revision, turn?.has(index) ?? true);
  }
}

interface Revision {
  readonly assignment: Assignment;
  /** Where the division wants it. */
  readonly site?: string;
  readonly displacement: Displacement | undefined;
  readonly restarts: boolean;
  /** It gets other files without a restart. */
  readonly reloads: boolean;
}

/** Existing instances that have not ended, and why any cannot stay where it is. */
function revisionsOf({ draft, input }: Planner, component: ResolvedComponent): readonly Revision[] {
  return draft
    .of(component.name)
    .filter((a) => !isEnded(a, component.specDigest))
    .map((a) => revisionOf(input, component, a));
}

function revisionOf(
  input: PlanInput,
  component: ResolvedComponent,
  assignment: Assignment,
): Revision {
  const { node, desired } = assignment.spec;
  const displacement =
    node === undefined
      ? undefined
      : displacementOf(
          { name: node, facts: input.factsOf(node) },
          input.nodeObjectOf(node),
          component.request,
        );
  const restarts = desired.specDigest !== component.specDigest;
  const reloads = !restarts && !jsonEqual(desired.artifacts ?? [], component.artifacts);
  return { assignment, displacement, restarts, reloads };
}

/** Existing instances: keeps, updates, moves or unplaces each; a serving one only when it is its turn. */
function reviseAll(
  planner: Planner,
  component: ResolvedComponent,
  revisions: readonly Revision[],
): void {
  const { draft, input } = planner;
  const turn = component.type === "Job" ? undefined : nextUpdates(revisions.map(updatable(input)));
  for (const revision of revisions) {
    if (draft.isFull) return;
    revise(planner, component, revision, turn?.has(revision.assignment.spec.index) ?? true);
  }
}

const updatable =
  (input: PlanInput) =>
  ({ assignment, displacement, restarts, reloads }: Revision) => ({
    index: assignment.spec.index,
    waiting: restarts || reloads || isOptional(displacement),
    // One that is not where it was last sent holds up the others: a release that does not work gets no further.
    available: isAvailable(assignment) && isUpToDate(assignment),
    reachable: lifeOf(input, assignment.spec.node ?? "") === "ready",
  });

/** It is for us to choose when. */
function isOptional(displacement: Displacement | undefined): boolean {
  return displacement !== undefined && OPTIONAL.includes(displacement.urgency);
}

function reloadMessage({ artifacts }: ResolvedComponent): string {
  return `new files without a restart: ${artifacts.map((a) => `${a.name} ${a.version}`).join(", ")}`;
}

const OPTIONAL: readonly Displacement["urgency"][] = ["asked", "shared", "misfit"];

/** What each displacement comes to. */
const WANT_OF = {
  gone: "leave",
  asked: "leave",
  lost: "move",
  shared: "move",
  misfit: "move",
} as const;

/** What an instance goes on as where nothing that is new can run. */
function asBeforeOf({ input }: Planner, { spec }: Assignment): Target | undefined {
  const { component: name, index } = spec;
  const component = input.application.spec.components.find((c) => c.name === name);
  return component && { component: componentAsBefore(component, { spec }, input), index };
}

function revise(
  planner: Planner,
  component: ResolvedComponent,
  { assignment, displacement, restarts, reloads, site }: Revision,
  isItsTurn: boolean,
): void {
  const { draft, wants } = planner;
  const { name } = assignment.metadata;
  const target = targetOf(component, assignment.spec.index, site);
  if (assignment.spec.node === undefined) {
    wants.push({ kind: "place", name, target, before: assignment });
  } else if (displacement !== undefined) {
    const { urgency, reason: why } = displacement;
    const stayAs = urgency === "misfit" ? asBeforeOf(planner, assignment) : undefined;
    const kind = WANT_OF[urgency];
    if (!isOptional(displacement) || isItsTurn)
      wants.push({ kind, name, target, before: assignment, why, ...(stayAs && { stayAs }) });
  } else if (!(restarts || reloads) || isItsTurn) {
    if (draft.isCurrent(assignment, target)) return;
    if (
      restarts ||
      !jsonEqual(assignment.spec.requests, component.request.amounts) ||
      !hasShares(assignment.spec.devices, component.request)
    )
      wants.push({ kind: "refit", name, target, before: assignment });
    else {
      const after = draft.rewrite(assignment, target, { devices: assignment.spec.devices });
      if (reloads) draft.tell(after, "Normal", "Updated", reloadMessage(component));
    }
  }
}
