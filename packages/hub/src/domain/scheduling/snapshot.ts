import type { ObjectOf } from "@flotilla/shared/model/kinds";
import {
  NO_CAPACITY,
  type NodeFacts,
  type SiteFacts,
  type Use,
} from "@flotilla/shared/scheduling/facts";
import { isFinished } from "../application/instance-state.ts";
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
  const { containers, runtime } = assignment.spec.desired;
  return { amounts: assignment.spec.requests, ports: hostPortsOf(containers, runtime) };
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
export function siteFacts(site: ObjectOf<"Site">): SiteFacts {
  const { taints, pricePerNodeHour, latencyMs } = site.spec;
  return {
    name: site.metadata.name,
    known: true,
    labels: siteLabelsOf(site),
    taints: taints ?? [],
    ...(pricePerNodeHour === undefined ? {} : { pricePerNodeHour }),
    ...(latencyMs === undefined ? {} : { latencyMs }),
  };
}

/** A node as placement sees it, without what is assigned to it. */
export function nodeFacts(node: ObjectOf<"EdgeNode">, site: SiteFacts | undefined): NodeFacts {
  const { spec, status = {} } = node;
  return {
    name: node.metadata.name,
    site: site ?? { name: spec.site, known: false, labels: {}, taints: [] },
    // A revoked node is never heard of again; that is what lost means to a placement.
    life: spec.revoked === true ? "lost" : (status.life ?? "registered"),
    unschedulable: spec.unschedulable === true || spec.drain === true,
    labels: nodeLabels(node),
    taints: spec.taints ?? [],
    runtimes: status.inventory?.runtimes ?? [],
    capacity: status.capacity ?? NO_CAPACITY,
    devices: [],
    allocated: NO_CAPACITY,
    instanceCount: 0,
    ports: new Set(),
    ...(status.usage === undefined ? {} : { usage: status.usage }),
  };
}

/** The node's own labels over the well-known ones of Kubernetes. */
function nodeLabels(node: ObjectOf<"EdgeNode">): Labels {
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
  };
}
