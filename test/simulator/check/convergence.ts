import { runDigest } from "@flotilla/edge-agent/domain/reconcile/devices";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Depot } from "../artifact/depot.ts";
import type { HubState } from "../hub/hub-state.ts";
import type { Machine } from "../node/machine.ts";
import { isApplication, isAssignment, isNode } from "./kinds.ts";
import { artifactsLeft, isBad } from "./settled.ts";

/**
 * What is not yet as it should be when nothing fails any more (invariant 4): what the hub wants, what it believes, what the
 * node has accepted and what really runs must be one and the same. A node that is `away` has no hub and must run what it
 * last accepted. Empty: converged.
 */
export function differences(
  hub: HubState,
  machines: readonly Machine[],
  { away, depot }: { readonly away?: Machine | undefined; readonly depot: Depot | undefined },
): readonly string[] {
  const assignments = hub.ofKind("Assignment").filter(isAssignment);
  const here = assignments.filter((a) => away === undefined || a.spec.node !== away.name);
  return [
    ...hub
      .ofKind("Application")
      .filter(isApplication)
      .flatMap((a) => ofApplication(a, assignments)),
    ...here.flatMap((a) => ofAssignment(a, hub, depot)),
    ...machines.flatMap((m) =>
      m === away ? ofProcesses(m, (i) => i.artifacts !== undefined) : ofMachine(m, hub, depot),
    ),
  ];
}

function ofApplication(
  { metadata, spec }: ObjectOf<"Application">,
  assignments: readonly ObjectOf<"Assignment">[],
): readonly string[] {
  return spec.components.flatMap((component) => {
    if (component.type !== "Deployment") return [];
    const wanted = component.template.spec.replicas ?? 1;
    const found = assignments.filter(
      (a) => a.spec.applicationUid === metadata.uid && a.spec.component === component.name,
    ).length;
    return found === wanted
      ? []
      : [`${metadata.name}/${component.name} has ${found} assignments of ${wanted}`];
  });
}

function ofAssignment(
  assignment: ObjectOf<"Assignment">,
  hub: HubState,
  depot: Depot | undefined,
): readonly string[] {
  const { metadata, spec, status } = assignment;
  if (![...hub.objects.values()].some((o) => o.metadata.uid === spec.applicationUid))
    return [`${metadata.name} belongs to an Application that is gone`];
  if (spec.node === undefined)
    return status?.message === undefined ? [`${metadata.name} has no node and no reason`] : [];
  const { reported, reportedBy } = status ?? {};
  if (reported === undefined || reportedBy !== spec.node)
    return [`${metadata.name} is not reported by ${spec.node}`];
  if (isBad(spec.desired, depot)) return artifactsLeft(assignment, reported, depot);
  if (reported.specDigest !== spec.desired.specDigest)
    return [`${metadata.name} is reported with an old spec`];
  const isRight =
    spec.desired.kind === "Job"
      ? reported.phase === "Succeeded" || reported.phase === "Failed"
      : reported.phase === "Running" && reported.ready;
  return isRight
    ? artifactsLeft(assignment, reported, depot)
    : [`${metadata.name} on ${spec.node} is ${reported.phase} ${reported.reason ?? ""}`];
}

function ofMachine(machine: Machine, hub: HubState, depot: Depot | undefined): readonly string[] {
  const { name } = machine;
  const node = hub.ofKind("EdgeNode").find((o) => o.metadata.name === name);
  const status = node !== undefined && isNode(node) ? (node.status ?? {}) : {};
  const wanted = hub.desired.get(name)?.revision ?? 0;
  const accepted = machine.disk.database.desired?.state;
  // What has failed there stays undone.
  const isWhole = accepted?.instances.some((i) => isBad(i, depot)) !== true;
  const converged = isWhole ? (status.convergedRevision ?? 0) : wanted;
  return [
    ...(status.life === "ready" ? [] : [`${name} is ${status.life ?? "unknown"}`]),
    ...differs(`${name}: accepted revision`, accepted?.revision ?? 0, wanted),
    ...differs(`${name}: reported as accepted`, status.acceptedRevision ?? 0, wanted),
    ...differs(`${name}: reported as converged`, converged, wanted),
    ...assignedDiffers(name, hub, accepted?.instances ?? []),
    ...ofProcesses(machine, (i) => isBad(i, depot)),
  ];
}

/** What runs against what was accepted; a program that does not exist cannot run, and what is excepted is not looked at. */
function ofProcesses(
  machine: Machine,
  isExcepted: (instance: DesiredInstance) => boolean,
): readonly string[] {
  const { desired, instances } = machine.disk.database;
  // A node that has lost its desired state judges nothing that runs until it is told again.
  if (desired === undefined) return [];
  const excepted = new Set(desired.state.instances.filter(isExcepted).map((i) => i.id));
  const wanted = desired.state.instances
    .filter((i) => !excepted.has(i.id))
    .filter((i) => instances.get(i.id)?.intent !== "finished")
    .filter((i) => i.containers.every((c) => c.command?.[0] !== "missing"))
    .flatMap((i) => i.containers.map((c) => `${i.id}/${c.name}/${briefly(runDigest(i))}`));
  const running = [...machine.processes.values()]
    .filter((p) => !excepted.has(p.instanceId))
    .map((p) => `${p.instanceId}/${p.container}/${briefly(p.specDigest)}`);
  const what = `${machine.name}: processes`;
  return differs(what, running.sort().join(" "), wanted.sort().join(" "));
}

/** The spec's digest cut short, and the devices. */
function briefly(digest: string): string {
  const [spec = "", devices = ""] = digest.split(" ");
  return `${spec.slice(0, 6)}${devices}`;
}

function assignedDiffers(
  node: string,
  hub: HubState,
  instances: readonly { readonly id: string; readonly specDigest: string }[],
): readonly string[] {
  const assigned = hub
    .ofKind("Assignment")
    .filter(isAssignment)
    .filter((a) => a.spec.node === node)
    .map((a) => `${a.spec.desired.id}/${a.spec.desired.specDigest.slice(0, 6)}`);
  const desired = instances.map((i) => `${i.id}/${i.specDigest.slice(0, 6)}`);
  return differs(`${node}: desired instances`, desired.sort().join(" "), assigned.sort().join(" "));
}

function differs(what: string, is: string | number, should: string | number): readonly string[] {
  return is === should ? [] : [`${what}: ${is}, should be ${should}`];
}
