import type { CapacityReading, Gpu, Inventory } from "@flotilla/shared/model/capacity";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ReportedInstance } from "@flotilla/shared/model/reported-state";

const GIB = 2 ** 30;

/** Builders of hub objects for tests: plausible defaults, changed by what is given. */
export function edgeNode(
  name: string,
  status: NonNullable<ObjectOf<"EdgeNode">["status"]> = { life: "registered" },
): ObjectOf<"EdgeNode"> {
  return {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "EdgeNode",
    metadata: { name, uid: `uid-${name}`, generation: 1 },
    spec: { site: "site-1" },
    status,
  };
}

export function inventory(): Inventory {
  return {
    architecture: "x64",
    operatingSystem: "linux",
    kernelVersion: "6.1",
    cpuModel: "cpu",
    manufacturer: "maker",
    machineModel: "machine",
    runtimes: ["process"],
    gpus: [],
  };
}

/** Cards of a node: `GPU-<node>-0` and on. */
export function gpus(node: string, count: number, change: Partial<Gpu> = {}): readonly Gpu[] {
  return Array.from({ length: count }, (_, index) => ({
    uuid: `GPU-${node}-${index}`,
    index,
    vendor: "nvidia",
    model: "NVIDIA A100-SXM4-80GB",
    memoryBytes: 80 * GIB,
    ...change,
  }));
}

export function reading(
  change: {
    capacity?: Partial<CapacityReading["capacity"]>;
    usage?: Partial<CapacityReading["usage"]>;
  } = {},
): CapacityReading {
  return {
    capacity: {
      milliCpu: 4000,
      memoryBytes: 8 * GIB,
      diskBytes: 100 * GIB,
      gpuCount: 0,
      ...change.capacity,
    },
    usage: { cpuRatio: 0.2, memoryUsedBytes: GIB, diskUsedBytes: 10 * GIB, ...change.usage },
  };
}

export function desiredInstance(
  id = "shop.web.api-0",
  change: Partial<DesiredInstance> = {},
): DesiredInstance {
  return {
    id,
    namespace: "shop",
    application: "web",
    component: "api",
    index: 0,
    kind: "Deployment",
    specDigest: "digest-1",
    runtime: "process",
    restartPolicy: "Always",
    backoffLimit: 6,
    terminationGracePeriodSeconds: 30,
    containers: [{ name: "main", command: ["/bin/true"] }],
    ...change,
  };
}

export function assignment(
  name: string,
  node: string | undefined,
  desired: DesiredInstance = desiredInstance(`shop.web.${name}`),
): ObjectOf<"Assignment"> {
  return {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "Assignment",
    metadata: { name, namespace: "shop", uid: `uid-${name}`, generation: 1 },
    spec: {
      application: "web",
      applicationUid: "uid-web",
      component: "api",
      index: 0,
      ...(node === undefined ? {} : { node }),
      requests: { milliCpu: 100, memoryBytes: 1024, diskBytes: 0, gpuCount: 0 },
      desired,
    },
  };
}

export function reportedInstance(
  id: string,
  change: Partial<ReportedInstance> = {},
): ReportedInstance {
  return { id, specDigest: "digest-1", phase: "Running", ready: true, restartCount: 0, ...change };
}
