import { expect, test } from "vitest";
import type { Usage } from "./capacity.ts";
import { type UsageSteps, usageMoved } from "./usage-moved.ts";

const steps: UsageSteps = {
  cpuRatio: 0.1,
  memoryRatio: 0.05,
  diskRatio: 0.02,
  temperatureCelsius: 5,
  pressureRatio: 0.1,
  gpuUtilizationRatio: 0.1,
  gpuMemoryBytes: 512,
  gpuPowerWatts: 50,
  networkFactor: 4,
  networkFloorBytesPerSecond: 1_000_000,
};
const capacity = { milliCpu: 1_000, memoryBytes: 1_000, diskBytes: 1_000, gpuCount: 2 };
const base: Usage = {
  cpuRatio: 0.2,
  memoryUsedBytes: 100,
  diskUsedBytes: 100,
  networkReceiveBytesPerSecond: 1_000_000,
  temperatureCelsius: 40,
  pressure: { ioRatio: 0.1 },
  gpus: [
    { uuid: "a", utilizationRatio: 0.5, powerWatts: 100 },
    { uuid: "b", memoryUsedBytes: 1_000 },
  ],
};
const after = (change: Partial<Usage>, of = capacity): boolean =>
  usageMoved(base, { ...base, ...change }, { capacity: of, steps });

test.each<[string, Partial<Usage>, boolean]>([
  ["nothing", {}, false],
  ["CPU below its step", { cpuRatio: 0.29 }, false],
  ["CPU by its step", { cpuRatio: 0.31 }, true],
  ["memory below its share of the whole", { memoryUsedBytes: 149 }, false],
  ["memory by its share of the whole", { memoryUsedBytes: 150 }, true],
  ["disk, downwards", { diskUsedBytes: 80 }, true],
  ["temperature", { temperatureCelsius: 45 }, true],
  ["pressure of one kind", { pressure: { ioRatio: 0.3 } }, true],
  ["pressure of a kind that appears", { pressure: { ioRatio: 0.1, cpuRatio: 0 } }, true],
  ["network, twice as much", { networkReceiveBytesPerSecond: 2_000_000 }, false],
  ["network, four times as much", { networkReceiveBytesPerSecond: 4_000_000 }, true],
  ["network that appears", { networkTransmitBytesPerSecond: 0 }, true],
  ["GPUs in another order", { gpus: base.gpus?.toReversed() ?? [] }, false],
  ["a GPU less", { gpus: [{ uuid: "b", memoryUsedBytes: 1_000 }] }, true],
  ["GPUs that no driver tells of any more", { gpus: [] }, true],
])("%s", (_what, change, isMoved) => {
  expect(after(change)).toBe(isMoved);
});

test("a node without a disk has not moved when it says the same again", () => {
  expect(after({}, { ...capacity, diskBytes: 0, memoryBytes: 0 })).toBe(false);
});

test("no list of GPUs and an empty one are the same", () => {
  const { gpus: _gpus, ...bare } = base;
  expect(usageMoved(bare, { ...bare, gpus: [] }, { capacity, steps })).toBe(false);
});
