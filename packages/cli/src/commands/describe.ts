import { formatBytes, formatMilliCpu } from "@flotilla/shared/kernel/quantity";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Condition } from "@flotilla/shared/model/metadata";
import { age, formatTable } from "../output/table.ts";
import { deviceProblem, deviceTable } from "./device-table.ts";

/** Texts of `describe`: what a person asks first, in the order in which it is asked. */

type Lines = readonly (readonly [string, string])[];

/** Lines of names and values. */
export function heading(lines: Lines): string {
  return formatTable(["", ""], lines, { noHeaders: true });
}

/** Conditions under their heading; nothing where there are none. */
export function conditionTable(
  conditions: readonly Condition[] | undefined,
  nowMs: number,
): string {
  if (conditions === undefined || conditions.length === 0) return "";
  const rows = conditions.map((c) => [
    c.type,
    c.status,
    c.reason,
    age(c.lastTransitionTime, nowMs),
    c.message,
  ]);
  return `\nConditions:\n${formatTable(["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"], rows)}`;
}

/** `fleet describe`. */
export function describeFleet(fleet: ObjectOf<"Fleet">, nowMs: number): string {
  const status = fleet.status ?? {};
  const members = (status.members ?? []).map((m) => [
    m.kind,
    m.name,
    m.ready ? "yes" : "no",
    m.reason,
  ]);
  return [
    heading([
      ["Name:", fleet.metadata.name],
      ["Namespace:", fleet.metadata.namespace ?? ""],
      ["Phase:", status.phase ?? "Pending"],
      ["Members ready:", `${status.readyMemberCount ?? 0}/${status.memberCount ?? 0}`],
      ["Nodes ready:", `${status.readyNodeCount ?? 0}/${status.nodeCount ?? 0}`],
      ["Age:", age(fleet.metadata.creationTimestamp ?? undefined, nowMs)],
    ]),
    members.length === 0
      ? ""
      : `\nMembers:\n${formatTable(["KIND", "NAME", "READY", "REASON"], members)}`,
    conditionTable(status.conditions, nowMs),
  ].join("");
}

