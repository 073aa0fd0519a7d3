import type { Capacity, GpuTier, Usage } from "../model/capacity.ts";
import type { DeviceShare } from "../model/desired-state.ts";
import type { NodeLife } from "../model/lease.ts";
import type { LabelSelector, Taint, Toleration } from "../model/metadata.ts";
import type { Candidate, ScoreParts } from "../model/resources/edge.ts";
import type { Placement } from "../model/resources/placement.ts";
import { isSoundAmount } from "./engine/shape.ts";
import { MILLI_PER_GPU } from "./gpu/request-mix.ts";

/** What a placement is decided from: facts about sites and nodes, and one request. The same code runs in hub and site leader. */

/** Share of a node's CPU, memory and disk that stays with the operating system and the agent. GPUs are given out whole. */
export const RESERVE_RATIO = 0.05;

/** Most instances of one node, finished Jobs included: more do not fit into one desired state. */
export const INSTANCES_PER_NODE_MAX = 1_000;

type Labels = Readonly<Record<string, string>>;

/** One site as placement sees it. */
export interface SiteFacts {
  readonly name: string;
  /** False when nodes name a site that has no Site object: its labels are unknown, not empty. */
  readonly known: boolean;
  /** Labels and attributes together; where both say something, the label. */
  readonly labels: Labels;
  readonly taints: readonly Taint[];
  /** What the Site says; absent: unknown. */
  readonly pricePerNodeHour?: number;
  readonly latencyMs?: number;
  /** Region of the Site; absent: unknown. */
  readonly region?: string;
  /** Price of one GB into this site by the region that it comes from; a region that is missing is unknown. */
  readonly egressPricePerGb?: ReadonlyMap<string, number>;
  /** Measured 95th percentile of the round trip to sites and regions by name, milliseconds; missing: unknown. */
  readonly latencies?: ReadonlyMap<string, number>;
}

/** What one hour of a node costs, from the price list. Absent fields are unknown. */
export interface NodePrice {
  readonly perHour?: number;
  readonly spotPerHour?: number;
}

/** What was measured of a node. Absent fields are unknown, never zero. */
export interface NodeMeasures {
  /** 95th percentile of the round trip to the hub, milliseconds. */
  readonly latencyP95Ms?: number;
  /** Speed of the fastest link that is up, bits per second. */
  readonly networkBitsPerSecond?: number;
  /** Durable writes of 4 KiB, per second. */
  readonly diskWritesPerSecond?: number;
}

/**
 * One device that can be given away: a card, or a MIG device of a card in MIG mode (which itself is none). Devices that
 * another node has, or that have vanished, are left out.
 */
export interface DeviceFacts {
  readonly uuid: string;
  /** Position among the node's devices: the order of ties. */
  readonly index: number;
  readonly model: string;
  /** Of a MIG device its own. 0: not told. */
  readonly memoryBytes: number;
  /** What is not given away, at most 1,000; below 0 where more was given than there is. A MIG device is given away whole. */
  readonly freeMilli: number;
  readonly numaNode?: number;
  /** `1g.10gb`: a MIG device, given away only to who asks for this profile. */
  readonly migProfile?: string;
  /** Closeness to other devices of the node by uuid, the same on both sides; one that is not named is `system`. */
  readonly links: ReadonlyMap<string, GpuTier>;
}

/** One node as placement sees it. Immutable; `reserve` and `release` make the next one. */
export interface NodeFacts {
  readonly name: string;
  readonly site: SiteFacts;
  readonly life: NodeLife;
  /** Cordoned or draining. */
  readonly unschedulable: boolean;
  readonly labels: Labels;
  readonly taints: readonly Taint[];
  readonly runtimes: readonly string[];
  /** `gpuCount`: whole devices that can be given away, free or not; MIG devices are not among them. */
  readonly capacity: Capacity;
  /** Sorted by index. */
  readonly devices: readonly DeviceFacts[];
  /** Sum of the requests of what is assigned here and not finished. */
  readonly allocated: Capacity;
  /** How many instances are assigned here, finished ones included. */
  readonly instanceCount: number;
  /** `TCP/8080`: host ports of what is assigned here. */
  readonly ports: ReadonlySet<string>;
  readonly usage?: Usage;
  /** From the price list; absent: the site's price counts. */
  readonly price?: NodePrice;
  readonly measures?: NodeMeasures;
}

/** Nodes by name. */
export type Snapshot = ReadonlyMap<string, NodeFacts>;

