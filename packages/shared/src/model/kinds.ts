import { type Static, type TProperties, Type } from "typebox";
import type { Resource } from "./metadata.ts";
import { Condition } from "./metadata.ts";
import { ApplicationSpec, ApplicationStatus } from "./resources/application.ts";
import { ArtifactSpec, ArtifactStatus, ReleaseSpec, ReleaseStatus } from "./resources/artifact.ts";
import {
  configMapFields,
  eventFields,
  NamespaceSpec,
  NamespaceStatus,
  secretFields,
} from "./resources/core.ts";
import {
  AssignmentSpec,
  AssignmentStatus,
  EdgeNodeSpec,
  EdgeNodeStatus,
  JoinTokenSpec,
  JoinTokenStatus,
  SiteSpec,
  SiteStatus,
} from "./resources/edge.ts";
import { ClusterSpec, ClusterStatus, FleetSpec, FleetStatus } from "./resources/fleet.ts";
import { MovePlanSpec, MovePlanStatus } from "./resources/move-plan.ts";
import {
  CrossClusterEndpointSpec,
  NetworkOptimizationPolicySpec,
  NetworkPartitionPolicySpec,
  PerformanceProfileSpec,
  PropagationPolicySpec,
  SchedulingProfileSpec,
} from "./resources/policy.ts";
import { PriceListSpec, PriceListStatus } from "./resources/pricing.ts";
import { priorityClassFields, QueueSpec, QueueStatus } from "./resources/queue.ts";

/**
 * Every kind that the hub serves, once. The API's discovery, OpenAPI document, validation and paths are made from this
 * table, and the CLI reads its short names from it. A kind's name is unique over all groups.
 */
const ConditionsOnly = Type.Object({
  observedGeneration: Type.Optional(Type.Integer()),
  conditions: Type.Optional(Type.Array(Condition)),
});

const spec = <T extends TProperties[string]>(schema: T): { spec: T } => ({ spec: schema });

