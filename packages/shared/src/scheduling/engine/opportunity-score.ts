import { MILLI_PER_GPU } from "../gpu/request-mix.ts";
import type { GpuValues } from "../gpu/values.ts";
import { f64, i16, i32 } from "./columns.ts";
import { EVALUATIONS_MAX, NO_FIT, type NodeScore } from "./node-score.ts";
import { GPUS_PER_NODE_MAX, isPartition, type NodeTable } from "./node-table.ts";
import type { Shape } from "./shape.ts";

/** Numbers of a row: eight in double precision are a cache line. */
const ROW_LANES = 8;

/** Slot cost of a node that the shape does not fit on. */
const UNFIT = Number.POSITIVE_INFINITY;

/** Opportunity costs of several nodes, by their place in the batch. */
interface Costs {
  /** GPUs lost to the cut; UNFIT where the shape does not fit, and then the other two say nothing. */
  readonly slot: Float64Array;
  /** GPUs that lose their CPU. */
  readonly strand: Float64Array;
  /** Milli that stay free on the device of a single slice. */
  readonly leftover: Float64Array;
}

/** Room for the costs of one batch. */
function newCosts(): Costs {
  const column = (): Float64Array => new Float64Array(EVALUATIONS_MAX);
  return { slot: column(), strand: column(), leftover: column() };
}

/** Weight of one GPU lost to a slice that is cut badly. */
const SLOT_WEIGHT = 1_000;

/** Weight of one GPU that lost its CPU: less, for CPU may come back before it is missed. */
const STRAND_WEIGHT = 100;

/** Rounding of the two, so that the noise of floating point decides nothing. */
const SLOT_STEPS = 1e4;
const STRAND_STEPS = 1e3;

/** Weight of a milli that stays free on the device: decides between devices that cost the same. */
const TIGHTNESS_WEIGHT = 1e-4;

/** Steps in which devices are compared by slot; finer differences are noise. */
const RANK_STEPS = 1e6;

/**
 * Opportunity cost in GPUs, negated, over the columns of a node table (`gpu/opportunity-cost.ts` says the same in plain
 * terms). Each node's worth and strand are kept from change to change.
 */
export class OpportunityScore implements NodeScore {
  readonly #nodes: NodeTable;
  readonly #worthOf: Float64Array;
  /** GPUs that one milli of CPU serves; 0: CPU strands nothing. */
  readonly #gpusPerMilliCpu: number;
  /** Worth of the node's free devices, GPUs. */
  readonly #worth: Float64Array;
  /** What of that worth lacks CPU, GPUs. */
  readonly #strand: Float64Array;
  /** What evaluating needs of each node, in one cache line: a copy, as `writeRow` has it, from change to change. */
  readonly #rows: Float64Array;
  /** By slice size: rank of a device by its free milli, the lowest is the best: smallest slot, then tightest. */
  readonly #ranks: (Int32Array | undefined)[] = Array.from({ length: MILLI_PER_GPU + 1 });
  readonly #costs = newCosts();
  readonly #scratch = new Int16Array(GPUS_PER_NODE_MAX);

  constructor(options: { readonly values: GpuValues }, deps: { readonly nodes: NodeTable }) {
    const { worth, milliCpuPerGpu } = options.values;
    this.#nodes = deps.nodes;
    this.#worthOf = Float64Array.from(worth);
    this.#gpusPerMilliCpu = milliCpuPerGpu > 0 ? 1 / milliCpuPerGpu : 0;
    this.#worth = new Float64Array(deps.nodes.nodeCount);
    this.#strand = new Float64Array(deps.nodes.nodeCount);
    this.#rows = new Float64Array(deps.nodes.nodeCount * ROW_LANES);
    for (let node = 0; node < deps.nodes.nodeCount; node++) this.nodeChanged(node);
  }

