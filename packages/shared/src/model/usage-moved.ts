import type { Capacity, GpuUsage, Usage } from "./capacity.ts";

/** How far a usage may be from the last one before it counts as moved. */
export interface UsageSteps {
  readonly cpuRatio: number;
  /** Of the node's memory. */
  readonly memoryRatio: number;
  /** Of the node's disk. */
  readonly diskRatio: number;
  readonly temperatureCelsius: number;
  readonly pressureRatio: number;
  readonly gpuUtilizationRatio: number;
  readonly gpuMemoryBytes: number;
  readonly gpuPowerWatts: number;
  /** Network rates are compared on a scale of powers: so many times as much … */
  readonly networkFactor: number;
  /** … and at least this much. */
  readonly networkFloorBytesPerSecond: number;
}

/** True when something of the usage is at least a step away, or a value has appeared or disappeared. */
export function usageMoved(
  last: Usage,
  next: Usage,
  { capacity, steps }: { readonly capacity: Capacity; readonly steps: UsageSteps },
): boolean {
  return (
    moved(last.cpuRatio, next.cpuRatio, steps.cpuRatio) ||
    moved(last.memoryUsedBytes, next.memoryUsedBytes, steps.memoryRatio * capacity.memoryBytes) ||
    moved(last.diskUsedBytes, next.diskUsedBytes, steps.diskRatio * capacity.diskBytes) ||
    moved(last.temperatureCelsius, next.temperatureCelsius, steps.temperatureCelsius) ||
    moved(last.pressure?.cpuRatio, next.pressure?.cpuRatio, steps.pressureRatio) ||
    moved(last.pressure?.memoryRatio, next.pressure?.memoryRatio, steps.pressureRatio) ||
    moved(last.pressure?.ioRatio, next.pressure?.ioRatio, steps.pressureRatio) ||
    rateMoved(last.networkReceiveBytesPerSecond, next.networkReceiveBytesPerSecond, steps) ||
    rateMoved(last.networkTransmitBytesPerSecond, next.networkTransmitBytesPerSecond, steps) ||
    gpusMoved(last.gpus ?? [], next.gpus ?? [], steps)
  );
}

function gpusMoved(
  last: readonly GpuUsage[],
  next: readonly GpuUsage[],
  steps: UsageSteps,
): boolean {
  if (last.length !== next.length) return true;
  return next.some((gpu) => {
    const before = last.find((g) => g.uuid === gpu.uuid);
    return (
      before === undefined ||
      moved(before.utilizationRatio, gpu.utilizationRatio, steps.gpuUtilizationRatio) ||
      moved(before.memoryUsedBytes, gpu.memoryUsedBytes, steps.gpuMemoryBytes) ||
      moved(before.temperatureCelsius, gpu.temperatureCelsius, steps.temperatureCelsius) ||
      moved(before.powerWatts, gpu.powerWatts, steps.gpuPowerWatts)
    );
  });
}

/** One that stays equal has not moved, whatever the step: of a disk of no bytes the step is nothing. */
function moved(last: number | undefined, next: number | undefined, step: number): boolean {
  if (last === undefined || next === undefined) return last !== next;
  return last !== next && Math.abs(next - last) >= step;
}

function rateMoved(last: number | undefined, next: number | undefined, steps: UsageSteps): boolean {
  if (last === undefined || next === undefined) return last !== next;
  const [low, high] = [Math.min(last, next), Math.max(last, next)];
  return high >= steps.networkFloorBytesPerSecond && high >= low * steps.networkFactor;
}