/** The fleet that a request is bound to. */
export interface FleetFacts {
  readonly name: string;
  readonly exists: boolean;
  readonly sites: ReadonlySet<string>;
  /** What the fleet says of its member sites beside their own labels. */
  readonly siteLabels: ReadonlyMap<string, Labels>;
}

/** What one instance asks of accelerators: `count` devices with `milli` of each, all of them alike. */
export interface GpuRequest {
  /** At least 1. */
  readonly count: number;
  /** Of each device, 1 to 1,000; 1,000 is the whole. */
  readonly milli: number;
  /** Names of which one must match (`matchesModel`); absent: any model. Empty: placements that exclude each other, fits nowhere. */
  readonly models?: readonly string[];
  /** Memory of each device, at least. */
  readonly memoryBytes: number;
  /** Whole MIG devices of this profile; absent: cards. */
  readonly migProfile?: string;
  /** How close the devices should be at least; absent: as close as can be had. */
  readonly topology?: GpuTier;
  /** Whether a node without devices that close is rejected. */
  readonly topologyRequired: boolean;
}

/** What a release that an instance runs with asks of the machine. Absent fields ask for nothing. */
export interface ReleaseNeeds {
  /** For people: `detector 2.3.0`. */
  readonly release: string;
  /** One of them must be the node's. */
  readonly hardwareIds?: readonly string[];
  readonly nodeLabels?: Labels;
  /** Least memory of the node in all, bytes; what is given away of it is not asked. */
  readonly memoryBytes?: number;
}

/** Label under which a node's hardware id stands among its labels. It is no label of the EdgeNode: its values are any text. */
export const HARDWARE_ID_LABEL = "edge.kurator.dev/hardware-id";

/** What one instance asks for. */
export interface PlacementRequest {
  readonly kind: "Deployment" | "Job";
  /** `gpuCount`: whole cards only; slices and MIG devices stand in `gpu` alone. */
  readonly amounts: Capacity;
  /** Absent: asks for no accelerator. */
  readonly gpu?: GpuRequest;
  /** Resources that no node reports (`amd.com/gpu`), by name. Any amount above 0 fits nowhere. */
  readonly otherAmounts: Readonly<Record<string, number>>;
  /** `process`: every container has a command. `container`: at least one has only an image. */
  readonly runtime: "process" | "container";
  readonly ports: readonly string[];
  /** All of them must hold: the fleet's and the component's. */
  readonly placements: readonly Placement[];
  readonly nodeSelector: LabelSelector;
  readonly nodeName?: string;
  readonly tolerations: readonly Toleration[];
  readonly fleet?: FleetFacts;
  /** True: pays spot prices where the price list has one, and may be moved when the spot market takes the node back. */
  readonly spot?: boolean;
  /** What the releases that it runs with ask for; absent: nothing. */
  readonly releases?: readonly ReleaseNeeds[];
}

/** How many instances of the same component are where, the one to be placed not counted. */
export interface Siblings {
  readonly byNode: ReadonlyMap<string, number>;
  readonly bySite: ReadonlyMap<string, number>;
}

/** Weights of the resources within the resource part. */
export interface ResourceWeights {
  readonly cpu: number;
  readonly memory: number;
  readonly gpu: number;
  readonly storage: number;
}

/** Weights of what is measured within the performance part. */
export interface PerformanceWeights {
  readonly latency: number;
  readonly network: number;
  readonly disk: number;
}

/** Weights of a decision: the parts sum up to 1. */
export interface Weights {
  readonly parts: ScoreParts;
  readonly resources: ResourceWeights;
  /** Absent: latency alone. */
  readonly performance?: PerformanceWeights;
}

/** How many nodes failed a filter first, and why one of them did. */
export interface RejectionCount {
  readonly filter: string;
  readonly count: number;
  readonly reason: string;
}

/** All nodes of a decision, counted. */
export interface DecisionCounts {
  readonly nodes: number;
  readonly fitting: number;
  /** The most frequent first. */
  readonly rejections: readonly RejectionCount[];
}

/** The outcome: where to, and why there and not elsewhere. */
export interface Decision {
  /** Absent: no node fits. */
  readonly node?: string;
  readonly site?: string;
  readonly score?: number;
  readonly parts?: ScoreParts;
  /** Devices of the node that it gets; absent: none are asked for. */
  readonly devices?: readonly DeviceShare[];
  /** Best first, then the rejected ones by name with the first filter that each failed: every node once, but for the omitted. */
  readonly candidates: readonly Candidate[];
  /** Nodes that are not among the candidates. Absent: none. */
  readonly omitted?: number;
  /** Exact also where candidates are omitted. Absent: not counted. */
  readonly counts?: DecisionCounts;
  /** Which node comes closest and what stands in the way there; only when no node fits. */
  readonly wouldFit?: string;
}