  evaluate(shape: Shape, node: number): number {
    if (!this.#nodes.fits(shape, node)) return NO_FIT;
    const { gpuCount, gpuMilli } = shape;
    if (takesNoCard(shape)) return -weighed(0, this.#strandWith(shape, node, 0), 0);
    if (gpuMilli === MILLI_PER_GPU) return -weighed(0, this.#strandWith(shape, node, gpuCount), 0);
    if (gpuCount > 1) {
      const slot = this.#slots(shape, node);
      return -weighed(slot, this.#strandWith(shape, node, slot), 0);
    }
    const free = this.#cheapestFree(shape, node);
    const slot = this.#slotOf(free, gpuMilli);
    return -weighed(slot, this.#strandWith(shape, node, slot), free - gpuMilli);
  }

  evaluateAll(shape: Shape, nodes: Int32Array, count: number, scores: Float32Array): void {
    this.#costsOf(shape, nodes, count, this.#costs);
    const { slot, strand, leftover } = this.#costs;
    for (let i = 0; i < count; i++) {
      const lost = f64(slot, i);
      scores[i] = lost === UNFIT ? NO_FIT : -weighed(lost, f64(strand, i), f64(leftover, i));
    }
  }

  /**
   * Costs of the first `count` nodes, as `evaluate` finds them one by one. The loop is dense for a reason: all that it reads
   * of most nodes is one row, so that the rows of many are on their way from memory at once.
   */
  #costsOf(
    shape: Shape,
    nodes: Int32Array,
    count: number,
    { slot, strand, leftover }: Costs,
  ): void {
    const { milliCpu, memoryBytes, diskBytes, gpuCount, gpuMilli, classes } = shape;
    if (isParticular(shape)) {
      for (let i = 0; i < count; i++)
        this.#costAt(shape, i32(nodes, i), i, { slot, strand, leftover });
      return;
    }
    const rows = this.#rows;
    const perMilliCpu = this.#gpusPerMilliCpu;
    const slices = gpuCount > 0 && gpuMilli < MILLI_PER_GPU;
    const idleMin = slices ? 0 : gpuCount;
    for (let i = 0; i < count; i++) {
      const node = i32(nodes, i);
      const row = node * ROW_LANES;
      slot[i] = UNFIT;
      // GPUs first, and NaN is a no, as in NodeTable.fits.
      if (!(gpuMilli <= f64(rows, row + 3)) || !(idleMin <= f64(rows, row + 4))) continue;
      if (!(milliCpu <= f64(rows, row)) || !(memoryBytes <= f64(rows, row + 1))) continue;
      if (!(diskBytes <= f64(rows, row + 2))) continue;
      if (classes !== undefined && classes[f64(rows, row + 5)] !== 1) continue;
      let [lost, left] = [0, 0];
      if (slices && gpuCount === 1) {
        const free = this.#cheapestFree(shape, node);
        lost = this.#slotOf(free, gpuMilli);
        left = free - gpuMilli;
      } else if (slices) {
        if (!this.#nodes.fits(shape, node)) continue;
        lost = this.#slots(shape, node);
      }
      const worthLeft = f64(rows, row + 6) - (slices ? lost : gpuCount);
      const stranded = worthLeft - (f64(rows, row) - milliCpu) * perMilliCpu;
      slot[i] = lost;
      strand[i] = (perMilliCpu > 0 && stranded > 0 ? stranded : 0) - f64(rows, row + 7);
      leftover[i] = left;
    }
  }

  /** The cost of one node for a shape that `isParticular`. */
  #costAt(shape: Shape, node: number, at: number, { slot, strand, leftover }: Costs): void {
    slot[at] = UNFIT;
    if (!this.#nodes.fits(shape, node)) return;
    const { gpuCount, gpuMilli } = shape;
    const isSlice = !takesNoCard(shape) && gpuMilli < MILLI_PER_GPU;
    let [lost, left] = [0, 0];
    if (isSlice && gpuCount === 1) {
      const free = this.#cheapestFree(shape, node);
      lost = this.#slotOf(free, gpuMilli);
      left = free - gpuMilli;
    } else if (isSlice) lost = this.#slots(shape, node);
    slot[at] = lost;
    const taken = isSlice || takesNoCard(shape) ? lost : gpuCount;
    strand[at] = this.#strandWith(shape, node, taken);
    leftover[at] = left;
  }

  /** GPUs lost when the shape takes a node that it fits on: slot and strand together. */
  gpusLost(shape: Shape, node: number): number {
    const { gpuCount, gpuMilli } = shape;
    if (takesNoCard(shape)) return this.#strandWith(shape, node, 0);
    if (gpuMilli === MILLI_PER_GPU) return this.#strandWith(shape, node, gpuCount);
    const slot =
      gpuCount > 1
        ? this.#slots(shape, node)
        : this.#slotOf(this.#cheapestFree(shape, node), gpuMilli);
    return slot + this.#strandWith(shape, node, slot);
  }

  chooseDevices(shape: Shape, node: number, devices: Int16Array): void {
    const { gpuFirst, gpuFree } = this.#nodes;
    const ranks = this.#ranksOf(shape.gpuMilli);
    const first = i32(gpuFirst, node);
    for (let i = 0; i < shape.gpuCount; i++) {
      let best = Number.POSITIVE_INFINITY;
      for (let g = first; g < i32(gpuFirst, node + 1); g++) {
        const free = i16(gpuFree, g);
        if (free < shape.gpuMilli || i32(ranks, free) >= best) continue;
        if (!this.#nodes.suits(shape, g) || isTaken(devices, i, g - first)) continue;
        best = i32(ranks, free);
        devices[i] = g - first;
      }
    }
  }

  nodeChanged(node: number): void {
    const { gpuFirst, gpuFree, deviceClassOf, milliCpuFree } = this.#nodes;
    let worth = 0;
    for (let g = i32(gpuFirst, node); g < i32(gpuFirst, node + 1); g++) {
      const free = i16(gpuFree, g);
      // Bookings of what was given elsewhere may leave less than nothing, which is worth nothing.
      if (free > 0 && !isPartition(deviceClassOf[g] ?? 0)) worth += f64(this.#worthOf, free);
    }
    this.#worth[node] = worth;
    this.#strand[node] = this.#stranded(worth, f64(milliCpuFree, node));
    this.#writeRow(node);
  }

  #writeRow(node: number): void {
    const { milliCpuFree, memoryFree, diskFree, gpusIdle, gpuFreeMax, classOf, instancesFree } =
      this.#nodes;
    const row = node * ROW_LANES;
    this.#rows[row] = f64(milliCpuFree, node);
    this.#rows[row + 1] = f64(memoryFree, node);
    this.#rows[row + 2] = f64(diskFree, node);
    // No shape asks for so little of a device that it fits where no instance more is taken.
    this.#rows[row + 3] = i32(instancesFree, node) > 0 ? i16(gpuFreeMax, node) : -1;
    this.#rows[row + 4] = i16(gpusIdle, node);
    this.#rows[row + 5] = i32(classOf, node);
    this.#rows[row + 6] = f64(this.#worth, node);
    this.#rows[row + 7] = f64(this.#strand, node);
  }

  /** GPUs that lack CPU afterwards, less those that lack it now. */
  #strandWith(shape: Shape, node: number, worthTaken: number): number {
    const cpuLeft = f64(this.#nodes.milliCpuFree, node) - shape.milliCpu;
    return this.#stranded(f64(this.#worth, node) - worthTaken, cpuLeft) - f64(this.#strand, node);
  }

  #stranded(worth: number, milliCpuFree: number): number {
    if (this.#gpusPerMilliCpu === 0) return 0;
    const stranded = worth - milliCpuFree * this.#gpusPerMilliCpu;
    return stranded > 0 ? stranded : 0;
  }

  #slotOf(free: number, milli: number): number {
    return f64(this.#worthOf, free) - f64(this.#worthOf, free - milli);
  }

  /** Free milli of the device that a slice costs least on. */
  #cheapestFree(shape: Shape, node: number): number {
    const milli = shape.gpuMilli;
    const anyDevice = shape.deviceClasses === undefined;
    const { gpuFirst, gpuFree } = this.#nodes;
    const ranks = this.#ranksOf(milli);
    let best = 0x7fffffff;
    let bestFree = 0;
    let last = 0;
    const end = i32(gpuFirst, node + 1);
    for (let g = i32(gpuFirst, node); g < end; g++) {
      const free = i16(gpuFree, g);
      if (free < milli || free === last) continue;
      if (!anyDevice && !this.#nodes.suits(shape, g)) continue;
      last = free;
      const rank = i32(ranks, free);
      if (rank < best) {
        best = rank;
        bestFree = free;
      }
    }
    return bestFree;
  }

  /** Slots of several slices, each on another device. Rare, so it may look at the devices once for each. */
  #slots(shape: Shape, node: number): number {
    this.chooseDevices(shape, node, this.#scratch);
    const first = i32(this.#nodes.gpuFirst, node);
    let slots = 0;
    for (let i = 0; i < shape.gpuCount; i++)
      slots += this.#slotOf(
        i16(this.#nodes.gpuFree, first + i16(this.#scratch, i)),
        shape.gpuMilli,
      );
    return slots;
  }

  #ranksOf(milli: number): Int32Array {
    return this.#ranks[milli] ?? this.#newRanks(milli);
  }

  #newRanks(milli: number): Int32Array {
    const ranks = Int32Array.from({ length: MILLI_PER_GPU + 1 }, (_, free) => {
      if (free < milli) return 0x7fffffff;
      return (
        Math.round(this.#slotOf(free, milli) * RANK_STEPS) * (MILLI_PER_GPU + 1) + free - milli
      );
    });
    this.#ranks[milli] = ranks;
    return ranks;
  }
}

function weighed(slot: number, strand: number, leftoverMilli: number): number {
  return (
    Math.round(slot * SLOT_STEPS) * (SLOT_WEIGHT / SLOT_STEPS) +
    Math.round(strand * STRAND_STEPS) * (STRAND_WEIGHT / STRAND_STEPS) +
    leftoverMilli * TIGHTNESS_WEIGHT
  );
}

/** Partitions of cards (MIG devices) are no part of a card any more: taking one cuts none. */
function takesNoCard({ gpuCount, partitions }: Shape): boolean {
  return gpuCount === 0 || partitions === true;
}

/** Whether more than a node's row tells where the shape fits, or what it takes. */
function isParticular({ deviceClasses, ports, partitions }: Shape): boolean {
  return deviceClasses !== undefined || ports !== undefined || partitions === true;
}

/** Whether one of the first `count` devices is this one. */
function isTaken(devices: Int16Array, count: number, device: number): boolean {
  for (let i = 0; i < count; i++) if (devices[i] === device) return true;
  return false;
}
