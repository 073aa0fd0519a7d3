import { f64, i16, i32 } from "../engine/columns.ts";
import { NO_FIT, type NodeScore } from "../engine/node-score.ts";
import { isPartition, type NodeTable } from "../engine/node-table.ts";
import { OpportunityScore } from "../engine/opportunity-score.ts";
import { allocatable, type DeviceFacts, INSTANCES_PER_NODE_MAX, type NodeFacts } from "../facts.ts";
import { chooseDevices } from "../gpu/choose-devices.ts";
import { resourcePartOf } from "../gpu/opportunity-cost.ts";
import { MILLI_PER_GPU } from "../gpu/request-mix.ts";
import type { GpuValues } from "../gpu/values.ts";
import { nodePrice } from "../score/cost.ts";
import { NEUTRAL, unit } from "../score/part.ts";
import { FULLER_SHARE, SCORE_STEPS, topologySteps } from "../score.ts";
import type { ClassTerms } from "./class-terms.ts";
import type { FleetShape } from "./fleet-shape.ts";
import type { NodeEntry } from "./node-entry.ts";
import type { PerformanceColumns } from "./performance-columns.ts";

/** Columns of one row, side by side: one look at memory for a node. */
const STRIDE = 8;
const MILLI_CPU = 0;
const MEMORY = 1;
const DISK = 2;
const GPUS = 3;
const PRICE = 4;
const SPOT_PRICE = 5;
const GPU_MILLI_FREE = 6;

/**
 * The five parts of `score.ts` over the columns of a table: the same numbers, for every node (`fleet-table.test.ts`). Filters of
 * whole classes are `ClassTerms`; room is the table's.
 */
export class FleetScore implements NodeScore {
  readonly #nodes: NodeTable;
  readonly #terms: ClassTerms;
  readonly #performance: PerformanceColumns;
  readonly #rows: Float64Array;
  readonly #entryOf: (row: number) => NodeEntry | undefined;
  #values: GpuValues;
  #opportunity: OpportunityScore;
  readonly #generation: number;
  #valuesAt = 0;
  /** Grows with everything that a cost is made of. */
  #costsAt = 0;

  constructor(
    options: {
      readonly values: GpuValues;
      /** Another one for every set of rows. */
      readonly generation: number;
    },
    deps: {
      readonly nodes: NodeTable;
      readonly terms: ClassTerms;
      readonly performance: PerformanceColumns;
      readonly entryOf: (row: number) => NodeEntry | undefined;
    },
  ) {
    this.#values = options.values;
    this.#generation = options.generation;
    this.#nodes = deps.nodes;
    this.#terms = deps.terms;
    this.#performance = deps.performance;
    this.#entryOf = deps.entryOf;
    this.#rows = new Float64Array(deps.nodes.nodeCount * STRIDE);
    this.#opportunity = new OpportunityScore(options, { nodes: deps.nodes });
    for (let row = 0; row < deps.nodes.nodeCount; row++) this.setRow(row, deps.entryOf(row)?.told);
  }

  /** What GPUs are worth from now on. */
  setValues(values: GpuValues): void {
    this.#values = values;
    this.#opportunity = new OpportunityScore({ values }, { nodes: this.#nodes });
    this.#valuesAt++;
  }

  /** The node's unchanging amounts and prices; without facts it is gone. The row is to be told as changed afterwards. */
  setRow(row: number, facts: NodeFacts | undefined): void {
    const all = facts === undefined ? undefined : allocatable(facts);
    const price = (spot: boolean): number =>
      facts === undefined ? Number.NaN : (nodePrice(facts, spot) ?? Number.NaN);
    const columns = [all?.milliCpu, all?.memoryBytes, all?.diskBytes, all?.gpuCount];
    for (const [i, amount = 0] of columns.entries()) this.#setStatic(row * STRIDE + i, amount);
    this.#setStatic(row * STRIDE + PRICE, price(false));
    this.#setStatic(row * STRIDE + SPOT_PRICE, price(true));
    this.#performance.set(row, facts);
    this.#sumGpus(row);
  }

