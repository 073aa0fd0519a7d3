import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { CapacityReading } from "@flotilla/shared/model/capacity";
import { type UsageSteps, usageMoved } from "@flotilla/shared/model/usage-moved";

/**
 * Is a reading worth a message? A device that says every second what it said before costs uplink, flash and the hub's
 * attention; one that is silent too long is misjudged. A change of capacity or of cards is always worth it, a change of usage when it is beyond its step.
 */
export const STEP: UsageSteps = {
  cpuRatio: 0.1,
  memoryRatio: 0.05,
  diskRatio: 0.02,
  temperatureCelsius: 5,
  pressureRatio: 0.1,
  gpuUtilizationRatio: 0.1,
  gpuMemoryBytes: 512 * 2 ** 20,
  gpuPowerWatts: 50,
  networkFactor: 4,
  networkFloorBytesPerSecond: 1_000_000,
};

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
  if (!jsonEqual(last.reading.gpus ?? [], next.gpus ?? [])) return true;
  return usageMoved(last.reading.usage, next.usage, { capacity: next.capacity, steps: STEP });
}
