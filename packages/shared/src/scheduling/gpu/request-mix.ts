/** What a fleet is asked for, counted: the only thing that the worth of a GPU slice is derived from. */

/** Milli that a whole device has. */
export const MILLI_PER_GPU = 1_000;

/** One kind of request and how often it was seen. */
export interface MixEntry {
  readonly milliCpu: number;
  /** 0: asks for no GPU. */
  readonly gpuCount: number;
  /** Of each device, 1 to 1,000. */
  readonly gpuMilli: number;
  readonly count: number;
}

/** Requests as observed. */
export type RequestMix = readonly MixEntry[];

/** One slice size and how many of them are asked for. */
export interface SliceDemand {
  readonly milli: number;
  readonly count: number;
}

/** Most slice sizes that are priced; rarer ones count as the next larger priced one. */
export const SLICE_SIZES_MAX = 64;

/** Entries that may decide something: whole numbers in range and a count above 0. */
export function soundMix(mix: RequestMix): RequestMix {
  return mix.filter(
    ({ milliCpu, gpuCount, gpuMilli, count }) =>
      isAmount(milliCpu) &&
      isAmount(count) &&
      count > 0 &&
      Number.isInteger(gpuCount) &&
      gpuCount >= 0 &&
      gpuCount <= GPUS_MAX &&
      (gpuCount === 0 ||
        (Number.isInteger(gpuMilli) && gpuMilli >= 1 && gpuMilli <= MILLI_PER_GPU)),
  );
}

/** Slice sizes, the largest first, with what is asked of each; a whole device is the size 1,000. */
export function sliceDemand(mix: RequestMix): readonly SliceDemand[] {
  const counts = new Map<number, number>([[MILLI_PER_GPU, 0]]);
  for (const { gpuCount, gpuMilli, count } of soundMix(mix))
    if (gpuCount > 0) counts.set(gpuMilli, (counts.get(gpuMilli) ?? 0) + gpuCount * count);
  const byDemand = [...counts].toSorted(([a, x], [b, y]) => y - x || b - a);
  const others = byDemand.filter(([milli]) => milli !== MILLI_PER_GPU);
  const kept = new Set([
    MILLI_PER_GPU,
    ...others.slice(0, SLICE_SIZES_MAX - 1).map(([milli]) => milli),
  ]);
  const sizes = [...kept].toSorted((a, b) => b - a);
  const sums = new Map(sizes.map((milli) => [milli, 0]));
  for (const [milli, count] of counts) {
    const priced = sizes.findLast((s) => s >= milli) ?? MILLI_PER_GPU;
    sums.set(priced, (sums.get(priced) ?? 0) + count);
  }
  return sizes.map((milli) => ({ milli, count: sums.get(milli) ?? 0 }));
}

/**
 * How far two mixes of requests for GPUs are apart: 0 when every kind comes as often, 1 when they have none in common (total
 * variation distance). Requests without GPUs do not count; of a mix that has none every other is 1 away.
 */
export function mixDistance(a: RequestMix, b: RequestMix): number {
  const [x, y] = [sharesOf(a), sharesOf(b)];
  if (x.size === 0 || y.size === 0) return x.size === y.size ? 0 : 1;
  let sum = 0;
  for (const key of new Set([...x.keys(), ...y.keys()]))
    sum += Math.abs((x.get(key) ?? 0) - (y.get(key) ?? 0));
  return sum / 2;
}

/** Share of each kind of the requests for GPUs. */
function sharesOf(mix: RequestMix): ReadonlyMap<string, number> {
  const asking = soundMix(mix).filter(({ gpuCount }) => gpuCount > 0);
  const total = asking.reduce((sum, { count }) => sum + count, 0);
  const shares = new Map<string, number>();
  for (const { milliCpu, gpuCount, gpuMilli, count } of asking) {
    const key = `${milliCpu} ${gpuCount} ${gpuMilli}`;
    shares.set(key, (shares.get(key) ?? 0) + count / total);
  }
  return shares;
}

/** CPU milli of all requests that ask for GPUs, over the GPUs that they ask for; 0 when none does. */
export function milliCpuPerGpu(mix: RequestMix): number {
  let [milliCpu, gpus] = [0, 0];
  for (const entry of soundMix(mix)) {
    if (entry.gpuCount === 0) continue;
    milliCpu += entry.milliCpu * entry.count;
    gpus += (entry.gpuCount * entry.gpuMilli * entry.count) / MILLI_PER_GPU;
  }
  const ratio = gpus > 0 ? milliCpu / gpus : 0;
  return Number.isFinite(ratio) ? ratio : 0;
}

/** More than any node, and more than any count, has; what is greater is a lie or a fault. */
const AMOUNT_MAX = 2 ** 40;
const GPUS_MAX = 1_024;

function isAmount(value: number): boolean {
  return value >= 0 && value <= AMOUNT_MAX;
}
