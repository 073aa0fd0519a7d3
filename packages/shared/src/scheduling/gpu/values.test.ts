import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { solveLinearProgram } from "../../platform/linear-program.ts";
import {
  MILLI_PER_GPU,
  mixDistance,
  type RequestMix,
  SLICE_SIZES_MAX,
  sliceDemand,
} from "./request-mix.ts";
import { slotPriceProblem } from "./slot-prices.ts";
import {
  CPU_PER_GPU_MOVED_RATIO,
  type GpuValues,
  gpuValueSteps,
  gpuValues,
  haveMoved,
  WHOLE_DEVICES_ONLY,
  WORTH_MOVED,
  worthOf,
} from "./values.ts";

/** Requests for GPUs of the public trace cluster-trace-gpu-v2023: milli, how many. */
const DEFAULT_SLICES: readonly (readonly [milli: number, count: number])[] = [
  [1000, 3911 + 16 * 2 + 15 * 4 + 44 * 8],
  [810, 1078],
  [470, 750],
  [320, 328],
  [650, 253],
  [230, 140],
  [460, 128],
  [590, 75],
  [160, 74],
  [550, 72],
  [220, 62],
  [370, 47],
  [110, 24],
  [480, 19],
  [50, 7],
  [330, 7],
  [350, 6],
  [270, 4],
  [440, 2],
  [140, 1],
  [290, 1],
];

const mixOf = (slices: readonly (readonly [number, number])[]): RequestMix =>
  slices.map(([gpuMilli, count]) => ({ milliCpu: 8_000, gpuCount: 1, gpuMilli, count }));

const valuesOf = (mix: RequestMix): GpuValues => gpuValues(mix, solveLinearProgram);

describe("slot prices", () => {
  test("of the default trace are those that three solvers found with every pattern written out", () => {
    const { prices } = valuesOf(mixOf(DEFAULT_SLICES));
    const expected: readonly (readonly [price: number, sizes: readonly number[]])[] = [
      [1, [1000, 810]],
      [2 / 3, [650, 590, 550]],
      [1 / 2, [480, 470, 460]],
      [1 / 3, [440, 370, 350, 330, 320]],
      [1 / 4, [290, 270, 230]],
      [1 / 12, [220]],
      [0, [160, 140, 110, 50]],
    ];
    for (const [price, sizes] of expected)
      for (const size of sizes) expect(prices.get(size), `${size} milli`).toBeCloseTo(price, 6);
    expect(prices.size).toBe(DEFAULT_SLICES.length);
  });

  test("are a linear program of demand shares and patterns", () => {
    const demand = [
      { milli: 600, count: 3 },
      { milli: 400, count: 1 },
    ];
    expect(slotPriceProblem(demand, [[1, 1]])).toEqual({
      objective: [0.75, 0.25],
      rows: [{ coefficients: [1, 1], max: 1 }],
    });
  });

  test("fall back to equal pieces of a device when the solver fails", () => {
    const { prices, worth } = gpuValues(
      mixOf([
        [500, 1],
        [300, 1],
      ]),
      () => undefined,
    );
    expect([prices.get(500), prices.get(300)]).toEqual([0.5, 0.333333333]);
    expect(worth[MILLI_PER_GPU]).toBe(1);
  });

  test("rare sizes count as the next larger one that is priced", () => {
    const slices = Array.from({ length: 200 }, (_, i) => [i + 1, i < 100 ? 1 : 50] as const);
    const demand = sliceDemand(mixOf(slices));
    expect(demand).toHaveLength(SLICE_SIZES_MAX);
    expect(demand.reduce((sum, { count }) => sum + count, 0)).toBe(100 + 100 * 50);
  });
});

