import { assert } from "../../kernel/assert.ts";
import { MILLI_PER_GPU } from "../gpu/request-mix.ts";
import { f64, i16, i32 } from "./columns.ts";
import { isSoundAmount, isSoundShape, type Shape } from "./shape.ts";

/** What a node can give away in all. */
export interface NodeRow {
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly gpuCount: number;
  /** Nodes that no filter can tell apart have the same class. Default 0. */
  readonly nodeClass?: number;
}

/** Most GPUs of one node. */
export const GPUS_PER_NODE_MAX = 1_024;

/**
 * Nodes as columns: what is free of each, device by device. The order of the rows is the order of ties. Columns are public
 * so that a score reads them without a call; only this class writes them.
 */
export class NodeTable {
  readonly nodeCount: number;
  readonly milliCpuFree: Float64Array;
  readonly memoryFree: Float64Array;
  readonly diskFree: Float64Array;
  /** Devices of node n are `gpuFirst[n]` up to, not including, `gpuFirst[n + 1]`. */
  readonly gpuFirst: Int32Array;
  /** Free milli of each device. */
  readonly gpuFree: Int16Array;
  /** Devices of the node of which nothing is used. */
  readonly gpusIdle: Int16Array;
  /** Free milli of the node's emptiest device. */
  readonly gpuFreeMax: Int16Array;
  readonly classOf: Int32Array;
  readonly #milliCpu: Float64Array;
  readonly #memory: Float64Array;
  readonly #disk: Float64Array;

  /** A row with an amount that is no whole number from 0 to AMOUNT_MAX has nothing of it: it decides nothing. */
  constructor(rows: readonly NodeRow[]) {
    this.nodeCount = rows.length;
    const column = (of: (row: NodeRow) => number): Float64Array =>
      Float64Array.from(rows, (row) => (isSoundAmount(of(row)) ? of(row) : 0));
    this.#milliCpu = column((r) => r.milliCpu);
    this.#memory = column((r) => r.memoryBytes);
    this.#disk = column((r) => r.diskBytes);
    this.milliCpuFree = this.#milliCpu.slice();
    this.memoryFree = this.#memory.slice();
    this.diskFree = this.#disk.slice();
    const gpuCounts = column((r) => r.gpuCount).map((count) => Math.min(count, GPUS_PER_NODE_MAX));
    this.gpuFirst = new Int32Array(rows.length + 1);
    for (let n = 0; n < rows.length; n++)
      this.gpuFirst[n + 1] = (this.gpuFirst[n] ?? 0) + (gpuCounts[n] ?? 0);
    this.gpuFree = new Int16Array(this.gpuFirst[rows.length] ?? 0).fill(MILLI_PER_GPU);
    this.gpusIdle = Int16Array.from(gpuCounts);
    this.gpuFreeMax = Int16Array.from(gpuCounts, (count) => (count > 0 ? MILLI_PER_GPU : 0));
    this.classOf = Int32Array.from(rows, ({ nodeClass = 0 }) => nodeClass);
  }

