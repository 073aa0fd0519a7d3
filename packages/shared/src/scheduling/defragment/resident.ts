import type { Shape } from "../engine/shape.ts";
import type { Placed } from "../engine/trial.ts";
import { MILLI_PER_GPU } from "../gpu/request-mix.ts";

/** Something that runs on a node and might be moved to make room. */
export interface Resident {
  /** Unique in the fleet. */
  readonly id: string;
  readonly placed: Placed;
  /** What its move costs, GPUs (`movePrice` is the default). Negative or no number: it is never moved. */
  readonly price: number;
  /** Keys of the budgets that its move takes one from each; a key without a budget allows no move. */
  readonly budgets: readonly string[];
  /** Why it must not move (pinned, its data is local, another plan moves it …); undefined: it may. */
  readonly lock?: string;
}

/** CPU that counts as one GPU where the request mix does not say it, milli. */
export const MILLI_CPU_PER_GPU_DEFAULT = 8_000;

/** A move costs this share of the GPUs that it interrupts … */
const MOVE_PRICE_RATIO = 0.1;

/** … and this many GPUs however small it is: an interruption is one. */
const MOVE_PRICE_MIN = 0.05;

/**
 * What it is worth to run a shape, GPUs: the GPUs that it asks for, or those that its CPU would serve, whichever is more.
 * `milliCpuPerGpu` is the request mix's; 0 where it has none.
 */
export function gpusWorth(shape: Shape, milliCpuPerGpu: number): number {
  const perGpu = milliCpuPerGpu > 0 ? milliCpuPerGpu : MILLI_CPU_PER_GPU_DEFAULT;
  return Math.max((shape.gpuCount * shape.gpuMilli) / MILLI_PER_GPU, shape.milliCpu / perGpu);
}

/** What moving an instance of this shape costs where nobody says otherwise, GPUs. */
export function movePrice(shape: Shape, milliCpuPerGpu: number): number {
  return MOVE_PRICE_MIN + MOVE_PRICE_RATIO * gpusWorth(shape, milliCpuPerGpu);
}
