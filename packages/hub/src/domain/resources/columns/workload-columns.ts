import { itemsAt, memberAt, numberAt, type ServedObject, textAt } from "../api-object.ts";
import {
  AGE,
  type Column,
  column,
  countColumn,
  fieldColumn,
  firstReason,
  fraction,
  NAME,
  wide,
} from "./column.ts";

/** Sum of a number over the components of an Application. */
function total(object: ServedObject, field: string): number {
  return itemsAt(object, "status", "components").reduce((n, c) => n + (numberAt(c, field) ?? 0), 0);
}

function podReady(object: ServedObject): string {
  const statuses = itemsAt(object, "status", "containerStatuses");
  const ready = statuses.filter((s) => s["ready"] === true).length;
  return `${ready}/${itemsAt(object, "spec", "containers").length}`;
}

function podRestarts(object: ServedObject): number {
  return itemsAt(object, "status", "containerStatuses").reduce(
    (n, s) => n + (numberAt(s, "restartCount") ?? 0),
    0,
  );
}

export const APPLICATION_COLUMNS: readonly Column[] = [
  NAME,
  fieldColumn("Phase", "Where the application stands.", "status", "phase"),
  column("Ready", "Ready or finished instances of those asked for.", (o) =>
    fraction(total(o, "ready") + total(o, "succeeded"), total(o, "desired")),
  ),
  countColumn("Placed", "Instances that have a node.", (o) => total(o, "placed")),
  countColumn("Failed", "Instances that failed.", (o) => total(o, "failed")),
  AGE,
  wide(
    column("Components", "Components and their types.", (o) =>
      itemsAt(o, "spec", "components")
        .map((c) => `${String(c["name"])}(${String(c["type"])})`)
        .join(","),
    ),
  ),
  wide(fieldColumn("Fleet", "Fleet whose members may run it.", "spec", "fleet", "name")),
  wide(fieldColumn("Profile", "Scheduling profile.", "spec", "schedulingProfile")),
];

export const ASSIGNMENT_COLUMNS: readonly Column[] = [
  NAME,
  fieldColumn("Application", "Application that it belongs to.", "spec", "application"),
  fieldColumn("Node", "Node that runs it.", "spec", "node"),
  fieldColumn("Phase", "What the node last reported.", "status", "reported", "phase"),
  column("Ready", "Whether its probes pass.", (o) => memberAt(o, "status", "reported", "ready")),
  countColumn("Restarts", "Restarts on this node.", (o) =>
    numberAt(o, "status", "reported", "restartCount"),
  ),
  AGE,
  wide(fieldColumn("Component", "Component of the application.", "spec", "component")),
  wide(fieldColumn("Site", "Site of the node.", "spec", "site")),
  wide(
    column("Score", "Weighted score of the placement.", (o) => {
      const score = numberAt(o, "spec", "score");
      return score === undefined ? undefined : score.toFixed(3);
    }),
  ),
  wide(
    column(
      "Devices",
      "Accelerators of the node that are its own, with thousandths of each.",
      (o) => {
        const devices = itemsAt(o, "spec", "devices").map(
          (d) => `${textAt(d, "uuid")}:${numberAt(d, "milli")}`,
        );
        return devices.length === 0 ? undefined : devices.join(",");
      },
    ),
  ),
  wide(fieldColumn("Message", "Why it is as it is.", "status", "message")),
];

export const POD_COLUMNS: readonly Column[] = [
  NAME,
  column("Ready", "Ready containers of all.", podReady),
  column("Status", "Phase, or why it waits.", (o) =>
    textAt(o, "metadata", "deletionTimestamp") === undefined
      ? (textAt(o, "status", "reason") ?? textAt(o, "status", "phase"))
      : "Terminating",
  ),
  countColumn("Restarts", "Restarts of all containers.", podRestarts),
  AGE,
  wide(fieldColumn("Node", "Node that runs it.", "spec", "nodeName")),
  wide(
    column("Site", "Site of the node.", (o) =>
      memberAt(o, "metadata", "labels", "edge.kurator.dev/site"),
    ),
  ),
];

export const POLICY_COLUMNS: readonly Column[] = [
  NAME,
  column(
    "Target",
    "What is rolled out.",
    (o) =>
      textAt(o, "spec", "targetRef", "name") ??
      itemsAt(o, "spec", "resourceSelectors")
        .map((s) => `${String(s["kind"])}/${textAt(s, "name") ?? "*"}`)
        .join(","),
  ),
  fieldColumn("Strategy", "How it is rolled out.", "spec", "rollout", "strategy"),
  countColumn("Stages", "Number of stages.", (o) => itemsAt(o, "spec", "rollout", "stages").length),
  column("Status", "What the hub makes of it, in one word.", firstReason),
  AGE,
];