export const KINDS = {
  Fleet: kind(
    "fleet.kurator.dev",
    "fleets",
    { namespaced: true, shortNames: ["fl"] },
    { ...spec(FleetSpec), status: Type.Optional(FleetStatus) },
  ),
  PerformanceProfile: kind(
    "fleet.kurator.dev",
    "performanceprofiles",
    { namespaced: false, shortNames: ["pp"] },
    {
      ...spec(PerformanceProfileSpec),
      status: Type.Optional(ConditionsOnly),
    },
  ),
  Cluster: kind(
    "cluster.kurator.dev",
    "clusters",
    { namespaced: true, shortNames: ["cl"] },
    { ...spec(ClusterSpec), status: Type.Optional(ClusterStatus) },
  ),
  Application: kind(
    "apps.kurator.dev",
    "applications",
    { namespaced: true, shortNames: ["app"] },
    {
      ...spec(ApplicationSpec),
      status: Type.Optional(ApplicationStatus),
    },
  ),
  Artifact: kind(
    "artifacts.kurator.dev",
    "artifacts",
    { namespaced: false, shortNames: ["art"] },
    { ...spec(ArtifactSpec), status: Type.Optional(ArtifactStatus) },
  ),
  Release: kind(
    "artifacts.kurator.dev",
    "releases",
    { namespaced: false, shortNames: ["rel"] },
    { ...spec(ReleaseSpec), status: Type.Optional(ReleaseStatus) },
  ),
  PropagationPolicy: kind(
    "policy.kurator.dev",
    "propagationpolicies",
    { namespaced: true, shortNames: ["prop"] },
    {
      ...spec(PropagationPolicySpec),
      status: Type.Optional(ConditionsOnly),
    },
  ),
  NetworkPartitionPolicy: kind(
    "policy.kurator.dev",
    "networkpartitionpolicies",
    { namespaced: false, shortNames: ["npp"] },
    {
      ...spec(NetworkPartitionPolicySpec),
      status: Type.Optional(ConditionsOnly),
    },
  ),
  SchedulingProfile: kind(
    "scheduling.kurator.dev",
    "schedulingprofiles",
    { namespaced: false, shortNames: ["sp"] },
    {
      ...spec(SchedulingProfileSpec),
      status: Type.Optional(ConditionsOnly),
    },
  ),
  PriceList: kind(
    "scheduling.kurator.dev",
    "pricelists",
    { namespaced: false, shortNames: ["pl"] },
    { ...spec(PriceListSpec), status: Type.Optional(PriceListStatus) },
  ),
  Queue: kind(
    "scheduling.kurator.dev",
    "queues",
    { namespaced: false, shortNames: ["q"] },
    { ...spec(QueueSpec), status: Type.Optional(QueueStatus) },
  ),
  MovePlan: kind(
    "scheduling.kurator.dev",
    "moveplans",
    { namespaced: true, shortNames: ["mp"] },
    { ...spec(MovePlanSpec), status: Type.Optional(MovePlanStatus) },
  ),
  PriorityClass: {
    ...kind(
      "scheduling.k8s.io",
      "priorityclasses",
      { namespaced: false, shortNames: ["pc"] },
      priorityClassFields,
    ),
    version: "v1",
  },
  CrossClusterEndpoint: kind(
    "networking.kurator.dev",
    "crossclusterendpoints",
    { namespaced: false, shortNames: ["cce"] },
    {
      ...spec(CrossClusterEndpointSpec),
      status: Type.Optional(ConditionsOnly),
    },
  ),
  NetworkOptimizationPolicy: kind(
    "networking.kurator.dev",
    "networkoptimizationpolicies",
    { namespaced: false, shortNames: ["nop"] },
    {
      ...spec(NetworkOptimizationPolicySpec),
      status: Type.Optional(ConditionsOnly),
    },
  ),
  EdgeNode: kind(
    "edge.kurator.dev",
    "edgenodes",
    { namespaced: false, shortNames: ["en"] },
    { ...spec(EdgeNodeSpec), status: Type.Optional(EdgeNodeStatus) },
  ),
  Site: kind(
    "edge.kurator.dev",
    "sites",
    { namespaced: false, shortNames: [] },
    { ...spec(SiteSpec), status: Type.Optional(SiteStatus) },
  ),
  JoinToken: kind(
    "edge.kurator.dev",
    "jointokens",
    { namespaced: false, shortNames: ["jt"] },
    { ...spec(JoinTokenSpec), status: Type.Optional(JoinTokenStatus) },
  ),
  Assignment: kind(
    "edge.kurator.dev",
    "assignments",
    { namespaced: true, shortNames: ["asg"] },
    {
      ...spec(AssignmentSpec),
      status: Type.Optional(AssignmentStatus),
    },
  ),
  Namespace: kind(
    "",
    "namespaces",
    { namespaced: false, shortNames: ["ns"] },
    {
      spec: Type.Optional(NamespaceSpec),
      status: Type.Optional(NamespaceStatus),
    },
  ),
  ConfigMap: kind("", "configmaps", { namespaced: true, shortNames: ["cm"] }, configMapFields),
  Secret: kind("", "secrets", { namespaced: true, shortNames: [] }, secretFields),
  Event: kind("", "events", { namespaced: true, shortNames: ["ev"] }, eventFields),
} as const;

/** Name of a stored kind. */
export type KindName = keyof typeof KINDS;

/** What the table says of one kind. */
export interface KindInfo<Fields extends TProperties = TProperties> {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  /** Schemas of the fields beside apiVersion, kind and metadata. */
  readonly fields: Fields;
}

/** Object of a kind as it is stored: its fields and complete metadata. */
export type ObjectOf<K extends KindName> = Omit<Resource, "spec" | "status"> &
  Readonly<Static<ReturnType<typeof Type.Object<(typeof KINDS)[K]["fields"]>>>>;

/** `group/version`, or `v1` for the core group. */
export function apiVersionOf(info: Pick<KindInfo, "group" | "version">): string {
  return info.group === "" ? info.version : `${info.group}/${info.version}`;
}

/** Projections that are read only: core/v1 Node of EdgeNode, core/v1 Pod of Assignment, coordination/v1 Lease of EdgeNode. */
export const VIEWS = {
  Node: {
    group: "",
    version: "v1",
    plural: "nodes",
    namespaced: false,
    shortNames: ["no"],
    of: "EdgeNode",
  },
  Pod: {
    group: "",
    version: "v1",
    plural: "pods",
    namespaced: true,
    shortNames: ["po"],
    of: "Assignment",
  },
  Lease: {
    group: "coordination.k8s.io",
    version: "v1",
    plural: "leases",
    namespaced: true,
    shortNames: [],
    of: "EdgeNode",
  },
} as const satisfies Record<string, Omit<KindInfo, "fields"> & { of: KindName }>;

/** Name of a projected kind. */
export type ViewName = keyof typeof VIEWS;

function kind<Fields extends TProperties>(
  group: string,
  plural: string,
  rest: Pick<KindInfo, "namespaced" | "shortNames">,
  fields: Fields,
): KindInfo<Fields> {
  return { group, version: group === "" ? "v1" : "v1alpha1", plural, ...rest, fields };
}
