import { formatBytes, formatMilliCpu } from "@flotilla/shared/kernel/quantity";
import { itemsAt, memberAt, numberAt, type ServedObject, textAt } from "../api-object.ts";
import {
  AGE,
  type Column,
  column,
  conditionOf,
  countColumn,
  fieldColumn,
  fraction,
  NAME,
  pairs,
  wide,
} from "./column.ts";

const capacity =
  (field: string, format: (value: number) => string) =>
  (object: ServedObject): string | undefined => {
    const value = numberAt(object, "status", "capacity", field);
    return value === undefined ? undefined : format(value);
  };

function nodeStatus(object: ServedObject): string {
  const parts = [textAt(object, "status", "life") ?? "registered"];
  if (memberAt(object, "spec", "revoked") === true) parts.push("revoked");
  if (memberAt(object, "spec", "drain") === true) parts.push("draining");
  else if (memberAt(object, "spec", "unschedulable") === true) parts.push("cordoned");
  return parts.join(",");
}

export const FLEET_COLUMNS: readonly Column[] = [
  NAME,
  fieldColumn("Phase", "Whether all members are ready.", "status", "phase"),
  column("Members", "Ready members of all.", (o) =>
    fraction(memberAt(o, "status", "readyMemberCount"), memberAt(o, "status", "memberCount")),
  ),
  column("Nodes", "Ready nodes of all.", (o) =>
    fraction(memberAt(o, "status", "readyNodeCount"), memberAt(o, "status", "nodeCount")),
  ),
  AGE,
  wide(countColumn("Clusters", "Clusters by name.", (o) => itemsAt(o, "spec", "clusters").length)),
  wide(countColumn("Sites", "Sites by name.", (o) => itemsAt(o, "spec", "sites").length)),
];

export const CLUSTER_COLUMNS: readonly Column[] = [
  NAME,
  fieldColumn("Provider", "Who runs it.", "spec", "provider"),
  fieldColumn("Region", "Where it runs.", "spec", "region"),
  column("Ready", "Whether the hub reaches it.", (o) => conditionOf(o, "Ready")),
  AGE,
  wide(
    column("Attributes", "What placement sees.", (o) => pairs(memberAt(o, "spec", "attributes"))),
  ),
];

export const SITE_COLUMNS: readonly Column[] = [
  NAME,
  fieldColumn("Provider", "Who runs it.", "spec", "provider"),
  fieldColumn("Region", "Where it is.", "spec", "region"),
  column("Nodes", "Ready nodes of all.", (o) =>
    fraction(memberAt(o, "status", "readyNodeCount"), memberAt(o, "status", "nodeCount")),
  ),
  AGE,
  wide(
    column("Attributes", "What placement sees.", (o) => pairs(memberAt(o, "spec", "attributes"))),
  ),
  wide(fieldColumn("Price", "Price of one node-hour.", "spec", "pricePerNodeHour")),
];

export const EDGE_NODE_COLUMNS: readonly Column[] = [
  NAME,
  column("Status", "Life of its lease, and whether it takes new work.", nodeStatus),
  fieldColumn("Site", "Site that it belongs to.", "spec", "site"),
  column("CPU", "Cores.", capacity("milliCpu", formatMilliCpu)),
  column("Memory", "Memory.", capacity("memoryBytes", formatBytes)),
  countColumn("GPUs", "Accelerators.", (o) => numberAt(o, "status", "capacity", "gpuCount")),
  fieldColumn("Version", "Version of the agent.", "status", "agentVersion"),
  AGE,
  wide(fieldColumn("Arch", "Processor.", "status", "inventory", "architecture")),
  wide(fieldColumn("OS", "Operating system.", "status", "inventory", "operatingSystem")),
  wide(fieldColumn("Kernel", "Kernel.", "status", "inventory", "kernelVersion")),
  wide(
    column("Revision", "Desired state carried out, of the one that the hub signed.", (o) =>
      fraction(
        memberAt(o, "status", "convergedRevision"),
        memberAt(o, "status", "desiredRevision"),
      ),
    ),
  ),
];

export const JOIN_TOKEN_COLUMNS: readonly Column[] = [
  NAME,
  fieldColumn("Site", "Site that the node joins.", "spec", "site"),
  fieldColumn("Node", "The only node that may use it.", "spec", "nodeName"),
  fieldColumn("Used-By", "Node that used it.", "status", "usedBy"),
  // No `date`: kubectl would show the time until then as an age.
  fieldColumn("Expires", "When it ends.", "status", "expiresAt"),
  AGE,
];