describe("values", () => {
  test("CPU per GPU is that of the requests with GPUs, slices by their part", () => {
    const mix = [
      { milliCpu: 8_000, gpuCount: 1, gpuMilli: 1000, count: 2 },
      { milliCpu: 2_000, gpuCount: 1, gpuMilli: 500, count: 4 },
      { milliCpu: 90_000, gpuCount: 0, gpuMilli: 0, count: 9 },
    ];
    expect(valuesOf(mix).milliCpuPerGpu).toBe(6_000);
  });

  test("without a request for GPUs a whole device is worth one and CPU strands nothing", () => {
    const values = valuesOf([]);
    expect([worthOf(values, 1000), worthOf(values, 999), values.milliCpuPerGpu]).toEqual([1, 0, 0]);
  });

  test("never fall, start at 0 and end at 1, whatever is asked for", () => {
    const number = fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 0, max: 1_001 }) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(Number.NaN, 1e308, -1, Number.POSITIVE_INFINITY, 0.5),
      },
    );
    const entry = fc.record({
      milliCpu: number,
      gpuCount: fc.oneof(fc.constantFrom(0, 1, 8), number),
      gpuMilli: number,
      count: number,
    });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 30 }), (mix) => {
        const { worth, milliCpuPerGpu, prices } = valuesOf(mix);
        expect([worth.length, worth[0], worth[1000]]).toEqual([1001, 0, expect.closeTo(1, 6)]);
        for (const [free, value] of worth.entries())
          expect(value).toBeGreaterThanOrEqual(worth[free - 1] ?? 0);
        for (const price of prices.values()) expect(price >= 0 && price <= 1).toBe(true);
        expect(Number.isFinite(milliCpuPerGpu) && milliCpuPerGpu >= 0).toBe(true);
      }),
      { seed: 42, numRuns: 60 },
    );
  });

  test("the same mix in another order has the same values", () => {
    const mix = mixOf(DEFAULT_SLICES);
    expect(valuesOf(mix.toReversed()).worth).toEqual(valuesOf(mix).worth);
  });
});

describe("values of another mix", () => {
  test("step by step are those made at once", () => {
    const mix = mixOf(DEFAULT_SLICES);
    const steps = gpuValueSteps(mix, solveLinearProgram);
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    expect(step.value).toEqual(valuesOf(mix));
  });

  test("count as others when decisions can tell them apart", () => {
    const values = valuesOf(mixOf(DEFAULT_SLICES));
    const valuesWith = (by: number, ratio: number): GpuValues => ({
      ...values,
      worth: values.worth.map((worth, free) => (free === 700 ? worth + by : worth)),
      milliCpuPerGpu: values.milliCpuPerGpu * ratio,
    });
    expect(haveMoved(values, valuesWith(WORTH_MOVED * 0.9, 1))).toBe(false);
    expect(haveMoved(values, valuesWith(-WORTH_MOVED * 1.1, 1))).toBe(true);
    expect(haveMoved(values, valuesWith(0, 1 + CPU_PER_GPU_MOVED_RATIO * 0.9))).toBe(false);
    expect(haveMoved(values, valuesWith(0, 1 + CPU_PER_GPU_MOVED_RATIO * 1.1))).toBe(true);
    expect(haveMoved(WHOLE_DEVICES_ONLY, WHOLE_DEVICES_ONLY)).toBe(false);
    expect(haveMoved(WHOLE_DEVICES_ONLY, values)).toBe(true);
  });

  test("mixes are apart by the share of requests that are of other kinds", () => {
    const mix = mixOf([
      [500, 3],
      [300, 1],
    ]);
    expect(mixDistance(mix, mix)).toBe(0);
    expect(
      mixDistance(
        mix,
        mixOf([
          [500, 300],
          [300, 100],
        ]),
      ),
    ).toBe(0);
    expect(mixDistance(mix, mixOf([[500, 4]]))).toBe(0.25);
    expect(mixDistance(mix, mixOf([[100, 1]]))).toBe(1);
    const noGpus = [{ milliCpu: 1, gpuCount: 0, gpuMilli: 0, count: 9 }];
    expect([mixDistance([], noGpus), mixDistance(noGpus, mix)]).toEqual([0, 1]);
    const hostile = [{ milliCpu: Number.NaN, gpuCount: 1, gpuMilli: 1e308, count: -1 }];
    expect(mixDistance(hostile, mix)).toBe(1);
  });
});
