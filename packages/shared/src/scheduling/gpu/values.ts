import { MILLI_PER_GPU, milliCpuPerGpu, type RequestMix } from "./request-mix.ts";
import {
  type SlotPrices,
  type SolveLinearProgram,
  slotPriceSteps,
  slotPrices,
  worthByFree,
} from "./slot-prices.ts";

/** What GPUs are worth to the requests that come. Immutable; made anew when the mix has moved. */
export interface GpuValues {
  /** Worth in GPUs of a device by its free milli, index 0 to 1,000. Never falls; 0 at 0 and 1 at 1,000. */
  readonly worth: readonly number[];
  /** CPU milli that comes with one GPU in the mix; 0: CPU strands nothing. */
  readonly milliCpuPerGpu: number;
  readonly prices: SlotPrices;
}

/** Values before any request was seen: only whole devices are worth something, and no CPU comes with them. */
export const WHOLE_DEVICES_ONLY: GpuValues = {
  worth: Array.from({ length: MILLI_PER_GPU + 1 }, (_, free) => (free === MILLI_PER_GPU ? 1 : 0)),
  milliCpuPerGpu: 0,
  prices: new Map([[MILLI_PER_GPU, 1]]),
};

/** Values from requests as observed. */
export function gpuValues(mix: RequestMix, solve: SolveLinearProgram): GpuValues {
  return valuesOf(mix, slotPrices(mix, solve));
}

/** As `gpuValues`, one linear program a step: who has other things to do does them between two. */
export function* gpuValueSteps(
  mix: RequestMix,
  solve: SolveLinearProgram,
): Generator<undefined, GpuValues, undefined> {
  return valuesOf(mix, yield* slotPriceSteps(mix, solve));
}

/** GPUs by which the worth of some device has to differ for other values to count as others. */
export const WORTH_MOVED = 0.01;

/** Share by which the CPU of a GPU has to differ. A third less or more costs a tenth of a point of allocation. */
export const CPU_PER_GPU_MOVED_RATIO = 0.02;

/** Whether decisions would tell these values from those. Less is not worth making every score anew for. */
export function haveMoved(from: GpuValues, to: GpuValues): boolean {
  const [few, many] = [from.milliCpuPerGpu, to.milliCpuPerGpu].toSorted((a, b) => a - b);
  if ((many ?? 0) - (few ?? 0) > (many ?? 0) * CPU_PER_GPU_MOVED_RATIO) return true;
  return from.worth.some((worth, free) => Math.abs(worth - worthOf(to, free)) > WORTH_MOVED);
}

/** Worth in GPUs of a device with this much free. */
export function worthOf({ worth }: GpuValues, freeMilli: number): number {
  return worth[Math.min(MILLI_PER_GPU, Math.max(0, Math.floor(freeMilli)))] ?? 0;
}

function valuesOf(mix: RequestMix, prices: SlotPrices): GpuValues {
  return { worth: worthByFree(prices), milliCpuPerGpu: milliCpuPerGpu(mix), prices };
}
