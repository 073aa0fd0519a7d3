import { formatMilliCpu } from "../kernel/quantity.ts";
import type { LabelSelector, Taint, Toleration } from "../model/metadata.ts";
import type { Placement } from "../model/resources/placement.ts";
import { matchesSelector, toleratesTaint } from "../model/selectors.ts";
import { type Adjustment, affinityRejection, NO_ADJUSTMENT } from "./adjustment.ts";
import { isSoundAmount } from "./engine/shape.ts";
import {
  free,
  HARDWARE_ID_LABEL,
  INSTANCES_PER_NODE_MAX,
  type NodeFacts,
  type PlacementRequest,
  type ReleaseNeeds,
} from "./facts.ts";
import { gpuDevices } from "./gpu/devices-filter.ts";
import { MILLI_PER_GPU } from "./gpu/request-mix.ts";
import { listed, readableBytes } from "./reason-text.ts";
import { latency } from "./score/latency.ts";

/** The first part of a placement: who may take it at all. In this order; the first that fails is the reason given. */
export const FILTERS = {
  NodeReady: nodeReady,
  Unschedulable: unschedulable,
  Fleet: fleet,
  ClusterAffinity: clusterAffinity,
  SiteAffinity: siteAffinity,
  NodeSelector: nodeSelector,
  Release: release,
  Taints: taints,
  Runtime: runtime,
  Compliance: compliance,
  Latency: latency,
  GpuDevices: gpuDevices,
  Resources: resources,
  Ports: ports,
  Affinity: affinity,
} as const satisfies Readonly<Record<string, Filter>>;

/** Why the node may not take it; undefined when it may. */
export type Filter = (
  request: PlacementRequest,
  node: NodeFacts,
  adjustment?: Adjustment,
) => string | undefined;

/** Name of a filter. */
export type FilterName = keyof typeof FILTERS;

/** All names, in the order in which they are asked. */
export const FILTER_NAMES: readonly FilterName[] = [
  "NodeReady",
  "Unschedulable",
  "Fleet",
  "ClusterAffinity",
  "SiteAffinity",
  "NodeSelector",
  "Release",
  "Taints",
  "Runtime",
  "Compliance",
  "Latency",
  "GpuDevices",
  "Resources",
  "Ports",
  "Affinity",
];

/** Filters that depend on what is assigned, or on the request's adjustment. */
const NODE_FILTERS: readonly FilterName[] = ["Resources", "Ports", "Affinity"];

/** Filters that say the same of nodes that are alike, whatever is assigned to them (`classReason`). */
export const CLASS_FILTERS: readonly FilterName[] = FILTER_NAMES.filter(
  (name) => !NODE_FILTERS.includes(name),
);

/** Those of them that a node fails for a while only. */
const PASSING_FILTERS: readonly FilterName[] = ["NodeReady", "Unschedulable"];

/** What one of CLASS_FILTERS says of a node of which nothing is given away. */
export function classReason(
  name: FilterName,
  request: PlacementRequest,
  node: NodeFacts,
): string | undefined {
  if (name !== "GpuDevices") return FILTERS[name](request, node);
  const devices = node.devices.map((d) => ({ ...d, freeMilli: MILLI_PER_GPU }));
  return FILTERS[name](request, { ...node, devices });
}

/** Whether the node would pass if it were ready, not cordoned, and nothing of it were given away. */
export function mayEverRun(request: PlacementRequest, node: NodeFacts): boolean {
  return CLASS_FILTERS.every(
    (name) => PASSING_FILTERS.includes(name) || classReason(name, request, node) === undefined,
  );
}

/** A filter that a node failed, and why. */
export interface Rejection {
  readonly filter: FilterName;
  readonly reason: string;
}

/** The first of these filters that the node fails. */
export function firstRejection(
  request: PlacementRequest,
  node: NodeFacts,
  names: readonly FilterName[] = FILTER_NAMES,
  adjustment: Adjustment = NO_ADJUSTMENT,
): Rejection | undefined {
  for (const filter of names) {
    const reason = FILTERS[filter](request, node, adjustment);
    if (reason !== undefined) return { filter, reason };
  }
  return undefined;
}

/** Every filter that the node fails. */
export function allRejections(
  request: PlacementRequest,
  node: NodeFacts,
  adjustment: Adjustment = NO_ADJUSTMENT,
): readonly Rejection[] {
  return FILTER_NAMES.flatMap((filter) => {
    const reason = FILTERS[filter](request, node, adjustment);
    return reason === undefined ? [] : [{ filter, reason }];
  });
}

