import { MILLI_PER_GPU } from "./request-mix.ts";
import { type GpuValues, worthOf } from "./values.ts";

/** What a placement costs the fleet: GPUs that no request of the mix can use any more. */
export interface OpportunityCost {
  /** GPUs lost because the rest of a device is cut into pieces that are worth less. 0 for whole devices: they are used. */
  readonly slot: number;
  /** GPUs that the node's CPU does not reach for any more; negative when the request takes GPUs that lacked CPU anyway. */
  readonly strand: number;
}

/** What is free of one node. */
export interface GpuRoom {
  readonly milliCpuFree: number;
  /** Free milli of each device. */
  readonly gpuFree: readonly number[];
  /** Those of them that the request can use. Default: all. */
  readonly suiting?: readonly number[];
}

/** What is asked of it. */
export interface GpuAsk {
  readonly milliCpu: number;
  readonly gpuCount: number;
  readonly gpuMilli: number;
}

/**
 * The cost of a request on a node that it fits on, with the devices that cost least. `strand` is the worth of the node's
 * free devices beyond what its free CPU serves, after less before.
 */
export function opportunityCost(values: GpuValues, room: GpuRoom, ask: GpuAsk): OpportunityCost {
  const worth = room.gpuFree.reduce((sum, free) => sum + worthOf(values, free), 0);
  const slots = cheapestSlots(values, room.suiting ?? room.gpuFree, ask);
  const lost = slots.reduce((sum, slot) => sum + slot, 0);
  const before = stranded(values.milliCpuPerGpu, worth, room.milliCpuFree);
  const cpuLeft = room.milliCpuFree - ask.milliCpu;
  const after = stranded(values.milliCpuPerGpu, worth - lost, cpuLeft);
  return { slot: ask.gpuMilli === MILLI_PER_GPU ? 0 : lost, strand: after - before };
}

/**
 * GPUs lost up to which the resource part falls evenly: half a loss is half as bad, wherever it falls. All cuts that leave
 * something of use cost less (two thirds at most for the mix of the public trace); what costs more is bad beyond weighing against the
 * other parts. So the range is no wider than it has to be, and losses count as much against the other parts as they can.
 */
const GPUS_LOST_EVEN = 0.75;

/** Share of the part that is left for what is beyond: worse is always less. */
const BEYOND_SHARE = 0.05;

/** GPUs lost as a part in [0, 1]: 0.5 loses nothing, less loses some, more uses GPUs that were stranded. */
export function resourcePartOf(gpusLost: number): number {
  const ratio = Math.abs(gpusLost) / GPUS_LOST_EVEN;
  const swing = ratio <= 1 ? ratio * (1 - BEYOND_SHARE) : 1 - BEYOND_SHARE / ratio;
  return (1 - (gpusLost < 0 ? -swing : swing)) / 2;
}

/** Worth of free devices that so much free CPU does not serve, GPUs. */
function stranded(milliCpuPerGpu: number, worth: number, milliCpuFree: number): number {
  if (milliCpuPerGpu === 0) return 0;
  return Math.max(0, worth - milliCpuFree * (1 / milliCpuPerGpu));
}

function cheapestSlots(
  values: GpuValues,
  gpuFree: readonly number[],
  { gpuCount, gpuMilli }: GpuAsk,
): readonly number[] {
  return gpuFree
    .filter((free) => free >= gpuMilli)
    .map((free) => worthOf(values, free) - worthOf(values, free - gpuMilli))
    .toSorted((a, b) => a - b)
    .slice(0, gpuCount);
}
