import { parseBytes, parseMilliCpu, parseQuantity } from "@flotilla/shared/kernel/quantity";
import type { Capacity } from "@flotilla/shared/model/capacity";
import {
  GPU_MILLI_RESOURCE,
  GPU_RESOURCE,
  migProfileOf,
} from "@flotilla/shared/model/gpu-resources";
import type { Placement } from "@flotilla/shared/model/resources/placement";
import type { Container } from "@flotilla/shared/model/workload";
import type { GpuRequest } from "@flotilla/shared/scheduling/facts";
import { MILLI_PER_GPU } from "@flotilla/shared/scheduling/gpu/request-mix";
import { gpuRequestOf } from "./gpu-request.ts";

/** What the containers of one instance ask for, together. */
export interface Requests {
  /** `gpuCount`: whole cards only. */
  readonly amounts: Capacity;
  /** Absent: no accelerator. */
  readonly gpu?: GpuRequest;
  /** Resources that no node reports, by name. */
  readonly otherAmounts: Readonly<Record<string, number>>;
  readonly runtime: "process" | "container";
  /** `TCP/8080`, without repetition. */
  readonly ports: readonly string[];
}

/**
 * Sums requests over containers; where there is no request the limit counts as one, as in Kubernetes. `placements` say which
 * accelerators will do.
 */
export function requestsOf(
  containers: readonly Container[],
  placements: readonly Placement[],
): Requests {
  const each = containers.map(({ resources }) => {
    const { requests = {}, limits = {} } = resources ?? {};
    return new Map(
      Object.entries({ ...limits, ...requests }).map(([name, q]) => [name, valueOf(name, q)]),
    );
  });
  const totals = new Map<string, number>();
  for (const amounts of each)
    for (const [name, value] of amounts) totals.set(name, (totals.get(name) ?? 0) + value);
  const take = (name: string): number => {
    const value = totals.get(name) ?? 0;
    totals.delete(name);
    return value;
  };
  const gpu = gpuRequestOf(each, placements);
  const whole = gpu?.milli === MILLI_PER_GPU && gpu.migProfile === undefined;
  for (const name of totals.keys()) if (isServed(name, gpu)) totals.delete(name);
  const amounts: Capacity = {
    milliCpu: take("cpu"),
    memoryBytes: take("memory"),
    diskBytes: take("ephemeral-storage") + take("storage"),
    gpuCount: whole ? gpu.count : 0,
  };
  const runtime = containers.every((c) => c.command !== undefined) ? "process" : "container";
  return {
    amounts,
    ...(gpu === undefined ? {} : { gpu }),
    otherAmounts: Object.fromEntries(totals),
    runtime,
    ports: hostPortsOf(containers, runtime),
  };
}

/** Whether the accelerators of the request stand for this resource. */
function isServed(name: string, gpu: GpuRequest | undefined): boolean {
  if (name === GPU_RESOURCE || name === GPU_MILLI_RESOURCE) return true;
  return gpu?.migProfile !== undefined && migProfileOf(name) === gpu.migProfile;
}

/**
 * With the process runtime a containerPort is a port of the machine. (With a container runtime only a hostPort will be.)
 */
export function hostPortsOf(
  containers: readonly Container[],
  runtime: "process" | "container",
): readonly string[] {
  const ports = containers.flatMap((c) =>
    (c.ports ?? []).flatMap((p) => {
      const port = p.hostPort ?? (runtime === "process" ? p.containerPort : undefined);
      return port === undefined ? [] : [`${p.protocol ?? "TCP"}/${port}`];
    }),
  );
  return [...new Set(ports)];
}

/** A quantity that cannot be read asks for more than there is: it must not count as nothing. */
function valueOf(name: string, quantity: string | number): number {
  const value =
    name === "cpu"
      ? parseMilliCpu(quantity)
      : name === "memory" || name.endsWith("storage")
        ? parseBytes(quantity)
        : parseQuantity(quantity);
  return value ?? Number.MAX_SAFE_INTEGER;
}
