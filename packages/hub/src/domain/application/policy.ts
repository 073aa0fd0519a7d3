import type { ObjectOf } from "@flotilla/shared/model/kinds";

type Policy = ObjectOf<"PropagationPolicy">;

/**
 * The PropagationPolicy of the Application's namespace that means it: one that names it before one that means every
 * Application of the namespace, of equal ones the first by name.
 */
export function policyOf(
  application: ObjectOf<"Application">,
  policies: readonly Policy[],
): Policy | undefined {
  const ranked = policies
    .filter((p) => p.metadata.deletionTimestamp === undefined)
    .map((policy) => ({ policy, rank: rankOf(policy, application) }))
    .filter(({ rank }) => rank > 0);
  ranked.sort(
    (a, b) => b.rank - a.rank || (a.policy.metadata.name < b.policy.metadata.name ? -1 : 1),
  );
  return ranked[0]?.policy;
}

/** 2: by name. 1: among all of the kind. 0: not at all. The version of the API is not compared, its group is. */
function rankOf({ spec }: Policy, { apiVersion, kind, metadata }: ObjectOf<"Application">): number {
  const group = groupOf(apiVersion);
  const isMeant = (target: { readonly apiVersion: string; readonly kind: string }): boolean =>
    target.kind === kind && groupOf(target.apiVersion) === group;
  const { targetRef, resourceSelectors = [] } = spec;
  if (targetRef !== undefined && isMeant(targetRef) && targetRef.name === metadata.name) return 2;
  const selectors = resourceSelectors.filter(
    (s) => isMeant(s) && (s.namespace ?? metadata.namespace) === metadata.namespace,
  );
  if (selectors.some((s) => s.name === metadata.name)) return 2;
  return selectors.some((s) => s.name === undefined) ? 1 : 0;
}

function groupOf(apiVersion: string): string {
  return apiVersion.split("/")[0] ?? "";
}