function nodeReady(_request: PlacementRequest, node: NodeFacts): string | undefined {
  return node.life === "ready" ? undefined : `node is ${node.life}`;
}

function unschedulable(_request: PlacementRequest, node: NodeFacts): string | undefined {
  return node.unschedulable ? "node is cordoned or drained" : undefined;
}

function fleet({ fleet: asked }: PlacementRequest, node: NodeFacts): string | undefined {
  if (asked === undefined || asked.sites.has(node.site.name)) return undefined;
  return asked.exists
    ? `site ${node.site.name} is no member of fleet ${asked.name}`
    : `fleet ${asked.name} does not exist`;
}

/** The site's labels as this request sees them: its fleet may say more of a member than the site itself. */
export function siteLabels(
  request: PlacementRequest,
  node: NodeFacts,
): Readonly<Record<string, string>> {
  const more = request.fleet?.siteLabels.get(node.site.name);
  return more === undefined ? node.site.labels : { ...more, ...node.site.labels };
}

function clusterAffinity(request: PlacementRequest, node: NodeFacts): string | undefined {
  const labels = siteLabels(request, node);
  return firstReason(request.placements, ({ clusterAffinity: affinity, clusterSelector }) => {
    const byName = nameReason(node.site.name, affinity?.clusterNames, affinity?.exclude);
    if (byName !== undefined) return byName;
    return (
      selectorReason(affinity?.labelSelector, labels, `site ${node.site.name}`) ??
      selectorReason(clusterSelector, labels, `site ${node.site.name}`)
    );
  });
}

function siteAffinity(request: PlacementRequest, node: NodeFacts): string | undefined {
  const labels = siteLabels(request, node);
  return firstReason(
    request.placements,
    ({ siteAffinity: affinity, siteSelector }) =>
      nameReason(node.site.name, affinity?.siteNames, affinity?.exclude) ??
      selectorReason(siteSelector, labels, `site ${node.site.name}`),
  );
}

function nodeSelector(request: PlacementRequest, node: NodeFacts): string | undefined {
  if (request.nodeName !== undefined && request.nodeName !== node.name)
    return `asks for node ${request.nodeName}`;
  return (
    selectorReason(request.nodeSelector, node.labels, "node") ??
    firstReason(request.placements, (p) => selectorReason(p.nodeSelector, node.labels, "node"))
  );
}