/** `node describe`. */
export function describeNode(
  node: ObjectOf<"EdgeNode">,
  assignments: readonly ObjectOf<"Assignment">[],
  nowMs: number,
): string {
  const status = node.status ?? {};
  const { capacity, usage, inventory } = status;
  const gpus = (inventory?.gpus ?? []).map(
    (g) =>
      `${g.model} ${formatBytes(g.memoryBytes)}${g.migEnabled === true ? ` MIG ×${g.migDevices?.length ?? 0}` : ""}`,
  );
  const percent = (ratio: number | undefined): string =>
    ratio === undefined ? "unknown" : `${Math.round(ratio * 100)} %`;
  const rows = assignments.map((a) => [
    a.metadata.namespace ?? "",
    a.metadata.name,
    a.status?.reported?.phase ?? "Pending",
    String(a.status?.reported?.restartCount ?? 0),
    a.spec.score === undefined ? "" : a.spec.score.toFixed(3),
  ]);
  return [
    heading([
      ["Name:", node.metadata.name],
      ["Site:", node.spec.site],
      [
        "Life:",
        `${status.life ?? "registered"}${node.spec.unschedulable === true ? ", cordoned" : ""}${node.spec.drain === true ? ", draining" : ""}`,
      ],
      [
        "Agent:",
        `${status.agentVersion ?? "unknown"} on ${inventory?.architecture ?? "unknown"}, ${inventory?.operatingSystem ?? "unknown"}`,
      ],
      [
        "Machine:",
        `${inventory?.manufacturer ?? ""} ${inventory?.machineModel ?? ""}`.trim() || "unknown",
      ],
      [
        "CPU:",
        capacity === undefined
          ? "unknown"
          : `${formatMilliCpu(capacity.milliCpu)} cores, ${percent(usage?.cpuRatio)} used`,
      ],
      [
        "Memory:",
        capacity === undefined
          ? "unknown"
          : `${gib(capacity.memoryBytes)}, ${gib(usage?.memoryUsedBytes ?? 0)} used`,
      ],
      [
        "Disk:",
        capacity === undefined
          ? "unknown"
          : `${gib(capacity.diskBytes)}, ${gib(usage?.diskUsedBytes ?? 0)} used`,
      ],
      ["GPUs:", gpus.length === 0 ? "none" : gpus.join(", ")],
      [
        "Desired state:",
        `revision ${status.desiredRevision ?? 0}, accepted ${status.acceptedRevision ?? 0}, converged ${status.convergedRevision ?? 0}`,
      ],
      ["Certificate until:", status.certificateExpiresAt ?? "unknown"],
      ["Age:", age(node.metadata.creationTimestamp ?? undefined, nowMs)],
    ]),
    deviceTable(inventory?.gpus ?? [], assignments),
    rows.length === 0
      ? ""
      : `\nAssignments:\n${formatTable(["NAMESPACE", "NAME", "PHASE", "RESTARTS", "SCORE"], rows)}`,
    conditionTable(status.conditions, nowMs),
  ].join("");
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

type ApplicationStatus = NonNullable<ObjectOf<"Application">["status"]>;

/** Replicas by site, of the components that are shared out. */
function divisionTable({ division = [] }: ApplicationStatus): string {
  const rows = division.flatMap(({ component, sites, message = "" }) =>
    sites.map(({ name, replicas, trafficPercent }, index) => [
      component,
      name,
      String(replicas),
      trafficPercent === undefined ? "" : `${trafficPercent} %`,
      index === 0 ? message : "",
    ]),
  );
  if (rows.length === 0) return "";
  return `\nSites:\n${formatTable(["COMPONENT", "SITE", "REPLICAS", "TRAFFIC", "MESSAGE"], rows)}`;
}

function autoscalingTable({ autoscaling = [] }: ApplicationStatus): string {
  const rows = autoscaling.map((a) => [
    a.component,
    String(a.desiredReplicas),
    a.metrics.map((m) => `${m.name} ${m.current ?? "unknown"}/${m.target}`).join(", "),
    a.message ?? "",
  ]);
  if (rows.length === 0) return "";
  return `\nAutoscaling:\n${formatTable(["COMPONENT", "REPLICAS", "METRICS", "MESSAGE"], rows)}`;
}

/** `application status` and the head of `application describe`. */
export function applicationStatus(
  application: ObjectOf<"Application">,
  assignments: readonly ObjectOf<"Assignment">[],
  nowMs: number,
): string {
  const status = application.status ?? {};
  const components = (status.components ?? []).map((c) => [
    c.name,
    c.type,
    c.type === "Job" ? `${c.succeeded}/${c.desired} done` : `${c.ready}/${c.desired} ready`,
    `${c.placed}/${c.desired}`,
    `${c.updated}/${c.desired}`,
    String(c.failed),
    c.message ?? "",
  ]);
  const instances = assignments.map((a) => {
    const reported = a.status?.reported;
    return [
      a.metadata.name,
      a.spec.node ?? "<none>",
      a.spec.site ?? "",
      reported?.phase ?? "Pending",
      reported?.ready === true ? "yes" : "no",
      String(reported?.restartCount ?? 0),
      a.spec.score === undefined ? "" : a.spec.score.toFixed(3),
      deviceProblem(a) ?? reported?.message ?? a.status?.message ?? "",
    ];
  });
  return [
    heading([
      ["Name:", application.metadata.name],
      ["Namespace:", application.metadata.namespace ?? ""],
      ["Phase:", status.phase ?? "Pending"],
      [
        "Generation:",
        `${application.metadata.generation}, observed ${status.observedGeneration ?? 0}`,
      ],
      ["Age:", age(application.metadata.creationTimestamp ?? undefined, nowMs)],
    ]),
    components.length === 0
      ? ""
      : `\nComponents:\n${formatTable(["NAME", "TYPE", "PROGRESS", "PLACED", "UPDATED", "FAILED", "MESSAGE"], components)}`,
    divisionTable(status),
    autoscalingTable(status),
    instances.length === 0
      ? ""
      : `\nInstances:\n${formatTable(["NAME", "NODE", "SITE", "PHASE", "READY", "RESTARTS", "SCORE", "MESSAGE"], instances)}`,
    conditionTable(status.conditions, nowMs),
  ].join("");
}
