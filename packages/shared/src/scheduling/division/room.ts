import { free, INSTANCES_PER_NODE_MAX, type NodeFacts, type PlacementRequest } from "../facts.ts";
import { type FilterName, firstRejection, siteLabels } from "../filter.ts";

/** What a node must pass whether or not it has room or is heard of. */
const LASTING_FILTERS: readonly FilterName[] = [
  "Fleet",
  "ClusterAffinity",
  "SiteAffinity",
  "NodeSelector",
  "Release",
  "Taints",
  "Runtime",
  "Compliance",
  "Latency",
];

/** One site as a division of this request sees it. */
export interface SiteRoom {
  readonly labels: Readonly<Record<string, string>>;
  /** How many more of the request fit, counted up to the limit. */
  available: number;
  /** Whether a node of it is heard of and takes work; `away`: none is, but not for good yet. */
  health: "healthy" | "away" | "lost";
}

/** How the request's own instances keep away from each other: at most one on a node, or one on a site. */
export interface Apart {
  readonly level: "node" | "site";
  /** Names of the nodes, or sites, that have one. */
  readonly taken: ReadonlySet<string>;
}

export interface RoomOptions {
  /** Up to so many are counted. */
  readonly limit: number;
  readonly apart?: Apart;
  /** Sites that are named even when none of their nodes may take more: the request has instances there. */
  readonly present: ReadonlySet<string>;
}

/**
 * How many more instances of a request each site takes; sites of which no node may ever take it are left out. An estimate
 * for GPU slices of several devices at once, exact for all else: which node takes an instance is decided later.
 */
export function roomBySite(
  nodes: Iterable<NodeFacts>,
  request: PlacementRequest,
  options: RoomOptions,
): ReadonlyMap<string, SiteRoom> {
  const rooms = new Map<string, SiteRoom>();
  for (const node of nodes) {
    const site = node.site.name;
    const isFit = firstRejection(request, node, LASTING_FILTERS) === undefined;
    if (!isFit && !options.present.has(site)) continue;
    const labels = siteLabels(request, node);
    const room = rooms.get(site) ?? { labels, available: 0, health: "lost" };
    rooms.set(site, room);
    if (node.life === "ready" && !node.unschedulable) room.health = "healthy";
    else if (node.life !== "lost" && room.health === "lost") room.health = "away";
    if (room.available >= options.limit) continue;
    room.available = Math.min(options.limit, room.available + roomOf(node, request, options.apart));
  }
  if (options.apart?.level === "site")
    for (const [name, room] of rooms)
      room.available = options.apart.taken.has(name) ? 0 : Math.min(1, room.available);
  return rooms;
}

function roomOf(node: NodeFacts, request: PlacementRequest, apart: Apart | undefined): number {
  if (firstRejection(request, node) !== undefined) return 0;
  if (apart?.level === "node") return apart.taken.has(node.name) ? 0 : 1;
  if (request.ports.length > 0) return 1;
  const [left, asked] = [free(node), request.amounts];
  return Math.min(
    INSTANCES_PER_NODE_MAX - node.instanceCount,
    times(left.milliCpu, asked.milliCpu),
    times(left.memoryBytes, asked.memoryBytes),
    times(left.diskBytes, asked.diskBytes),
    gpuTimes(node, request),
  );
}

function times(left: number, asked: number): number {
  return asked > 0 ? Math.floor(left / asked) : Number.POSITIVE_INFINITY;
}

function gpuTimes({ devices }: NodeFacts, { gpu }: PlacementRequest): number {
  if (gpu === undefined) return Number.POSITIVE_INFINITY;
  const pieces = devices
    .filter((d) => d.migProfile === gpu.migProfile && d.memoryBytes >= gpu.memoryBytes)
    .reduce((sum, d) => sum + Math.floor(d.freeMilli / gpu.milli), 0);
  return Math.floor(pieces / gpu.count);
}
