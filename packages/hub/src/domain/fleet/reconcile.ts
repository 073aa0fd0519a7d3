import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { type Condition, withCondition } from "@flotilla/shared/model/metadata";
import type { FleetStatus } from "@flotilla/shared/model/resources/fleet";
import { type LatencyMatrix, siteLatencies } from "../measures/latency-matrix.ts";
import { type Member, membersOf } from "./members.ts";

/** What a fleet is judged by. */
export interface FleetView {
  readonly sites: ReadonlyMap<string, ObjectOf<"Site">>;
  /** Nodes by the name of their site. */
  readonly nodesOfSite: ReadonlyMap<string, readonly ObjectOf<"EdgeNode">[]>;
  readonly clusterOf: (namespace: string, name: string) => ObjectOf<"Cluster"> | undefined;
  readonly hasSecret: (namespace: string, name: string) => boolean;
}

type ConditionDraft = Omit<Condition, "lastTransitionTime" | "observedGeneration">;
type MemberStatus = NonNullable<FleetStatus["members"]>[number];

/** A condition that changed, to be told as an Event. */
export interface FleetHappening {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/**
 * The article's order: membership, components, policies, status. Each step is a function of what it sees and answers with
 * data; nothing is written until all four are done.
 */
export function reconcileFleet(
  fleet: ObjectOf<"Fleet">,
  view: FleetView,
  nowIso: string,
): { readonly status: FleetStatus; readonly happenings: readonly FleetHappening[] } {
  const membership = reconcileMembership(fleet, view);
  const components = reconcileComponents(fleet);
  const policies = reconcilePolicies(fleet);
  const status = fleetStatus(fleet, membership, [components, policies], nowIso);
  return {
    status,
    happenings: transitions(fleet.status?.conditions ?? [], status.conditions ?? []),
  };
}

interface Membership {
  readonly members: readonly MemberStatus[];
  readonly nodeCount: number;
  readonly readyNodeCount: number;
  readonly condition: ConditionDraft;
}

/** Step 1: who belongs to the fleet, and who of them can be used. */
function reconcileMembership(fleet: ObjectOf<"Fleet">, view: FleetView): Membership {
  const found = membersOf(fleet, view.sites, view.clusterOf);
  const members = found.map((m) => memberStatus(m, fleet.metadata.namespace ?? "", view));
  const sites = new Set(found.filter((m) => m.kind === "Site").map((m) => m.name));
  const nodes = [...sites].flatMap((name) => view.nodesOfSite.get(name) ?? []);
  const missing = members.filter((m) => UNRESOLVED.includes(m.reason));
  return {
    members,
    nodeCount: nodes.length,
    readyNodeCount: nodes.filter(isReadyNode).length,
    condition: {
      type: "MembersResolved",
      status: members.length > 0 && missing.length === 0 ? "True" : "False",
      reason: missing[0]?.reason ?? (members.length === 0 ? "NoMembers" : "AllResolved"),
      message:
        missing[0] !== undefined
          ? `${missing.length} of ${members.length} members cannot be resolved: ${missing.map((m) => `${m.name} (${m.reason})`).join(", ")}`
          : members.length === 0
            ? "spec names no cluster and no site, and siteSelector, if any, selects none"
            : `${members.length} members`,
    },
  };
}

/** Reasons of members that something in the spec must be mended for. */
const UNRESOLVED: readonly string[] = ["ClusterNotRegistered", "SecretMissing", "SiteNotFound"];

function memberStatus(member: Member, namespace: string, view: FleetView): MemberStatus {
  const { kind, name } = member;
  const [ready, reason] =
    member.kind === "Site"
      ? siteReadiness(member, view)
      : clusterReadiness(member, namespace, view);
  return { kind, name, ready, reason };
}

function siteReadiness(
  { name, object }: Extract<Member, { kind: "Site" }>,
  view: FleetView,
): readonly [boolean, string] {
  if (object === undefined) return [false, "SiteNotFound"];
  const nodes = view.nodesOfSite.get(name) ?? [];
  return [nodes.some(isReadyNode), nodesReason(nodes)];
}

/** A cluster is ready when something that reaches it says so in its Ready condition; nothing in this hub does as yet. */
function clusterReadiness(
  { entry, object }: Extract<Member, { kind: "Cluster" }>,
  namespace: string,
  view: FleetView,
): readonly [boolean, string] {
  const secret = entry.kubeconfigRef ?? object?.spec.kubeconfigRef;
  if (object === undefined && secret === undefined) return [false, "ClusterNotRegistered"];
  if (secret !== undefined && !view.hasSecret(namespace, secret.name))
    return [false, "SecretMissing"];
  const condition = object?.status?.conditions?.find((c) => c.type === "Ready");
  if (condition === undefined) return [false, "ReachabilityUnknown"];
  return condition.status === "True" ? [true, "Reachable"] : [false, condition.reason];
}

/** Step 2: add-ons. Stored; installing them belongs to a controller that this hub does not have. */
function reconcileComponents({ spec }: ObjectOf<"Fleet">): ConditionDraft {
  const enabled = Object.entries(spec.addons ?? {}).filter(([, addon]) => addon.enabled === true);
  return enabled.length === 0
    ? {
        type: "ComponentsInstalled",
        status: "True",
        reason: "NoneEnabled",
        message: "no add-on is enabled",
      }
    : {
        type: "ComponentsInstalled",
        status: "Unknown",
        reason: "ControllerNotAvailable",
        message: `${enabled.map(([name]) => name).join(", ")}: stored; this hub installs no add-ons into clusters`,
      };
}

/** Step 3: policies. `placement` is in force with every placement; templates are stored only. */
function reconcilePolicies({ spec }: ObjectOf<"Fleet">): ConditionDraft {
  const templates = spec.policyTemplates ?? [];
  return templates.length === 0
    ? {
        type: "PoliciesDistributed",
        status: "True",
        reason: "NoTemplates",
        message: "no policy template; placement is applied to every Application of the fleet",
      }
    : {
        type: "PoliciesDistributed",
        status: "Unknown",
        reason: "ControllerNotAvailable",
        message: `${templates.map((t) => t.name).join(", ")}: stored; this hub does not enforce policy templates`,
      };
}

/** Step 4: the status of the whole. */
function fleetStatus(
  fleet: ObjectOf<"Fleet">,
  membership: Membership,
  later: readonly ConditionDraft[],
  nowIso: string,
): FleetStatus {
  const { members, nodeCount, readyNodeCount } = membership;
  const { generation } = fleet.metadata;
  const readyMemberCount = members.filter((m) => m.ready).length;
  const conditions = [
    membership.condition,
    ...later,
    readyCondition(members, readyMemberCount),
  ].reduce<Condition[]>(
    (list, draft) => withCondition(list, { ...draft, observedGeneration: generation }, nowIso),
    [...(fleet.status?.conditions ?? [])],
  );
  return {
    phase:
      readyMemberCount === 0 ? "Pending" : readyMemberCount < members.length ? "Degraded" : "Ready",
    observedGeneration: generation,
    memberCount: members.length,
    readyMemberCount,
    nodeCount,
    readyNodeCount,
    members: [...members],
    conditions,
  };
}

function readyCondition(members: readonly MemberStatus[], readyCount: number): ConditionDraft {
  const bad = members.filter((m) => !m.ready);
  const isReady = members.length > 0 && bad.length === 0;
  return {
    type: "Ready",
    status: isReady ? "True" : "False",
    reason: isReady ? "AllMembersReady" : members.length === 0 ? "NoMembers" : "MembersNotReady",
    message: isReady
      ? `${readyCount} of ${members.length} members ready`
      : `${readyCount} of ${members.length} members ready${bad.length === 0 ? "" : `; not ready: ${bad.map((m) => `${m.name} (${m.reason})`).join(", ")}`}`,
  };
}

/** The status of a site, from its nodes. */
export function siteStatus(
  site: ObjectOf<"Site">,
  nodes: readonly ObjectOf<"EdgeNode">[],
  { matrix, nowIso }: { readonly matrix: LatencyMatrix; readonly nowIso: string },
): NonNullable<ObjectOf<"Site">["status"]> {
  const readyNodeCount = nodes.filter(isReadyNode).length;
  const { generation } = site.metadata;
  const conditions = withCondition(
    site.status?.conditions,
    {
      type: "Ready",
      status: readyNodeCount > 0 ? "True" : "False",
      reason: nodesReason(nodes),
      message: `${readyNodeCount} of ${nodes.length} nodes ready`,
      observedGeneration: generation,
    },
    nowIso,
  );
  return {
    nodeCount: nodes.length,
    readyNodeCount,
    latencies: siteLatencies(site, matrix),
    observedGeneration: generation,
    conditions,
  };
}

/** What changed between two lists of conditions. The first sight of a condition that is not True is told as well. */
export function transitions(
  before: readonly Condition[],
  after: readonly Condition[],
): readonly FleetHappening[] {
  return after.flatMap((condition) => {
    const old = before.find((c) => c.type === condition.type);
    if (old?.status === condition.status && old.reason === condition.reason) return [];
    const type = condition.status === "False" ? "Warning" : "Normal";
    return [{ type, reason: condition.reason, message: `${condition.type}: ${condition.message}` }];
  });
}

function nodesReason(nodes: readonly ObjectOf<"EdgeNode">[]): string {
  const readyCount = nodes.filter(isReadyNode).length;
  if (nodes.length === 0) return "NoNodes";
  if (readyCount === 0) return "NoNodeReady";
  return readyCount === nodes.length ? "AllNodesReady" : "SomeNodesReady";
}

function isReadyNode(node: ObjectOf<"EdgeNode">): boolean {
  return node.status?.life === "ready" && node.spec.revoked !== true;
}
