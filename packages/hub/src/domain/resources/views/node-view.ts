import { formatBytes, formatMilliCpu } from "@flotilla/shared/kernel/quantity";
import type { Capacity, Inventory } from "@flotilla/shared/model/capacity";
import { GPU_RESOURCE, migResourceOf } from "@flotilla/shared/model/gpu-resources";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { allocatable } from "@flotilla/shared/scheduling/facts";
import { SITE_LABEL } from "../../enrolment/join.ts";
import { devicesOf } from "../../scheduling/devices.ts";
import type { ServedObject } from "../api-object.ts";
import { isJsonObject, type JsonObject, objectAt } from "../body-shape.ts";

/** core/v1 Node of an EdgeNode, so that kubectl, k9s and dashboards show the fleet without knowing our kinds. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64",
  x86_64: "amd64",
  aarch64: "arm64",
};
/** Instances that one desired state can hold. */
const INSTANCES_MAX = 1_000;

type EdgeNode = ObjectOf<"EdgeNode">;

/** The projection; it has the uid and the resourceVersion of what it shows. */
export function nodeView(node: EdgeNode): ServedObject {
  const { status = {}, spec } = node;
  const { capacity } = status;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { ...node.metadata, labels: { ...node.metadata.labels, ...ownLabels(node) } },
    spec: {
      ...(isCordoned(node) ? { unschedulable: true } : {}),
      ...(spec.taints === undefined ? {} : { taints: spec.taints }),
    },
    status: {
      capacity: resourceList(capacity, status.inventory),
      allocatable: resourceList(
        capacity === undefined ? undefined : allocatable({ capacity }),
        status.inventory,
      ),
      conditions: status.conditions ?? [],
      addresses: [{ type: "Hostname", address: node.metadata.name }],
      nodeInfo: nodeInfo(node, status.inventory),
    },
  };
}

/**
 * The EdgeNode that a write to its Node asks for: labels, annotations, `spec.unschedulable` and `spec.taints`; what kubectl
 * cordon, taint, label and annotate write. Everything else of a Node is told by the device.
 */
export function nodeWrite(node: EdgeNode, asked: JsonObject): JsonObject {
  const spec = objectAt(asked, "spec");
  const metadata = objectAt(asked, "metadata");
  const { unschedulable: _before, drain: _drain, taints: _taints, ...kept } = node.spec;
  const cordoned = spec["unschedulable"] === true;
  const taints = spec["taints"];
  return {
    apiVersion: node.apiVersion,
    kind: node.kind,
    metadata: {
      ...node.metadata,
      labels: withoutOwn(objectAt(metadata, "labels"), ownLabels(node)),
      annotations: objectAt(metadata, "annotations"),
      finalizers: metadata["finalizers"] ?? null,
      resourceVersion: metadata["resourceVersion"],
    },
    spec: {
      ...kept,
      ...(cordoned ? cordonOf(node) : {}),
      ...(Array.isArray(taints) && taints.length > 0
        ? { taints: taints.map((t: unknown) => withoutEmpty(t)) }
        : {}),
    },
  };
}

function isCordoned(node: EdgeNode): boolean {
  return node.spec.unschedulable === true || node.spec.drain === true;
}

/** A drain goes on under a write that leaves the node cordoned, and ends with uncordon. */
function cordonOf(node: EdgeNode): JsonObject {
  const { unschedulable, drain } = node.spec;
  if (!isCordoned(node)) return { unschedulable: true };
  return {
    ...(unschedulable === undefined ? {} : { unschedulable }),
    ...(drain === undefined ? {} : { drain }),
  };
}

function ownLabels(node: EdgeNode): Readonly<Record<string, string>> {
  const architecture = node.status?.inventory?.architecture;
  return {
    "kubernetes.io/hostname": node.metadata.name,
    "kubernetes.io/os": "linux",
    ...(architecture === undefined
      ? {}
      : { "kubernetes.io/arch": ARCHITECTURES[architecture] ?? architecture }),
    "node-role.kubernetes.io/edge": "",
    [SITE_LABEL]: node.spec.site,
  };
}

function withoutOwn(labels: JsonObject, own: Readonly<Record<string, string>>): JsonObject {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !Object.hasOwn(own, key)));
}

/** kubectl writes `value: ""` for a taint without one. */
function withoutEmpty(taint: unknown): unknown {
  if (!isJsonObject(taint)) return taint;
  return Object.fromEntries(Object.entries(taint).filter(([, value]) => value !== ""));
}

function resourceList(
  capacity: Capacity | undefined,
  inventory: Inventory | undefined,
): Readonly<Record<string, string>> {
  if (capacity === undefined) return {};
  return {
    cpu: formatMilliCpu(capacity.milliCpu),
    memory: formatBytes(capacity.memoryBytes),
    "ephemeral-storage": formatBytes(capacity.diskBytes),
    pods: String(INSTANCES_MAX),
    ...deviceList(capacity, inventory),
  };
}

/** Cards, and MIG devices by profile, as NVIDIA's device plugin would list them; slices are no resource of their own there. */
function deviceList(
  { gpuCount }: Capacity,
  inventory: Inventory | undefined,
): Readonly<Record<string, string>> {
  const counts = new Map<string, number>();
  if (inventory === undefined) counts.set(GPU_RESOURCE, gpuCount);
  for (const { migProfile } of devicesOf(inventory?.gpus ?? [], new Map())) {
    const name = migProfile === undefined ? GPU_RESOURCE : migResourceOf(migProfile);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return Object.fromEntries(
    [...counts].filter(([, count]) => count > 0).map(([name, count]) => [name, String(count)]),
  );
}

function nodeInfo(node: EdgeNode, inventory: Inventory | undefined): JsonObject {
  const { status } = node;
  const architecture = inventory?.architecture ?? "";
  return {
    machineID: "",
    systemUUID: "",
    bootID: status?.bootId ?? "",
    kernelVersion: inventory?.kernelVersion ?? "",
    osImage: inventory?.operatingSystem ?? "",
    containerRuntimeVersion: (inventory?.runtimes ?? []).map((r) => `${r}://`).join(","),
    kubeletVersion: status?.agentVersion ?? "",
    kubeProxyVersion: "",
    operatingSystem: "linux",
    architecture: ARCHITECTURES[architecture] ?? architecture,
  };
}
