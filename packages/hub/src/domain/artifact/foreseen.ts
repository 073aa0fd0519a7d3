import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { releaseName } from "@flotilla/shared/model/resources/artifact";
import type { NodeFacts } from "@flotilla/shared/scheduling/facts";
import { mayEverRun } from "@flotilla/shared/scheduling/filter";
import type { ResolvedComponent } from "../application/component.ts";

/** Candidates of a standby that hold ready what they would take over, the next ones in its order. */
export const STANDBY_SITES_MAX = 2;

/** What one Application may need somewhere next. */
export interface ForeseenInput {
  /** All that can be carried out. */
  readonly components: readonly ResolvedComponent[];
  readonly assignments: readonly ObjectOf<"Assignment">[];
  /** Site that has the replicas of a component with a standby; undefined: none yet, or no standby. */
  readonly activeSiteOf: (component: string) => string | undefined;
  readonly factsOf: (node: string) => NodeFacts | undefined;
  readonly nodesOfSite: (site: string) => Iterable<string>;
}

/**
 * Releases that a node may need before anything on it runs with them, by node: those of a component that waits for others, where
 * these run; and those of a component with a standby, on the sites that would take over. Only on nodes that could ever run it.
 */
export function foreseenReleases(input: ForeseenInput): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const component of input.components) {
    const names = component.artifacts.map((a) => releaseName(a.name, a.version));
    if (names.length === 0) continue;
    for (const node of new Set([
      ...waitingPlaces(component, input),
      ...standbyPlaces(component, input),
    ])) {
      const facts = input.factsOf(node);
      if (facts === undefined || !mayEverRun(component.request, facts)) continue;
      const ofNode = found.get(node) ?? new Set<string>();
      found.set(node, ofNode);
      for (const name of names) ofNode.add(name);
    }
  }
  return found;
}

/** Nodes that run what the component waits for, itself being nowhere yet. */
function waitingPlaces(
  component: ResolvedComponent,
  { components, assignments }: ForeseenInput,
): readonly string[] {
  const isPlaced = assignments.some(
    ({ spec }) => spec.component === component.name && spec.node !== undefined,
  );
  if (isPlaced || component.dependsOn.length === 0) return [];
  const byName = new Map(components.map((c) => [c.name, c]));
  const needed = new Set<string>();
  const open = [...component.dependsOn];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (needed.has(name)) continue;
    needed.add(name);
    open.push(...(byName.get(name)?.dependsOn ?? []));
  }
  return assignments.flatMap(({ spec }) => (needed.has(spec.component) ? (spec.node ?? []) : []));
}

/** Nodes of the candidates that come next after the active one. */
function standbyPlaces(
  { name, effective }: ResolvedComponent,
  { activeSiteOf, nodesOfSite }: ForeseenInput,
): readonly string[] {
  const active = activeSiteOf(name);
  if (active === undefined) return [];
  return (effective.standby?.order ?? [])
    .filter((site) => site !== active)
    .slice(0, STANDBY_SITES_MAX)
    .flatMap((site) => [...nodesOfSite(site)]);
}
