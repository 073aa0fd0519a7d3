import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type {
  Explanation,
  PlacementPlan,
  PlannedInstance,
  Rejections,
} from "@flotilla/shared/model/what-if";
import type { Decision, Weights } from "@flotilla/shared/scheduling/facts";
import type { Completed } from "../application/complete-plan.ts";
import type { AssignmentChange } from "../application/draft.ts";
import type { Plan } from "../application/plan.ts";

type Assignment = ObjectOf<"Assignment">;

/** Best candidates that an explanation shows: with the heading and the rejections it fits on one screen. */
export const CANDIDATES_SHOWN_MAX = 8;

const apiVersion = "scheduling.kurator.dev/v1alpha1";

/** Why an instance is where it is; `now` is the decision that would be made at this moment. */
export function explanationOf(
  assignment: Assignment,
  now: Decision,
  weights: Weights,
): Explanation {
  const { metadata, spec, status } = assignment;
  const fitting = now.candidates.filter((c) => c.filter === undefined);
  const { node, site, score, parts } = spec;
  return {
    apiVersion,
    kind: "Explanation",
    instance: metadata.name,
    namespace: metadata.namespace ?? "",
    application: spec.application,
    component: spec.component,
    ...defined({ node, site, decidedAt: status?.decidedAt, message: status?.message }),
    weights: spec.weights ?? weights.parts,
    ...(node === undefined
      ? {}
      : {
          decided: {
            ...defined({ score, parts }),
            candidates: status?.candidates ?? [],
            candidatesOmitted: status?.candidatesOmitted ?? 0,
          },
        }),
    now: {
      ...defined({ node: now.node, wouldFit: now.wouldFit }),
      fittingCount: now.counts?.fitting ?? fitting.length,
      rejectedCount:
        (now.counts?.nodes ?? now.candidates.length) - (now.counts?.fitting ?? fitting.length),
      candidates: fitting.slice(0, CANDIDATES_SHOWN_MAX),
      rejections: [...rejectionsOf(now)],
    },
  };
}

/** Rejected nodes counted by filter, the most frequent first, each with one that it rejected. */
function rejectionsOf({ candidates, counts }: Decision): readonly Rejections[] {
  return (counts?.rejections ?? []).map(({ filter, count, reason }) => {
    const node = candidates.find((c) => c.filter === filter && c.reason === reason)?.node ?? "";
    return { filter, count, node, reason };
  });
}

/** What a completed plan would do, instance by instance. */
export function placementPlanOf(
  plan: Plan,
  completed: Completed,
  evictions: ReadonlyMap<string, { readonly message: string }>,
): PlacementPlan {
  const { name, namespace = "" } = plan.input.application.metadata;
  const changed = new Map(completed.changes.map((c) => [nameOf(c), c]));
  const kept = plan.input.assignments.filter((a) => !changed.has(a.metadata.name));
  const instances = [
    ...completed.changes.map(plannedOf),
    ...kept.map((a) => plannedOf({ before: a, after: a })),
  ];
  return {
    apiVersion,
    kind: "PlacementPlan",
    namespace,
    application: name,
    instances: instances.toSorted(
      (a, b) => order(a.component, b.component) || byIndex(a.name, b.name),
    ),
    problems: plan.outcomes.flatMap(({ component, message }) =>
      message === undefined ? [] : [`${component.name}: ${message}`],
    ),
    evictions: [...evictions].map(([instance, { message }]) => ({ instance, reason: message })),
  };
}

function plannedOf(change: AssignmentChange): PlannedInstance {
  const { before, after } = change;
  const [from, to] = [before?.spec.node, after?.spec.node];
  const shown = after ?? before;
  return {
    name: nameOf(change),
    component: shown?.spec.component ?? "",
    action: actionOf(change),
    ...defined({
      node: to ?? (after === undefined ? from : undefined),
      site: shown?.spec.site,
      from: to !== undefined && from !== undefined && from !== to ? from : undefined,
      score: after?.spec.score,
      message: after?.status?.message,
    }),
  };
}

function actionOf({ before, after }: AssignmentChange): PlannedInstance["action"] {
  if (after === undefined) return "remove";
  if (after.spec.node === undefined) return "wait";
  if (before?.spec.node === undefined) return "place";
  if (before.spec.node !== after.spec.node) return "move";
  return before.spec.desired.specDigest === after.spec.desired.specDigest ? "keep" : "update";
}

function nameOf({ before, after }: AssignmentChange): string {
  return (after ?? before)?.metadata.name ?? "";
}

/** The members that are not undefined. */
function defined<T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** `web-api-10` after `web-api-9`. */
function byIndex(a: string, b: string): number {
  const index = (name: string): number => Number(name.slice(name.lastIndexOf("-") + 1));
  return index(a) - index(b) || order(a, b);
}
