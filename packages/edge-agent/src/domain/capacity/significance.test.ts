import type { CapacityReading } from "@flotilla/shared/model/capacity";
import fc from "fast-check";
import { expect, test } from "vitest";
import { FULL_REPORT_INTERVAL_MS, isWorthSending, STEP } from "./significance.ts";

const GIB = 2 ** 30;
function reading(
  usage: Partial<CapacityReading["usage"]> = {},
  capacity: Partial<CapacityReading["capacity"]> = {},
): CapacityReading {
  return {
    capacity: {
      milliCpu: 4000,
      memoryBytes: 8 * GIB,
      diskBytes: 100 * GIB,
      gpuCount: 0,
      ...capacity,
    },
    usage: { cpuRatio: 0.2, memoryUsedBytes: 2 * GIB, diskUsedBytes: 10 * GIB, ...usage },
  };
}
const sent = { reading: reading(), sentBootMs: 0 };

test("the first reading is sent, the same again is not, and after an hour it is", () => {
  expect(isWorthSending(undefined, reading(), 0)).toBe(true);
  expect(isWorthSending(sent, reading(), FULL_REPORT_INTERVAL_MS - 1)).toBe(false);
  expect(isWorthSending(sent, reading(), FULL_REPORT_INTERVAL_MS)).toBe(true);
});

test("any change of capacity is sent at once", () => {
  expect(isWorthSending(sent, reading({}, { gpuCount: 1 }), 1)).toBe(true);
});

test("a sensor that appears is sent, a quiet network is not", () => {
  expect(isWorthSending(sent, reading({ temperatureCelsius: 40 }), 1)).toBe(true);
  const quiet = { reading: reading({ networkReceiveBytesPerSecond: 10 }), sentBootMs: 0 };
  expect(isWorthSending(quiet, reading({ networkReceiveBytesPerSecond: 900_000 }), 1)).toBe(false);
  expect(isWorthSending(quiet, reading({ networkReceiveBytesPerSecond: 5_000_000 }), 1)).toBe(true);
});

test("CPU is sent exactly when it moved by the step, whatever the path between", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (cpuRatio) => {
      expect(isWorthSending(sent, reading({ cpuRatio }), 1)).toBe(
        Math.abs(cpuRatio - 0.2) >= STEP.cpuRatio,
      );
    }),
    { seed: 42 },
  );
});