function release({ releases = [] }: PlacementRequest, node: NodeFacts): string | undefined {
  for (const needs of releases) {
    const reason = releaseMisfit(needs, node);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** Why a release cannot run on the node; undefined when it can. Asks for labels and memory alone. */
export function releaseMisfit(
  { release: name, hardwareIds, nodeLabels = {}, memoryBytes = 0 }: ReleaseNeeds,
  { labels, capacity }: Pick<NodeFacts, "labels" | "capacity">,
): string | undefined {
  const hardware = labels[HARDWARE_ID_LABEL];
  if (hardwareIds !== undefined && (hardware === undefined || !hardwareIds.includes(hardware)))
    return `${name} is made for ${listed(hardwareIds)}; node is ${hardware ?? "of hardware that it does not tell"}`;
  const missed = Object.entries(nodeLabels).find(([key, value]) => labels[key] !== value);
  if (missed !== undefined)
    return `${name} asks ${missed[0]}=${missed[1]}; node has ${labels[missed[0]] ?? "none"}`;
  // Written so that a memory that is no number is a "no".
  if (memoryBytes > 0 && !(capacity.memoryBytes >= memoryBytes))
    return `${name} asks for a node of ${readableBytes(memoryBytes)} memory; node has ${readableBytes(capacity.memoryBytes)}`;
  return undefined;
}

/** Taints of node and site that this request does not tolerate, of these effects. */
export function untoleratedTaints(
  request: PlacementRequest,
  node: NodeFacts,
  effects: readonly Taint["effect"][],
): readonly Taint[] {
  if (node.taints.length === 0 && node.site.taints.length === 0) return [];
  const tolerations: readonly Toleration[] = [
    ...request.tolerations,
    ...request.placements.flatMap((p) => p.tolerations ?? []),
  ];
  const siteTolerations = [
    ...tolerations,
    ...request.placements.flatMap((p) => p.clusterTolerations ?? []),
  ];
  return [
    ...node.taints.filter((t) => !toleratesTaint(tolerations, t)),
    ...node.site.taints.filter((t) => !toleratesTaint(siteTolerations, t)),
  ].filter((t) => effects.includes(t.effect));
}

function taints(request: PlacementRequest, node: NodeFacts): string | undefined {
  const [taint] = untoleratedTaints(request, node, ["NoSchedule", "NoExecute"]);
  return taint === undefined ? undefined : `does not tolerate ${taintText(taint)}`;
}

/** `key=value:Effect`, as kubectl prints it. */
export function taintText(taint: Taint): string {
  const value = taint.value === undefined || taint.value === "" ? "" : `=${taint.value}`;
  return `${taint.key}${value}:${taint.effect}`;
}

function runtime(request: PlacementRequest, node: NodeFacts): string | undefined {
  if (node.runtimes.includes(request.runtime)) return undefined;
  const has = node.runtimes.length === 0 ? "none" : node.runtimes.join(", ");
  return request.runtime === "container"
    ? `a container without command needs a container runtime; the node has ${has}`
    : `needs the process runtime; the node has ${has}`;
}

function compliance(request: PlacementRequest, node: NodeFacts): string | undefined {
  const labels = siteLabels(request, node);
  return firstReason(request.placements, (p) => {
    const missed = Object.entries(p.compliance ?? {}).find(([k, v]) => labels[k] !== v);
    if (missed === undefined) return undefined;
    const [key, value] = missed;
    return `asks ${key}=${value}; site ${node.site.name} has ${labels[key] ?? "none"}`;
  });
}

function resources(request: PlacementRequest, node: NodeFacts): string | undefined {
  const left = free(node);
  const asked = request.amounts;
  const other = Object.entries(request.otherAmounts).find(([, value]) => value !== 0);
  if (node.instanceCount >= INSTANCES_PER_NODE_MAX)
    return `instances: the node has ${node.instanceCount}, the most that one takes`;
  if (other !== undefined) return `${other[0]}: asks ${other[1]}, the node reports none`;
  return (
    short("cpu", asked.milliCpu, left.milliCpu, formatMilliCpu) ??
    short("memory", asked.memoryBytes, left.memoryBytes, readableBytes) ??
    short("disk", asked.diskBytes, left.diskBytes, readableBytes)
  );
}

function short(
  name: string,
  asked: number,
  left: number,
  format: (value: number) => string,
): string | undefined {
  // Written so that NaN on either side is a "no"; a node that gave more than it has takes nothing more.
  if (isSoundAmount(asked) && asked <= left) return undefined;
  return `${name}: asks ${format(asked)}, ${format(Math.max(0, left))} free`;
}

function ports(request: PlacementRequest, node: NodeFacts): string | undefined {
  const taken = request.ports.find((p) => node.ports.has(p));
  return taken === undefined ? undefined : `host port ${taken} is in use`;
}

function affinity(
  _request: PlacementRequest,
  node: NodeFacts,
  adjustment: Adjustment = NO_ADJUSTMENT,
): string | undefined {
  return affinityRejection(adjustment, { node: node.name, site: node.site.name });
}

function firstReason(
  placements: readonly Placement[],
  reasonOf: (placement: Placement) => string | undefined,
): string | undefined {
  for (const placement of placements) {
    const reason = reasonOf(placement);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** An empty list of names asks for nothing, as in Karmada's ClusterAffinity. */
function nameReason(
  name: string,
  names: readonly string[] | undefined,
  exclude: readonly string[] | undefined,
): string | undefined {
  if (exclude?.includes(name) === true) return `site ${name} is excluded`;
  if (names === undefined || names.length === 0 || names.includes(name)) return undefined;
  return `site ${name} is not one of ${listed(names)}`;
}

function selectorReason(
  selector: LabelSelector | undefined,
  labels: Readonly<Record<string, string>>,
  what: string,
): string | undefined {
  if (selector === undefined || matchesSelector(selector, labels)) return undefined;
  const missed = Object.entries(selector.matchLabels ?? {}).find(([k, v]) => labels[k] !== v);
  if (missed !== undefined)
    return `asks ${missed[0]}=${missed[1]}; ${what} has ${labels[missed[0]] ?? "none"}`;
  const expression = (selector.matchExpressions ?? []).find(
    (e) => !matchesSelector({ matchExpressions: [e] }, labels),
  );
  return `asks ${expression?.key} ${expression?.operator} ${(expression?.values ?? []).join(",")}; ${what} has ${labels[expression?.key ?? ""] ?? "none"}`;
}
