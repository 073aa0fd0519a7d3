import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Measures } from "@flotilla/shared/model/measures";
import {
  HARDWARE_ID_LABEL,
  NO_CAPACITY,
  type NodeFacts,
  type NodeMeasures,
  type SiteFacts,
  type Use,
} from "@flotilla/shared/scheduling/facts";
import type { PriceBook, PricedNode } from "@flotilla/shared/scheduling/prices/price-book";
import { isFinished } from "../application/instance-state.ts";
import { latencyFacts } from "../measures/latency-matrix.ts";
import { devicesOf } from "./devices.ts";
import { hostPortsOf } from "./requests.ts";

type Labels = Readonly<Record<string, string>>;

/** Architecture as Kubernetes names it. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64",
  x86_64: "amd64",
  aarch64: "arm64",
};

/** What an assignment takes of its node: nothing but its place once it has finished. */
export function usedBy(assignment: ObjectOf<"Assignment">): Use {
  if (isFinished(assignment)) return { amounts: NO_CAPACITY, ports: [] };
  const { requests: amounts, desired, devices } = assignment.spec;
  const ports = hostPortsOf(desired.containers, desired.runtime);
  return { amounts, ports, ...(devices === undefined ? {} : { devices }) };
}

/** A site's labels as placement sees them. */
export function siteLabelsOf(site: ObjectOf<"Site">): Labels {
  const { provider, region, attributes } = site.spec;
  return {
    ...(provider === undefined ? {} : { provider }),
    ...(region === undefined ? {} : { region }),
    ...attributes,
    ...site.metadata.labels,
  };
}

/** A site as placement sees it. */
export function siteFacts(site: ObjectOf<"Site">, prices?: PriceBook): SiteFacts {
  const { taints, pricePerNodeHour, latencyMs, region } = site.spec;
  const { latencies = [] } = site.status ?? {};
  return {
    name: site.metadata.name,
    known: true,
    labels: siteLabelsOf(site),
    taints: taints ?? [],
    ...(pricePerNodeHour === undefined ? {} : { pricePerNodeHour }),
    ...(latencyMs === undefined ? {} : { latencyMs }),
    ...(region === undefined ? {} : { region }),
    ...(region === undefined || prices === undefined
      ? {}
      : { egressPricePerGb: prices.egressTo(region) }),
    ...(latencies.length === 0 ? {} : { latencies: latencyFacts(latencies) }),
  };
}

/**
 * A node as placement sees it, without what is assigned to it. `withheld`: devices that are another node's, or are not given
 * away at all while two nodes report them (`DeviceClaims`).
 */
export function nodeFacts(
  node: ObjectOf<"EdgeNode">,
  site: SiteFacts | undefined,
  withheld: ReadonlyMap<string, string>,
  prices?: PriceBook,
): NodeFacts {
  const { spec, status = {} } = node;
  const price = prices?.priceOf(pricedNode(node, site));
  const devices = devicesOf(status.inventory?.gpus ?? [], withheld);
  return {
    name: node.metadata.name,
    site: site ?? { name: spec.site, known: false, labels: {}, taints: [] },
    // A revoked node is never heard of again; that is what lost means to a placement.
    life: spec.revoked === true ? "lost" : (status.life ?? "registered"),
    unschedulable: spec.unschedulable === true || spec.drain === true,
    labels: nodeLabels(node),
    taints: spec.taints ?? [],
    runtimes: status.inventory?.runtimes ?? [],
    capacity: {
      ...(status.capacity ?? NO_CAPACITY),
      gpuCount: devices.filter((d) => d.migProfile === undefined).length,
    },
    devices,
    allocated: NO_CAPACITY,
    instanceCount: 0,
    ports: new Set(),
    ...(status.usage === undefined ? {} : { usage: status.usage }),
    ...(price === undefined ? {} : { price }),
    ...(status.measures === undefined ? {} : { measures: nodeMeasures(status.measures) }),
  };
}

function nodeMeasures(measures: Measures): NodeMeasures {
  const { hubLatency, networkBitsPerSecond, diskWritesPerSecond } = measures;
  return {
    ...(hubLatency?.p95Ms === undefined ? {} : { latencyP95Ms: hubLatency.p95Ms }),
    ...(networkBitsPerSecond === undefined ? {} : { networkBitsPerSecond }),
    ...(diskWritesPerSecond === undefined ? {} : { diskWritesPerSecond }),
  };
}

/** Label of the well-known instance type of Kubernetes. */
const INSTANCE_TYPE = "node.kubernetes.io/instance-type";

/** What a price list knows a node by. */
function pricedNode(node: ObjectOf<"EdgeNode">, site: SiteFacts | undefined): PricedNode {
  const names = {
    site: node.spec.site,
    region: site?.region,
    provider: site?.labels["provider"],
    instanceType: node.metadata.labels?.[INSTANCE_TYPE],
    gpuModel: node.status?.inventory?.gpus[0]?.model,
  };
  return Object.fromEntries(Object.entries(names).filter(([, value]) => value !== undefined));
}

/** The node's own labels over the well-known ones of Kubernetes, and its hardware id. */
export function nodeLabels(node: ObjectOf<"EdgeNode">): Labels {
  const { inventory } = node.status ?? {};
  return {
    "kubernetes.io/hostname": node.metadata.name,
    "edge.kurator.dev/site": node.spec.site,
    ...(inventory === undefined
      ? {}
      : {
          "kubernetes.io/os": inventory.operatingSystem,
          "kubernetes.io/arch": ARCHITECTURES[inventory.architecture] ?? inventory.architecture,
        }),
    ...node.metadata.labels,
    // What the machine is stands above what somebody says that it is.
    ...(inventory?.hardwareId === undefined ? {} : { [HARDWARE_ID_LABEL]: inventory.hardwareId }),
  };
}
