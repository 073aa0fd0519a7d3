import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { JOIN_TOKEN_MS_MAX } from "../../enrolment/join.ts";
import type { Cause } from "../api-error.ts";
import { duplicates, invalidValue } from "../causes.ts";
import { dnsLabelCauses, labelsCauses, subdomainCauses } from "../names.ts";
import { deliveryCauses } from "./artifact-checks.ts";
import { divisionCauses } from "./division-checks.ts";
import { placementCauses, selectorCauses, taintCauses } from "./selector-checks.ts";

export function fleetCauses(fleet: ObjectOf<"Fleet">): Cause[] {
  const { clusters = [], sites = [], policyTemplates = [], siteSelector, placement } = fleet.spec;
  const references = clusters.flatMap((cluster, index) =>
    cluster.kubeconfigRef === undefined
      ? []
      : subdomainCauses(`spec.clusters[${index}].kubeconfigRef.name`, cluster.kubeconfigRef.name),
  );
  return [
    ...duplicates(
      clusters,
      (c) => c.name,
      (index) => `spec.clusters[${index}].name`,
    ),
    ...duplicates(
      sites,
      (s) => s.name,
      (index) => `spec.sites[${index}].name`,
    ),
    ...duplicates(
      policyTemplates,
      (p) => p.name,
      (index) => `spec.policyTemplates[${index}].name`,
    ),
    ...references,
    ...selectorCauses("spec.siteSelector", siteSelector),
    ...placementCauses("spec.placement", placement),
    ...divisionCauses("spec.placement", placement),
  ];
}

export function clusterCauses(cluster: ObjectOf<"Cluster">): Cause[] {
  const { kubeconfigRef } = cluster.spec;
  return kubeconfigRef === undefined
    ? []
    : subdomainCauses("spec.kubeconfigRef.name", kubeconfigRef.name);
}

export function edgeNodeCauses(node: ObjectOf<"EdgeNode">): Cause[] {
  return [
    ...dnsLabelCauses("spec.site", node.spec.site),
    ...taintCauses("spec.taints", node.spec.taints),
  ];
}

export function siteCauses(site: ObjectOf<"Site">): Cause[] {
  return [
    ...taintCauses("spec.taints", site.spec.taints),
    ...deliveryCauses("spec.delivery", site.spec.delivery),
  ];
}

export function joinTokenCauses(token: ObjectOf<"JoinToken">): Cause[] {
  const { site, nodeName, ttl, nodeLabels } = token.spec;
  const ttlMs = ttl === undefined ? undefined : (parseDurationMs(ttl) ?? 0);
  return [
    ...dnsLabelCauses("spec.site", site),
    ...(nodeName === undefined ? [] : dnsLabelCauses("spec.nodeName", nodeName)),
    ...labelsCauses("spec.nodeLabels", nodeLabels ?? {}),
    ...(ttlMs === undefined || (ttlMs > 0 && ttlMs <= JOIN_TOKEN_MS_MAX)
      ? []
      : [invalidValue("spec.ttl", ttl, "must be above 0 and at most 24h")]),
  ];
}
