import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { NodeFacts, PlacementRequest } from "@flotilla/shared/scheduling/facts";
import {
  type FilterName,
  firstRejection,
  taintText,
  untoleratedTaints,
} from "@flotilla/shared/scheduling/filter";

/** Why a placed instance cannot stay where it is. */
export interface Displacement {
  /**
   * `gone`: the node will not run it any more, or must not: leaves at once. `lost`: moves when another node fits, else
   * stays, for it may well run there. `asked`: somebody wants it elsewhere: moves in steps that keep the service up. `shared`:
   * the division wants it on another site: moves in such steps when a node there fits, else stays. `misfit`: a release that it is to
   * run with is not for this machine: moves in such steps when another node fits, else goes on as it was.
   */
  readonly urgency: "gone" | "lost" | "asked" | "shared" | "misfit";
  readonly reason: string;
}

/** Filters that a placement has to hold on to after it was made; the rest is checked at the decision only. */
const STICKY_FILTERS: readonly FilterName[] = [
  "Fleet",
  "ClusterAffinity",
  "SiteAffinity",
  "NodeSelector",
  "Release",
  "Runtime",
  "Compliance",
];
/** What does not ask the site. */
const NODE_FILTERS: readonly FilterName[] = ["NodeSelector", "Release", "Runtime"];
/** What asks for things that a node tells at its birth. */
const TOLD_FILTERS: readonly FilterName[] = ["Release", "Runtime"];

/**
 * Undefined while the instance may stay. What is unknown moves nothing: a fleet or Site object that was deleted, or an
 * inventory that was not yet reported.
 */
export function displacementOf(
  node: { readonly name: string; readonly facts: NodeFacts | undefined },
  object: ObjectOf<"EdgeNode"> | undefined,
  request: PlacementRequest,
): Displacement | undefined {
  const { facts } = node;
  if (facts === undefined || object === undefined)
    return { urgency: "gone", reason: `node ${node.name} was deleted` };
  if (object.spec.revoked === true)
    return { urgency: "gone", reason: `node ${node.name} was revoked` };
  const [taint] = untoleratedTaints(request, facts, ["NoExecute"]);
  if (taint !== undefined)
    return {
      urgency: "gone",
      reason: `it does not tolerate ${taintText(taint)} of node ${node.name}`,
    };
  if (facts.life === "lost") return { urgency: "lost", reason: `node ${node.name} is lost` };
  if (object.spec.drain === true)
    return { urgency: "asked", reason: `node ${node.name} is drained` };
  const filters =
    facts.site.known && request.fleet?.exists !== false ? STICKY_FILTERS : NODE_FILTERS;
  const known = filters.filter((f) => !TOLD_FILTERS.includes(f) || facts.runtimes.length > 0);
  const rejection = firstRejection(request, facts, known);
  return rejection === undefined
    ? undefined
    : {
        urgency: rejection.filter === "Release" ? "misfit" : "asked",
        reason: `node ${node.name} no longer fits: ${rejection.filter} (${rejection.reason})`,
      };
}
