import { f64, i16, i32 } from "./columns.ts";
import { assert } from "../../kernel/assert.ts";
import { MILLI_PER_GPU } from "../gpu/request-mix.ts";
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
   * slice. Asserts that nothing is given twice.
   */
  reserve(shape: Shape, node: number, devices: Int16Array): void {
    assert(isSoundShape(shape), "a shape that asks for no sound amounts was placed");
    assert(node >= 0 && node < this.nodeCount, `there is no node ${node}`);
    this.#take(this.milliCpuFree, node, shape.milliCpu);
    this.#take(this.memoryFree, node, shape.memoryBytes);
    this.#take(this.diskFree, node, shape.diskBytes);
    for (let i = 0; i < shape.gpuCount; i++) {
      const device = this.#device(node, devices, i);
      const left = i16(this.gpuFree, device) - shape.gpuMilli;
      assert(left >= 0, `device ${devices[i]} of node ${node} has no ${shape.gpuMilli} milli free`);
      this.gpuFree[device] = left;
    }
    this.#summarise(node);
  }

  /** Takes back what `reserve` gave. Asserts that no more comes back than the node has. */
  release(shape: Shape, node: number, devices: Int16Array): void {
    assert(isSoundShape(shape), "a shape that asks for no sound amounts was released");
    assert(node >= 0 && node < this.nodeCount, `there is no node ${node}`);
    this.#giveBack([this.milliCpuFree, this.#milliCpu], node, shape.milliCpu);
    this.#giveBack([this.memoryFree, this.#memory], node, shape.memoryBytes);
    this.#giveBack([this.diskFree, this.#disk], node, shape.diskBytes);
    for (let i = 0; i < shape.gpuCount; i++) {
      const device = this.#device(node, devices, i);
      const left = i16(this.gpuFree, device) + shape.gpuMilli;
      assert(left <= MILLI_PER_GPU, `device ${devices[i]} of node ${node} was released twice`);
      this.gpuFree[device] = left;
    }
    this.#summarise(node);
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

  #take(column: Float64Array, node: number, amount: number): void {
    const left = f64(column, node) - amount;
    assert(left >= 0, `node ${node} would be over-committed`);
    column[node] = left;
  }

  #giveBack(
    [column, total]: readonly [Float64Array, Float64Array],
    node: number,
    amount: number,
  ): void {
    const left = f64(column, node) + amount;
    assert(left <= f64(total, node), `node ${node} would have more free than it has`);
    column[node] = left;
  }

  #device(node: number, devices: Int16Array, i: number): number {
    const chosen = i16(devices, i);
    for (let other = 0; other < i; other++)
      assert(devices[other] !== chosen, `device ${chosen} of node ${node} was chosen twice`);
    const device = i32(this.gpuFirst, node) + chosen;
    const isOwn = chosen >= 0 && device < i32(this.gpuFirst, node + 1);
    assert(isOwn, `node ${node} has no device ${chosen}`);
    return device;
  }

  #devicesWith(milli: number, node: number): number {
    let count = 0;
    const end = i32(this.gpuFirst, node + 1);
    for (let g = i32(this.gpuFirst, node); g < end; g++)
      if (i16(this.gpuFree, g) >= milli) count++;
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