  /** A node is of a class now that other requests may run on. */
  costsChanged(): void {
    this.#costsAt++;
  }

  prepare(shape: FleetShape): number {
    if (shape.generation !== this.#generation) shape.begin(this.#generation);
    if (this.#terms.fill(shape)) shape.version++;
    if (shape.columnsAt !== this.#performance.madeAt) {
      const column = this.#performance.of(shape);
      if (column !== shape.performance) shape.version++;
      shape.performance = column;
      shape.columnsAt = this.#performance.madeAt;
    }
    if (shape.valuesAt !== this.#valuesAt) {
      shape.valuesAt = this.#valuesAt;
      shape.version++;
    }
    if (shape.costsAt !== this.#costsAt) {
      shape.costsAt = this.#costsAt;
      const costMin = this.#lowestCost(shape);
      if (!Object.is(costMin, shape.costMin)) shape.version++;
      shape.costMin = costMin;
    }
    return shape.version;
  }

  evaluate(shape: FleetShape, row: number): number {
    return this.fits(shape, row) ? this.scoreWith(shape, row, shape.topologyBase) : NO_FIT;
  }

  /** Whether the node has room, and passes the filters that ask no other instances. */
  fits(shape: FleetShape, row: number): boolean {
    if (!this.#nodes.fits(shape, row)) return false;
    return !shape.needsCloseness || this.#chosenDevices(shape, row) !== undefined;
  }

  /** Whether it has the devices free, close enough. */
  hasDevices(shape: FleetShape, row: number): boolean {
    if (shape.gpuCount === 0) return true;
    if (!this.#nodes.hasGpus(shape, row)) return false;
    return !shape.needsCloseness || this.#chosenDevices(shape, row) !== undefined;
  }

  /** The score of a node that it fits on, with another topology part. */
  scoreWith(shape: FleetShape, row: number, topology: number): number {
    const { parts } = shape.weights;
    const nodeClass = i32(this.#nodes.classOf, row);
    const sum =
      this.resource(shape, row) * parts.resource +
      f64(shape.performance, row) * parts.performance +
      this.cost(shape, row) * parts.cost +
      f64(shape.compliance, nodeClass) * parts.compliance;
    return (Math.round(sum * SCORE_STEPS) + topologySteps(topology, parts)) / SCORE_STEPS;
  }

  /** The resource part. */
  resource(shape: FleetShape, row: number): number {
    if (shape.resourceWeight === 0) return NEUTRAL;
    const first = row * STRIDE;
    const gpus = f64(this.#rows, first + GPUS);
    if (gpus > 0 && shape.gpuWeight > 0) return unit(this.#gpuTerm(shape, row, gpus));
    const { milliCpuFree, memoryFree, diskFree } = this.#nodes;
    const sum =
      shape.cpuWeight *
        spread(f64(this.#rows, first + MILLI_CPU), f64(milliCpuFree, row), shape.milliCpu) +
      shape.memoryWeight *
        spread(f64(this.#rows, first + MEMORY), f64(memoryFree, row), shape.memoryBytes) +
      shape.storageWeight *
        spread(f64(this.#rows, first + DISK), f64(diskFree, row), shape.diskBytes) +
      shape.gpuWeight;
    return unit(sum / shape.resourceWeight);
  }

  /** The cost part. */
  cost(shape: FleetShape, row: number): number {
    const cost = this.#hourlyCost(shape, row);
    if (!(cost >= 0 && shape.costMin >= 0)) return NEUTRAL;
    return cost === 0 ? 1 : unit(shape.costMin / cost);
  }

  chooseDevices(shape: FleetShape, row: number, devices: Int16Array): void {
    const chosen = this.#chosenDevices(shape, row) ?? [];
    for (const [i, device] of chosen.entries()) devices[i] = device;
  }

  nodeChanged(row: number): void {
    this.#opportunity.nodeChanged(row);
    this.#sumGpus(row);
  }

  #gpuTerm(shape: FleetShape, row: number, gpus: number): number {
    const lost = resourcePartOf(this.#opportunity.gpusLost(shape, row));
    const gpusFree = f64(this.#rows, row * STRIDE + GPU_MILLI_FREE) / MILLI_PER_GPU;
    const idleRatio = (gpusFree - shape.gpusAsked) / gpus;
    return lost * (1 - FULLER_SHARE) + unit(1 - idleRatio) * FULLER_SHARE;
  }

  /** NaN when unknown. As `hourlyCost` of `score/cost.ts`. */
  #hourlyCost(shape: FleetShape, row: number): number {
    const first = row * STRIDE;
    const price = f64(this.#rows, first + (shape.request.spot === true ? SPOT_PRICE : PRICE));
    const gpus = shape.partitions ? shape.request.amounts.gpuCount : shape.gpusAsked;
    let share = 1 / INSTANCES_PER_NODE_MAX;
    share = greater(share, shape.milliCpu / f64(this.#rows, first + MILLI_CPU));
    share = greater(share, shape.memoryBytes / f64(this.#rows, first + MEMORY));
    share = greater(share, shape.diskBytes / f64(this.#rows, first + DISK));
    share = greater(share, gpus / f64(this.#rows, first + GPUS));
    const cost = price * (share < 1 ? share : 1) + f64(shape.egress, i32(this.#nodes.classOf, row));
    return cost < Number.POSITIVE_INFINITY ? cost : Number.NaN;
  }

  #lowestCost(shape: FleetShape): number {
    let lowest = Number.NaN;
    for (let row = 0; row < this.#nodes.nodeCount; row++) {
      if (shape.eligible[i32(this.#nodes.classOf, row)] !== 1) continue;
      const cost = this.#hourlyCost(shape, row);
      if (cost >= 0 && !(cost >= lowest)) lowest = cost;
    }
    return lowest;
  }

  /** Devices by place in the row; undefined when it has no such set. */
  #chosenDevices(shape: FleetShape, row: number): readonly number[] | undefined {
    const { gpu } = shape.request;
    const { told, slots = [] } = this.#entryOf(row) ?? {};
    if (gpu === undefined || told === undefined) return gpu === undefined ? [] : undefined;
    const first = i32(this.#nodes.gpuFirst, row);
    const slotOf = new Map(slots.map((uuid, slot) => [uuid, slot] as const));
    const devices = told.devices.map((device): DeviceFacts => {
      const slot = slotOf.get(device.uuid);
      const freeMilli = slot === undefined ? 0 : i16(this.#nodes.gpuFree, first + slot);
      return { ...device, freeMilli };
    });
    const uuids = chooseDevices({ devices }, gpu, this.#values);
    return uuids?.map((uuid) => slotOf.get(uuid) ?? 0);
  }

  #setStatic(index: number, value: number): void {
    if (Object.is(this.#rows[index], value)) return;
    this.#rows[index] = value;
    this.#costsAt++;
  }

  #sumGpus(row: number): void {
    const { gpuFirst, gpuFree, deviceClassOf } = this.#nodes;
    let milli = 0;
    for (let g = i32(gpuFirst, row); g < i32(gpuFirst, row + 1); g++) {
      const free = i16(gpuFree, g);
      if (free > 0 && !isPartition(deviceClassOf[g] ?? 0)) milli += free;
    }
    this.#rows[row * STRIDE + GPU_MILLI_FREE] = milli;
  }
}

/** Share that is left; all of nothing is left of nothing. */
function spread(all: number, free: number, asked: number): number {
  return all > 0 ? (free - asked) / all : 1;
}

/** The greater of the two; a share of nothing is none. */
function greater(share: number, other: number): number {
  return other > share && other < Number.POSITIVE_INFINITY ? other : share;
}