  /** Whether the node has room for the shape and its class passes the filters. NaN on any side is a no. */
  fits(shape: Shape, node: number): boolean {
    // GPUs first: on a full fleet they are what most nodes lack.
    if (shape.gpuCount > 0 && !this.#hasGpus(shape, node)) return false;
    if (!(shape.milliCpu <= f64(this.milliCpuFree, node))) return false;
    if (!(shape.memoryBytes <= f64(this.memoryFree, node))) return false;
    if (!(shape.diskBytes <= f64(this.diskFree, node))) return false;
    return shape.classes === undefined || shape.classes[i32(this.classOf, node)] === 1;
  }

  /**
   * Gives the node's room to the shape, and of each of these devices (indexes within the node, `gpuCount` of them) its
   * slice. Asserts before anything is changed that nothing is given twice.
   */
  reserve(shape: Shape, node: number, devices: Int16Array): void {
    this.#assertSound(shape, node, devices);
    const hasRoom =
      shape.milliCpu <= f64(this.milliCpuFree, node) &&
      shape.memoryBytes <= f64(this.memoryFree, node) &&
      shape.diskBytes <= f64(this.diskFree, node);
    assert(hasRoom, `node ${node} would be over-committed`);
    for (let i = 0; i < shape.gpuCount; i++) {
      const free = i16(this.gpuFree, i32(this.gpuFirst, node) + i16(devices, i));
      const isFree = shape.gpuMilli <= free;
      assert(isFree, `device ${devices[i]} of node ${node} has no ${shape.gpuMilli} milli free`);
    }
    this.#give(shape, node, { devices, sign: 1 });
  }

  /** Takes back what `reserve` gave. Asserts before anything is changed that no more comes back than the node has. */
  release(shape: Shape, node: number, devices: Int16Array): void {
    this.#assertSound(shape, node, devices);
    const wasGiven =
      f64(this.milliCpuFree, node) + shape.milliCpu <= f64(this.#milliCpu, node) &&
      f64(this.memoryFree, node) + shape.memoryBytes <= f64(this.#memory, node) &&
      f64(this.diskFree, node) + shape.diskBytes <= f64(this.#disk, node);
    assert(wasGiven, `node ${node} would have more free than it has`);
    for (let i = 0; i < shape.gpuCount; i++) {
      const free = i16(this.gpuFree, i32(this.gpuFirst, node) + i16(devices, i));
      const wasTaken = free + shape.gpuMilli <= MILLI_PER_GPU;
      assert(wasTaken, `device ${devices[i]} of node ${node} was released twice`);
    }
    this.#give(shape, node, { devices, sign: -1 });
  }

  /** The node was told to be of another class (cordoned, relabelled, lost …). */
  setClass(node: number, nodeClass: number): void {
    this.classOf[node] = nodeClass;
  }

  #hasGpus({ gpuCount, gpuMilli }: Shape, node: number): boolean {
    if (gpuMilli === MILLI_PER_GPU) return gpuCount <= i16(this.gpusIdle, node);
    if (gpuCount === 1) return gpuMilli <= i16(this.gpuFreeMax, node);
    return this.#devicesWith(gpuMilli, node) >= gpuCount;
  }

  #assertSound(shape: Shape, node: number, devices: Int16Array): void {
    assert(isSoundShape(shape), "a shape that asks for no sound amounts was placed or released");
    assert(node >= 0 && node < this.nodeCount, `there is no node ${node}`);
    const count = i32(this.gpuFirst, node + 1) - i32(this.gpuFirst, node);
    for (let i = 0; i < shape.gpuCount; i++) {
      const device = i16(devices, i);
      assert(device >= 0 && device < count, `node ${node} has no device ${device}`);
      for (let other = 0; other < i; other++)
        assert(devices[other] !== device, `device ${device} of node ${node} was chosen twice`);
    }
  }

  /** `sign` 1 gives, -1 takes back. */
  #give(
    shape: Shape,
    node: number,
    { devices, sign }: { readonly devices: Int16Array; readonly sign: 1 | -1 },
  ): void {
    this.milliCpuFree[node] = f64(this.milliCpuFree, node) - sign * shape.milliCpu;
    this.memoryFree[node] = f64(this.memoryFree, node) - sign * shape.memoryBytes;
    this.diskFree[node] = f64(this.diskFree, node) - sign * shape.diskBytes;
    for (let i = 0; i < shape.gpuCount; i++) {
      const device = i32(this.gpuFirst, node) + i16(devices, i);
      this.gpuFree[device] = i16(this.gpuFree, device) - sign * shape.gpuMilli;
    }
    this.#summarise(node);
  }

  #devicesWith(milli: number, node: number): number {
    let count = 0;
    const end = i32(this.gpuFirst, node + 1);
    for (let g = i32(this.gpuFirst, node); g < end; g++) if (i16(this.gpuFree, g) >= milli) count++;
    return count;
  }

  #summarise(node: number): void {
    let idle = 0;
    let most = 0;
    const end = i32(this.gpuFirst, node + 1);
    for (let g = i32(this.gpuFirst, node); g < end; g++) {
      const free = i16(this.gpuFree, g);
      if (free === MILLI_PER_GPU) idle++;
      if (free > most) most = free;
    }
    this.gpusIdle[node] = idle;
    this.gpuFreeMax[node] = most;
  }
}
