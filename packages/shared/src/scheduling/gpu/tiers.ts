import type { GpuTier } from "../../model/capacity.ts";

/** Closeness of devices, best first. */
export const GPU_TIERS: readonly GpuTier[] = ["nvlink", "pcie", "numa", "system"];

/** Place in GPU_TIERS: 0 is the closest. */
export function tierRank(tier: GpuTier): number {
  return GPU_TIERS.indexOf(tier);
}
