import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ApplicationStatus } from "@flotilla/shared/model/resources/application";
import type { Decision } from "@flotilla/shared/scheduling/facts";
import type { AssignmentChange, Draft, PlanHappening, Target } from "./draft.ts";
import type { Outcome } from "./outcome.ts";
import type { Plan, Want } from "./plan.ts";
import { applicationStatus } from "./status.ts";

type Assignment = ObjectOf<"Assignment">;

/** What is to be committed, all or nothing, and told once it is. */
export interface Completed {
  readonly changes: readonly AssignmentChange[];
  readonly happenings: readonly PlanHappening[];
  readonly status: ApplicationStatus;
}

/** Brings the scheduler's decisions into a plan. A want without a decision is left as it is, for a later pass. */
export function completePlan(
  { input, draft, wants, outcomes, division }: Plan,
  outcomeOf: (want: Want) => Outcome | undefined,
  /** Why an instance that is not wanted elsewhere has to make room for others. */
  evictionOf: (assignment: Assignment) => string | undefined = () => undefined,
): Completed {
  for (const want of wants) {
    const outcome = outcomeOf(want);
    if (outcome !== undefined) carryOut(draft, want, outcome);
  }
  for (const assignment of draft.assignments) {
    const message = evictionOf(assignment);
    if (message !== undefined) draft.evict(assignment, message);
  }
  const status = applicationStatus({
    application: input.application,
    outcomes,
    assignments: draft.assignments,
    lifeOf: (node) => input.factsOf(node)?.life,
    profileFound: input.profileFound,
    priorityClassExists: input.priorityClassExists,
    nowIso: input.nowIso,
  });
  const hasDivision = division.length > 0 || input.application.status?.division !== undefined;
  return {
    changes: draft.changes,
    happenings: draft.happenings,
    status: hasDivision ? { ...status, division: [...division] } : status,
  };
}

function carryOut(draft: Draft, want: Want, decision: Outcome): void {
  const { kind, before, target, why, stayAs } = want;
  const stays = before !== undefined && decision.node === before.spec.node;
  if (kind === "refit" && stays) {
    const after = draft.rewrite(before, target, { devices: decision.devices });
    if (before.spec.desired.specDigest !== target.component.specDigest)
      draft.tell(after, "Normal", "Updated", updatedMessage(after));
    return;
  }
  if (kind === "move" && stays) {
    if (stayAs === undefined) {
      const message = `${why} and no other node fits; it stays there`;
      stay(draft, before, target, { message, devices: decision.devices });
    } else {
      const message = `${why} and no other node fits; it goes on as it was`;
      stay(draft, before, stayAs, { message, devices: before.spec.devices });
    }
    return;
  }
  draft.settle(before, target, decision, kind === "refit" ? misfitText(before, decision) : why);
}

/** Why the new spec does not go where the old one is. */
function misfitText(before: Assignment | undefined, { misfit }: Outcome): string {
  const because = misfit === undefined ? "" : `: ${misfit}`;
  return `the new spec does not fit on ${before?.spec.node}${because}`;
}

function updatedMessage({ spec }: Assignment): string {
  return `${spec.node}: new spec ${spec.desired.specDigest.slice(0, 12)}`;
}

/**
 * Leaves an instance on a node that is not heard of: it may well run there, cut off, and taking it away would gain nothing.
 * It is told the new spec when the node returns.
 */
function stay(
  draft: Draft,
  assignment: Assignment,
  target: Target,
  to: { readonly message: string; readonly devices: Decision["devices"] },
): void {
  if (draft.isCurrent(assignment, target, to.message)) return;
  const restarts = assignment.spec.desired.specDigest !== target.component.specDigest;
  const after = draft.rewrite(assignment, target, to);
  if (restarts) draft.tell(after, "Normal", "Updated", updatedMessage(after));
}