/** Nothing of anything. */
export const NO_CAPACITY: Capacity = { milliCpu: 0, memoryBytes: 0, diskBytes: 0, gpuCount: 0 };

/** A number that may decide: finite and not negative; anything else counts as nothing. */
export function amount(value: number | undefined): number {
  return value !== undefined && Number.isFinite(value) && value > 0 ? value : 0;
}

/** What workloads may use of a node in all: its capacity without the reserve. What is greater than AMOUNT_MAX is a lie: nothing. */
export function allocatable(node: Pick<NodeFacts, "capacity">): Capacity {
  const share = 1 - RESERVE_RATIO;
  const sound = (value: number): number => {
    const whole = Math.floor(amount(value));
    return isSoundAmount(whole) ? whole : 0;
  };
  return {
    milliCpu: sound(node.capacity.milliCpu * share),
    memoryBytes: sound(node.capacity.memoryBytes * share),
    diskBytes: sound(node.capacity.diskBytes * share),
    gpuCount: sound(node.capacity.gpuCount),
  };
}

/**
 * What is left of a node; negative where more is assigned than it has (its capacity shrank). `gpuCount`: cards of which
 * nothing is given away.
 */
export function free(node: Pick<NodeFacts, "capacity" | "allocated" | "devices">): Capacity {
  const left = combine(allocatable(node), node.allocated, (a, b) => a - amount(b));
  const idle = node.devices.filter((d) => d.migProfile === undefined && isIdle(d)).length;
  return { ...left, gpuCount: idle };
}

/** True for a device of which nothing is given away. */
export function isIdle(device: DeviceFacts): boolean {
  return device.freeMilli === MILLI_PER_GPU;
}

/** What an assignment takes of its node. A device that the node does not have any more is passed over. */
export type Use = Pick<PlacementRequest, "amounts" | "ports"> & {
  readonly devices?: readonly DeviceShare[];
};

/** The node after this was assigned to it. */
export function reserve(node: NodeFacts, use: Use): NodeFacts {
  return reserveAll(node, [use]);
}

/** The node after all of these were assigned to it. */
export function reserveAll(node: NodeFacts, uses: readonly Use[]): NodeFacts {
  const allocated = uses.reduce(
    (sum, use) => combine(sum, use.amounts, (a, b) => a + b),
    node.allocated,
  );
  const ports = uses.flatMap((use) => use.ports);
  const shares = uses.flatMap((use) => use.devices ?? []);
  return {
    ...node,
    allocated,
    devices: withShares(node.devices, shares, -1),
    instanceCount: node.instanceCount + uses.length,
    ports: ports.length === 0 ? node.ports : new Set([...node.ports, ...ports]),
  };
}

/** The node after this was taken from it. */
export function release(node: NodeFacts, use: Use): NodeFacts {
  const { ports } = use;
  return {
    ...node,
    allocated: combine(node.allocated, use.amounts, (a, b) => Math.max(0, a - b)),
    devices: withShares(node.devices, use.devices ?? [], 1),
    instanceCount: Math.max(0, node.instanceCount - 1),
    ports:
      ports.length === 0
        ? node.ports
        : new Set([...node.ports].filter((port) => !ports.includes(port))),
  };
}

/** Shares taken (-1) or given back (1). A device never has more free than its whole. */
function withShares(
  devices: readonly DeviceFacts[],
  shares: readonly DeviceShare[],
  sign: 1 | -1,
): readonly DeviceFacts[] {
  if (shares.length === 0) return devices;
  const milliOf = new Map<string, number>();
  for (const { uuid, milli } of shares) milliOf.set(uuid, (milliOf.get(uuid) ?? 0) + milli);
  return devices.map((device) => {
    const milli = milliOf.get(device.uuid);
    if (milli === undefined) return device;
    const freeMilli = Math.min(MILLI_PER_GPU, device.freeMilli + sign * milli);
    return { ...device, freeMilli };
  });
}

function combine(a: Capacity, b: Capacity, f: (a: number, b: number) => number): Capacity {
  return {
    milliCpu: f(a.milliCpu, b.milliCpu),
    memoryBytes: f(a.memoryBytes, b.memoryBytes),
    diskBytes: f(a.diskBytes, b.diskBytes),
    gpuCount: f(a.gpuCount, b.gpuCount),
  };
}
