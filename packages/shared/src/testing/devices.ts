import type { GpuTier } from "../model/capacity.ts";
import type { DeviceFacts, GpuRequest } from "../scheduling/facts.ts";

/** A whole idle card, changed by what is given. */
export function device(index: number, over: Partial<DeviceFacts> = {}): DeviceFacts {
  return {
    uuid: `GPU-${index}`,
    index,
    model: "NVIDIA A100-SXM4-80GB",
    memoryBytes: 80 * 2 ** 30,
    freeMilli: 1_000,
    links: new Map(),
    ...over,
  };
}

/** One whole card of any model, changed by what is given. */
export function gpuRequest(over: Partial<GpuRequest> = {}): GpuRequest {
  return { count: 1, milli: 1_000, memoryBytes: 0, topologyRequired: false, ...over };
}

/** Cards that are linked as the rows say: `tiers[i][j]` between card i and card j. */
export function linkedDevices(tiers: readonly (readonly GpuTier[])[]): readonly DeviceFacts[] {
  return tiers.map((row, i) =>
    device(i, {
      links: new Map(
        row.flatMap((tier, j): [string, GpuTier][] => (i === j ? [] : [[`GPU-${j}`, tier]])),
      ),
    }),
  );
}
