import fc from "fast-check";
import { expect, test } from "vitest";
import { CPU_STEP_MILLI, type CpuUse, nextCpuUse } from "./instance-cpu.ts";

const sample = (bootMs: number, cpuMs: number, runId = "r1") => ({ runId, bootMs, cpuMs });
const after = (...samples: readonly ReturnType<typeof sample>[]): CpuUse | undefined =>
  samples.reduce<CpuUse | undefined>((use, next) => nextCpuUse(use, next), undefined);

test("CPU time over time, from the second reading on", () => {
  expect(after(sample(0, 500))?.milliCpu).toBeUndefined();
  expect(after(sample(0, 500), sample(15_000, 8_000))?.milliCpu).toBe(500);
});

test("a step is told, what is smaller is not", () => {
  const base = [sample(0, 0), sample(10_000, 10_000)];
  expect(after(...base, sample(20_000, 20_900))?.milliCpu).toBe(1_000);
  expect(after(...base, sample(20_000, 21_000))?.milliCpu).toBe(1_100);
  expect(after(sample(0, 0), sample(10_000, 0), sample(20_000, 490))?.milliCpu).toBe(0);
  expect(CPU_STEP_MILLI).toBe(50);
});

test("a new run, a sum that fell and a clock that stood still begin anew", () => {
  const base = [sample(0, 0), sample(10_000, 5_000)];
  expect(after(...base, sample(20_000, 100, "r2"))?.milliCpu).toBeUndefined();
  expect(after(...base, sample(20_000, 100))?.milliCpu).toBe(500);
  expect(after(...base, sample(10_000, 9_000))?.milliCpu).toBe(500);
});

test("whatever is read, what is told is a whole number that is not negative", () => {
  const number = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, -1, 1e308));
  fc.assert(
    fc.property(fc.array(fc.tuple(number, number), { maxLength: 5 }), (readings) => {
      const use = after(...readings.map(([boot, cpu]) => sample(boot, cpu)));
      const told = use?.milliCpu ?? 0;
      expect(Number.isSafeInteger(told) && told >= 0).toBe(true);
    }),
    { seed: 20_261_125 },
  );
});
