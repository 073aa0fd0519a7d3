import { MILLI_PER_GPU, milliCpuPerGpu, type RequestMix } from "./request-mix.ts";
import {
  type SlotPrices,
  type SolveLinearProgram,
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
  const prices = slotPrices(mix, solve);
  return { worth: worthByFree(prices), milliCpuPerGpu: milliCpuPerGpu(mix), prices };
}

/** Worth in GPUs of a device with this much free. */
export function worthOf({ worth }: GpuValues, freeMilli: number): number {
  return worth[Math.min(MILLI_PER_GPU, Math.max(0, Math.floor(freeMilli)))] ?? 0;
}
