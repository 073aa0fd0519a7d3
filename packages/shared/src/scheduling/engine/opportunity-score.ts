import { MILLI_PER_GPU } from "../gpu/request-mix.ts";
import type { GpuValues } from "../gpu/values.ts";
import { NO_FIT, type NodeScore } from "./node-score.ts";
import { at, GPUS_PER_NODE_MAX, type NodeTable } from "./node-table.ts";
import type { Shape } from "./shape.ts";

/** Weight of one GPU lost to a slice that is cut badly. */
export const SLOT_WEIGHT = 1_000;

/** Weight of one GPU that lost its CPU: less, for CPU may come back before it is missed. */
export const STRAND_WEIGHT = 100;

/** Rounding of the two, so that the noise of floating point decides nothing. */
const SLOT_STEPS = 1e4;
const STRAND_STEPS = 1e3;

/** Weight of a milli that stays free on the device: decides between devices that cost the same. */
const TIGHTNESS_WEIGHT = 1e-4;

/**
 * Opportunity cost in GPUs, negated, over the columns of a node table (`gpu/opportunity-cost.ts` says the same in plain
 * terms). Each node's worth and strand are kept from change to change.
 */
export class OpportunityScore implements NodeScore {
  readonly #nodes: NodeTable;
  readonly #worthOf: Float64Array;
  readonly #milliCpuPerGpu: number;
  /** Worth of the node's free devices, GPUs. */
  readonly #worth: Float64Array;
  /** What of that worth lacks CPU, GPUs. */
  readonly #strand: Float64Array;
  /** Results of the last `#cost`, kept here because a result object would be allocated per candidate. */
  #slot = 0;
  #leftover = 0;
  readonly #scratch = new Int16Array(GPUS_PER_NODE_MAX);

  constructor(options: { readonly values: GpuValues }, deps: { readonly nodes: NodeTable }) {
    this.#nodes = deps.nodes;
    this.#worthOf = Float64Array.from(options.values.worth);
    this.#milliCpuPerGpu = options.values.milliCpuPerGpu;
    this.#worth = new Float64Array(deps.nodes.nodeCount);
    this.#strand = new Float64Array(deps.nodes.nodeCount);
    for (let node = 0; node < deps.nodes.nodeCount; node++) this.nodeChanged(node);
  }

  evaluate(shape: Shape, node: number): number {
    if (!this.#nodes.fits(shape, node)) return NO_FIT;
    const strand = this.#weigh(shape, node);
    const slotPart = Math.round(this.#slot * SLOT_STEPS) * (SLOT_WEIGHT / SLOT_STEPS);
    const strandPart = Math.round(strand * STRAND_STEPS) * (STRAND_WEIGHT / STRAND_STEPS);
    return -slotPart - strandPart - this.#leftover * TIGHTNESS_WEIGHT;
  }

  /** GPUs lost when the shape takes a node that it fits on: slot and strand together. */
  gpusLost(shape: Shape, node: number): number {
    const strand = this.#weigh(shape, node);
    return this.#slot + strand;
  }

  chooseDevices(shape: Shape, node: number, devices: Int16Array): void {
    for (let i = 0; i < shape.gpuCount; i++)
      devices[i] = this.#cheapestDevice(shape.gpuMilli, node, { devices, count: i });
  }

  nodeChanged(node: number): void {
    const { gpuFirst, gpuFree } = this.#nodes;
    let worth = 0;
    for (let g = at(gpuFirst, node); g < at(gpuFirst, node + 1); g++)
      worth += at(this.#worthOf, at(gpuFree, g));
    this.#worth[node] = worth;
    this.#strand[node] = this.#stranded(worth, at(this.#nodes.milliCpuFree, node));
  }

  /** Answers the strand; leaves the slot and what stays free of the device in `#slot` and `#leftover`. */
  #weigh(shape: Shape, node: number): number {
    const { gpuCount, gpuMilli, milliCpu } = shape;
    let lost = 0;
    this.#slot = 0;
    this.#leftover = 0;
    if (gpuMilli === MILLI_PER_GPU) lost = gpuCount;
    else if (gpuCount > 0) {
      lost = gpuCount === 1 ? this.#cheapestSlot(gpuMilli, node) : this.#slots(shape, node);
      this.#slot = lost;
    }
    const cpuLeft = at(this.#nodes.milliCpuFree, node) - milliCpu;
    return this.#stranded(at(this.#worth, node) - lost, cpuLeft) - at(this.#strand, node);
  }

  #stranded(worth: number, milliCpuFree: number): number {
    if (this.#milliCpuPerGpu === 0) return 0;
    return Math.max(0, worth - milliCpuFree / this.#milliCpuPerGpu);
  }

  #cheapestSlot(milli: number, node: number): number {
    const { gpuFirst, gpuFree } = this.#nodes;
    let best = Number.POSITIVE_INFINITY;
    let leftover = 0;
    const end = at(gpuFirst, node + 1);
    for (let g = at(gpuFirst, node); g < end; g++) {
      const left = at(gpuFree, g) - milli;
      if (left < 0) continue;
      const slot = at(this.#worthOf, left + milli) - at(this.#worthOf, left);
      if (slot < best - NOISE || (slot < best + NOISE && left < leftover)) {
        best = slot;
        leftover = left;
      }
    }
    this.#leftover = leftover;
    return best;
  }

  /** Slots of several slices, each on another device. Rare, so it may look at the devices once for each. */
  #slots(shape: Shape, node: number): number {
    this.chooseDevices(shape, node, this.#scratch);
    let lost = 0;
    const first = at(this.#nodes.gpuFirst, node);
    for (let i = 0; i < shape.gpuCount; i++) {
      const free = at(this.#nodes.gpuFree, first + at(this.#scratch, i));
      lost += at(this.#worthOf, free) - at(this.#worthOf, free - shape.gpuMilli);
      this.#leftover += free - shape.gpuMilli;
    }
    return lost;
  }

  #cheapestDevice(milli: number, node: number, taken: TakenDevices): number {
    const { gpuFirst, gpuFree } = this.#nodes;
    const first = at(gpuFirst, node);
    let best = Number.POSITIVE_INFINITY;
    let leftover = 0;
    let device = -1;
    for (let g = first; g < at(gpuFirst, node + 1); g++) {
      const left = at(gpuFree, g) - milli;
      if (left < 0 || isTaken(taken, g - first)) continue;
      const slot = at(this.#worthOf, left + milli) - at(this.#worthOf, left);
      if (slot < best - NOISE || (slot < best + NOISE && left < leftover)) {
        best = slot;
        leftover = left;
        device = g - first;
      }
    }
    return device;
  }
}

/** Two slots that differ by less, in GPUs, cost the same. */
const NOISE = 1e-9;

/** The first `count` of these devices are given to the same request already. */
interface TakenDevices {
  readonly devices: Int16Array;
  readonly count: number;
}

function isTaken({ devices, count }: TakenDevices, device: number): boolean {
  for (let i = 0; i < count; i++) if (devices[i] === device) return true;
  return false;
}
