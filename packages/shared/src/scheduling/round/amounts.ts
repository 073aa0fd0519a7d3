import { AMOUNT_MAX, type Shape } from "../engine/shape.ts";

/** Amounts of what queues share out. */
export interface Amounts {
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** Thousandths of a GPU. */
  readonly gpuMilli: number;
}

/** Resources in the order of vectors. */
export const RESOURCES = ["milliCpu", "memoryBytes", "diskBytes", "gpuMilli"] as const;

/** Amounts as a vector in the order of RESOURCES: what is counted with. */
export type Vector = Float64Array;

export function zeros(): Vector {
  return new Float64Array(RESOURCES.length);
}

export function filled(value: number): Vector {
  return new Float64Array(RESOURCES.length).fill(value);
}

/** Adds `factor` times the amounts. */
export function add(to: Vector, amounts: Vector, factor = 1): void {
  for (let r = 0; r < to.length; r++) to[r] = (to[r] ?? 0) + factor * (amounts[r] ?? 0);
}

export function vectorOf({ milliCpu, memoryBytes, diskBytes, gpuCount, gpuMilli }: Shape): Vector {
  return Float64Array.of(milliCpu, memoryBytes, diskBytes, gpuCount * gpuMilli);
}

export function amountsOf(vector: Vector): Amounts {
  const [milliCpu = 0, memoryBytes = 0, diskBytes = 0, gpuMilli = 0] = vector;
  return { milliCpu, memoryBytes, diskBytes, gpuMilli };
}

/** A vector of limits; what is not named, or is no amount, is `absent`. */
export function limitsOf(limits: Partial<Amounts> | undefined, absent: number): Vector {
  return Float64Array.from(RESOURCES, (name) => {
    const value = limits?.[name];
    return value !== undefined && value >= 0 && value <= AMOUNT_MAX ? value : absent;
  });
}

/** The resource of which the amounts are the greatest part of the total; of equal parts the first. */
export function dominantOf(amounts: Vector, totals: Vector): number {
  let dominant = 0;
  let most = -1;
  for (let r = 0; r < amounts.length; r++) {
    const part = partOf(amounts[r] ?? 0, totals[r] ?? 0);
    if (part <= most) continue;
    most = part;
    dominant = r;
  }
  return dominant;
}

/** The greatest part of a total that the amounts are (dominant share, Ghodsi et al., NSDI 2011). */
export function shareOf(amounts: Vector, totals: Vector): number {
  let most = 0;
  for (let r = 0; r < amounts.length; r++)
    most = Math.max(most, partOf(amounts[r] ?? 0, totals[r] ?? 0));
  return most;
}

/** Of nothing, nothing is no part and anything is all of it. */
function partOf(amount: number, total: number): number {
  if (amount <= 0) return 0;
  return total > 0 ? amount / total : 1;
}
