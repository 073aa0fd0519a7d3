import type { KindName, ViewName } from "@flotilla/shared/model/kinds";
import { itemsAt, memberAt, textAt } from "../api-object.ts";
import { ARTIFACT_COLUMNS, RELEASE_COLUMNS } from "./artifact-columns.ts";
import {
  AGE,
  type Column,
  column,
  conditionOf,
  countColumn,
  fieldColumn,
  firstReason,
  NAME,
  wide,
} from "./column.ts";
import {
  CLUSTER_COLUMNS,
  EDGE_NODE_COLUMNS,
  FLEET_COLUMNS,
  JOIN_TOKEN_COLUMNS,
  SITE_COLUMNS,
} from "./fleet-columns.ts";
import { MOVE_PLAN_COLUMNS, PRIORITY_CLASS_COLUMNS, QUEUE_COLUMNS } from "./queue-columns.ts";
import {
  APPLICATION_COLUMNS,
  ASSIGNMENT_COLUMNS,
  POD_COLUMNS,
  POLICY_COLUMNS,
} from "./workload-columns.ts";

export type { Column } from "./column.ts";

const STATUS = column("Status", "What the hub makes of it, in one word.", firstReason);
const DATA = countColumn(
  "Data",
  "Number of keys.",
  (o) =>
    Object.keys({
      ...Object(memberAt(o, "data")),
      ...Object(memberAt(o, "binaryData")),
    }).length,
);

const COLUMNS: Readonly<Record<KindName | ViewName, readonly Column[]>> = {
  Fleet: FLEET_COLUMNS,
  PerformanceProfile: [NAME, STATUS, AGE],
  Cluster: CLUSTER_COLUMNS,
  Application: APPLICATION_COLUMNS,
  Artifact: ARTIFACT_COLUMNS,
  Release: RELEASE_COLUMNS,
  PropagationPolicy: POLICY_COLUMNS,
  NetworkPartitionPolicy: [NAME, STATUS, AGE],
  SchedulingProfile: [NAME, STATUS, AGE],
  PriceList: [
    NAME,
    fieldColumn("Currency", "Of all its prices.", "spec", "currency"),
    countColumn("Nodes", "Prices of nodes.", (o) => itemsAt(o, "spec", "nodes").length),
    countColumn("Egress", "Prices of traffic.", (o) => itemsAt(o, "spec", "egress").length),
    fieldColumn("Stale", "Whether its feed has stopped delivering.", "status", "stale"),
    wide(fieldColumn("Source", "Where a feed took it from.", "status", "source")),
    AGE,
  ],
  Queue: QUEUE_COLUMNS,
  MovePlan: MOVE_PLAN_COLUMNS,
  PriorityClass: PRIORITY_CLASS_COLUMNS,
  CrossClusterEndpoint: [
    NAME,
    fieldColumn("Source", "Where connections begin.", "spec", "sourceCluster"),
    fieldColumn("Target", "Where they go.", "spec", "targetCluster"),
    fieldColumn("Protocol", "Transport.", "spec", "protocol"),
    fieldColumn("Port", "Port at the target.", "spec", "port"),
    wide(fieldColumn("Tunnel", "Kind of tunnel.", "spec", "tunnel", "type")),
    AGE,
  ],
  NetworkOptimizationPolicy: [NAME, STATUS, AGE],
  EdgeNode: EDGE_NODE_COLUMNS,
  Site: SITE_COLUMNS,
  JoinToken: JOIN_TOKEN_COLUMNS,
  Assignment: ASSIGNMENT_COLUMNS,
  Namespace: [NAME, fieldColumn("Status", "Active or Terminating.", "status", "phase"), AGE],
  ConfigMap: [NAME, DATA, AGE],
  Secret: [NAME, column("Type", "Kind of data.", (o) => textAt(o, "type") ?? "Opaque"), DATA, AGE],
  Event: [
    {
      ...column(
        "Last Seen",
        "Time since it was last seen.",
        (o) => textAt(o, "lastTimestamp") ?? textAt(o, "eventTime"),
      ),
      type: "date",
    },
    fieldColumn("Type", "Normal or Warning.", "type"),
    fieldColumn("Reason", "Why, in one word.", "reason"),
    column(
      "Object",
      "What it is about.",
      (o) =>
        `${(textAt(o, "involvedObject", "kind") ?? "").toLowerCase()}/${textAt(o, "involvedObject", "name") ?? ""}`,
    ),
    fieldColumn("Message", "What happened.", "message"),
    wide(fieldColumn("Source", "Who tells.", "source", "component")),
    wide(fieldColumn("Count", "How often.", "count")),
    { ...wide(NAME), format: "name" },
  ],
  Node: [
    NAME,
    column("Status", "Ready or not, and whether it takes new work.", (o) =>
      [
        conditionOf(o, "Ready") === "True" ? "Ready" : "NotReady",
        ...(memberAt(o, "spec", "unschedulable") === true ? ["SchedulingDisabled"] : []),
      ].join(","),
    ),
    column("Roles", "Always edge.", () => "edge"),
    AGE,
    fieldColumn("Version", "Version of the agent.", "status", "nodeInfo", "kubeletVersion"),
    wide(
      column(
        "Internal-IP",
        "Not known: nodes connect to the hub.",
        (o) =>
          textAt(
            itemsAt(o, "status", "addresses").find((a) => a["type"] === "InternalIP"),
            "address",
          ) ?? "<none>",
      ),
    ),
    wide(fieldColumn("OS-Image", "Operating system.", "status", "nodeInfo", "osImage")),
    wide(fieldColumn("Kernel-Version", "Kernel.", "status", "nodeInfo", "kernelVersion")),
    wide(
      fieldColumn(
        "Container-Runtime",
        "Runtimes.",
        "status",
        "nodeInfo",
        "containerRuntimeVersion",
      ),
    ),
  ],
  Pod: POD_COLUMNS,
  Lease: [NAME, fieldColumn("Holder", "Node that renews it.", "spec", "holderIdentity"), AGE],
};

/** What `kubectl get` shows of a kind. */
export function columnsOf(kind: KindName | ViewName): readonly Column[] {
  return COLUMNS[kind];
}
