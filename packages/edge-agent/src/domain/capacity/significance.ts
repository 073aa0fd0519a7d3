import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { CapacityReading, GpuUsage, Usage } from "@flotilla/shared/model/capacity";

/**
 * Is a reading worth a message? A device that says every second what it said before costs uplink, flash and the hub's
 * attention; one that is silent too long is misjudged. A change of capacity is always worth it, a change of usage when it is beyond its step.
 */
export const STEP = {
  cpuRatio: 0.1,
  /** Of the node's memory. */
  memoryRatio: 0.05,
  /** Of the node's disk. */
  diskRatio: 0.02,
  temperatureCelsius: 5,
  pressureRatio: 0.1,
  gpuUtilizationRatio: 0.1,
  gpuMemoryBytes: 512 * 2 ** 20,
  gpuPowerWatts: 50,
  /** Network rates are compared on a scale of powers: four times as much, above this floor. */
  networkFactor: 4,
  networkFloorBytesPerSecond: 1_000_000,
} as const;

/** Everything is sent this often, whether it moved or not. */
export const FULL_REPORT_INTERVAL_MS = 3_600_000;

/** True when `next` should be sent, given what was sent last and when. */
export function isWorthSending(
  last: { readonly reading: CapacityReading; readonly sentBootMs: number } | undefined,
  next: CapacityReading,
  nowBootMs: number,
): boolean {
  if (last === undefined || nowBootMs - last.sentBootMs >= FULL_REPORT_INTERVAL_MS) return true;
  if (!jsonEqual(last.reading.capacity, next.capacity)) return true;
  return usageMoved(last.reading.usage, next.usage, next.capacity);
}

function usageMoved(last: Usage, next: Usage, capacity: CapacityReading["capacity"]): boolean {
  return (
    moved(last.cpuRatio, next.cpuRatio, STEP.cpuRatio) ||
    moved(last.memoryUsedBytes, next.memoryUsedBytes, STEP.memoryRatio * capacity.memoryBytes) ||
    moved(last.diskUsedBytes, next.diskUsedBytes, STEP.diskRatio * capacity.diskBytes) ||
    moved(last.temperatureCelsius, next.temperatureCelsius, STEP.temperatureCelsius) ||
    moved(last.pressure?.cpuRatio, next.pressure?.cpuRatio, STEP.pressureRatio) ||
    moved(last.pressure?.memoryRatio, next.pressure?.memoryRatio, STEP.pressureRatio) ||
    moved(last.pressure?.ioRatio, next.pressure?.ioRatio, STEP.pressureRatio) ||
    rateMoved(last.networkReceiveBytesPerSecond, next.networkReceiveBytesPerSecond) ||
    rateMoved(last.networkTransmitBytesPerSecond, next.networkTransmitBytesPerSecond) ||
    gpusMoved(last.gpus ?? [], next.gpus ?? [])
  );
}

function gpusMoved(last: readonly GpuUsage[], next: readonly GpuUsage[]): boolean {
  if (last.length !== next.length) return true;
  return next.some((gpu) => {
    const before = last.find((g) => g.uuid === gpu.uuid);
    return (
      before === undefined ||
      moved(before.utilizationRatio, gpu.utilizationRatio, STEP.gpuUtilizationRatio) ||
      moved(before.memoryUsedBytes, gpu.memoryUsedBytes, STEP.gpuMemoryBytes) ||
      moved(before.temperatureCelsius, gpu.temperatureCelsius, STEP.temperatureCelsius) ||
      moved(before.powerWatts, gpu.powerWatts, STEP.gpuPowerWatts)
    );
  });
}

/** A value that appears or disappears has moved. */
function moved(last: number | undefined, next: number | undefined, step: number): boolean {
  if (last === undefined || next === undefined) return last !== next;
  return Math.abs(next - last) >= step;
}

function rateMoved(last: number | undefined, next: number | undefined): boolean {
  if (last === undefined || next === undefined) return last !== next;
  const [low, high] = [Math.min(last, next), Math.max(last, next)];
  return high >= STEP.networkFloorBytesPerSecond && high >= low * STEP.networkFactor;
}
