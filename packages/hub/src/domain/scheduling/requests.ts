import { parseBytes, parseMilliCpu, parseQuantity } from "@flotilla/shared/kernel/quantity";
import type { Capacity } from "@flotilla/shared/model/capacity";
import type { Container } from "@flotilla/shared/model/workload";

/** What the containers of one instance ask for, together. */
export interface Requests {
  readonly amounts: Capacity;
  /** Resources that no node reports, by name. */
  readonly otherAmounts: Readonly<Record<string, number>>;
  readonly runtime: "process" | "container";
  /** `TCP/8080`, without repetition. */
  readonly ports: readonly string[];
}

/** Sums requests over containers; where there is no request the limit counts as one, as in Kubernetes. */
export function requestsOf(containers: readonly Container[]): Requests {
  const totals = new Map<string, number>();
  for (const container of containers) {
    const { requests = {}, limits = {} } = container.resources ?? {};
    for (const [name, quantity] of Object.entries({ ...limits, ...requests }))
      totals.set(name, (totals.get(name) ?? 0) + valueOf(name, quantity));
  }
  const take = (name: string): number => {
    const value = totals.get(name) ?? 0;
    totals.delete(name);
    return value;
  };
  const amounts: Capacity = {
    milliCpu: take("cpu"),
    memoryBytes: take("memory"),
    diskBytes: take("ephemeral-storage") + take("storage"),
    gpuCount: Math.ceil(take("nvidia.com/gpu")),
  };
  const runtime = containers.every((c) => c.command !== undefined) ? "process" : "container";
  return {
    amounts,
    otherAmounts: Object.fromEntries(totals),
    runtime,
    ports: hostPortsOf(containers, runtime),
  };
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
