import { MILLI_PER_GPU, type RequestMix, type SliceDemand, sliceDemand } from "./request-mix.ts";

/**
 * What a slice of each size is worth, in GPUs: the dual of "cut the demand out of as few devices as possible" (Gilmore and
 * Gomory 1961). Maximise the worth of the demand such that no way to cut one device is worth more than one device. Ways to
 * cut are many, so they are added as they are violated; which one is, a knapsack tells.
 */

/** Maximise `objective · x` with every row's `coefficients · x ≤ max` and `x ≥ 0`. */
export interface LinearProgram {
  readonly objective: readonly number[];
  readonly rows: readonly { readonly coefficients: readonly number[]; readonly max: number }[];
}

/** Solves a linear program; undefined when it found no optimum. Injected: the solver is no part of the pure core. */
export type SolveLinearProgram = (program: LinearProgram) => readonly number[] | undefined;

/** Pieces of each size that one device is cut into, in the order of the sizes. */
export type Pattern = readonly number[];

/** Price of each slice size, in GPUs. */
export type SlotPrices = ReadonlyMap<number, number>;

/** Most rounds of solving and adding a pattern. The prices of the last round are then scaled down until no pattern is violated. */
export const ROUNDS_MAX = 200;

/** Share by which a pattern may be worth more than a device before it counts as violated. */
const TOLERANCE = 1e-7;

/** The linear program of these sizes with the patterns known so far. */
export function slotPriceProblem(
  demand: readonly SliceDemand[],
  patterns: readonly Pattern[],
): LinearProgram {
  const total = demand.reduce((sum, { count }) => sum + count, 0);
  return {
    // Shares, so that the solver's tolerances mean the same for ten requests and for ten million.
    objective: demand.map(({ count }) => (total > 0 ? count / total : 0)),
    rows: patterns.map((coefficients) => ({ coefficients, max: 1 })),
  };
}

/** Prices for a mix. A solver that fails leaves each size at its share of a device that is cut into equal pieces. */
export function slotPrices(mix: RequestMix, solve: SolveLinearProgram): SlotPrices {
  const steps = slotPriceSteps(mix, solve);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** As `slotPrices`, one linear program a step: who has other things to do does them between two. */
export function* slotPriceSteps(
  mix: RequestMix,
  solve: SolveLinearProgram,
): Generator<undefined, SlotPrices, undefined> {
  const demand = sliceDemand(mix);
  const sizes = demand.map(({ milli }) => milli);
  const patterns: Pattern[] = sizes.map((size, i) =>
    sizes.map((_, j) => (i === j ? Math.floor(MILLI_PER_GPU / size) : 0)),
  );
  let prices: readonly number[] = sizes.map((size) => 1 / Math.floor(MILLI_PER_GPU / size));
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const solved = solve(slotPriceProblem(demand, patterns));
    if (solved === undefined || !solved.every((p) => p >= 0 && p <= 1 + TOLERANCE)) break;
    prices = solved;
    const { pattern, worth } = dearestPattern(sizes, prices);
    if (worth <= 1 + TOLERANCE) break;
    patterns.push(pattern);
    yield;
  }
  const scale = Math.max(1, dearestPattern(sizes, prices).worth);
  const rounded = sizes.map((size, i) => [size, roundedPrice((prices[i] ?? 0) / scale)] as const);
  // A whole device is the unit, also where nobody asks for one.
  return new Map([...rounded, [MILLI_PER_GPU, 1]]);
}

/** Worth of a device by its free milli (0 to 1,000): the best that can still be cut from it (unbounded knapsack). */
export function worthByFree(prices: SlotPrices): readonly number[] {
  const worth: number[] = [0];
  for (let free = 1; free <= MILLI_PER_GPU; free++) {
    let best = worth[free - 1] ?? 0;
    for (const [size, price] of prices)
      if (size <= free) best = Math.max(best, price + (worth[free - size] ?? 0));
    worth.push(best);
  }
  return worth;
}

function dearestPattern(
  sizes: readonly number[],
  prices: readonly number[],
): { readonly pattern: Pattern; readonly worth: number } {
  const worth = worthByFree(new Map(sizes.map((size, i) => [size, prices[i] ?? 0])));
  const pattern = sizes.map(() => 0);
  let free = MILLI_PER_GPU;
  while (free > 0) {
    const whole = worth[free] ?? 0;
    const piece = sizes.findIndex(
      (size, i) => size <= free && (prices[i] ?? 0) + (worth[free - size] ?? 0) >= whole,
    );
    if (piece < 0 || whole === 0) free -= 1;
    else {
      pattern[piece] = (pattern[piece] ?? 0) + 1;
      free -= sizes[piece] ?? free;
    }
  }
  return { pattern, worth: worth[MILLI_PER_GPU] ?? 0 };
}

/** Nine digits: the noise of the solver decides nothing. */
function roundedPrice(price: number): number {
  return Math.round(price * 1e9) / 1e9;
}
