import { describe, expect, test } from "vitest";
import { type GpuRoom, opportunityCost, resourcePartOf } from "./opportunity-cost.ts";
import type { GpuValues } from "./values.ts";

/** Halves and quarters: 750 and more free is worth a half and a quarter, a GPU comes with 8 cores. */
const WORTH = Array.from({ length: 1001 }, (_, free) => Math.floor(free / 250) / 4);
const VALUES: GpuValues = { worth: WORTH, milliCpuPerGpu: 8_000, prices: new Map() };

const room = (milliCpuFree: number, ...gpuFree: readonly number[]): GpuRoom => ({
  milliCpuFree,
  gpuFree,
});
const slice = (milliCpu: number, gpuMilli: number, gpuCount = 1) => ({
  milliCpu,
  gpuCount,
  gpuMilli,
});

describe("opportunity cost", () => {
  test("a slice that fills a rest exactly costs its worth, one that cuts a whole device badly more", () => {
    const { slot: exact } = opportunityCost(VALUES, room(64_000, 250, 1000), slice(1_000, 250));
    const { slot: badly } = opportunityCost(VALUES, room(64_000, 1000), slice(1_000, 260));
    expect([exact, badly]).toEqual([0.25, 0.5]);
  });

  test("the rest that is worth nothing to others costs nothing", () => {
    expect(opportunityCost(VALUES, room(64_000, 200, 1000), slice(0, 150)).slot).toBe(0);
  });

  test("several slices take the cheapest devices, each another one", () => {
    expect(opportunityCost(VALUES, room(64_000, 400, 300, 1000), slice(0, 150, 2)).slot).toBe(0.25);
  });

  test("whole devices have no slot cost, they are used", () => {
    const { slot, strand } = opportunityCost(VALUES, room(64_000, 1000, 1000), slice(8_000, 1000));
    expect([slot, strand]).toEqual([0, 0]);
  });

  test("CPU that idle GPUs need costs the GPUs that lose it", () => {
    const cpuOnly = { milliCpu: 12_000, gpuCount: 0, gpuMilli: 0 };
    expect(opportunityCost(VALUES, room(20_000, 1000, 1000), cpuOnly).strand).toBe(1);
    expect(opportunityCost(VALUES, room(28_000, 1000, 1000), cpuOnly).strand).toBe(0);
  });

  test("taking a GPU that lacks CPU anyway gains", () => {
    expect(opportunityCost(VALUES, room(4_000, 1000, 1000), slice(4_000, 1000)).strand).toBe(-0.5);
  });

  test("without CPU in the mix nothing is stranded", () => {
    const values = { ...VALUES, milliCpuPerGpu: 0 };
    expect(opportunityCost(values, room(0, 1000), slice(0, 1000)).strand).toBe(0);
  });
});

test("the resource part is a half where nothing is lost, falls with what is lost and stays within 0 and 1", () => {
  expect(resourcePartOf(0)).toBe(0.5);
  const lost = [-1e9, -2, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 2, 1e9];
  const parts = lost.map(resourcePartOf);
  expect(parts).toEqual(parts.toSorted((a, b) => b - a));
  expect(new Set(parts).size).toBe(lost.length);
  for (const [i, part] of parts.entries())
    expect(part + (parts.at(-1 - i) ?? 0)).toBeCloseTo(1, 12);
  // Two losses of a quarter are one of a half.
  expect(resourcePartOf(0.25) - resourcePartOf(0.5)).toBeCloseTo(0.5 - resourcePartOf(0.25), 12);
  expect(resourcePartOf(1e9)).toBeGreaterThanOrEqual(0);
  expect(resourcePartOf(-1e9)).toBeLessThanOrEqual(1);
});
