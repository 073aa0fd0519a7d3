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
  /** Most instances that it takes. Default: no limit. */
  readonly instanceCount?: number;
}

/** What was given of a node elsewhere, to be booked as it is. */
export interface Booking {
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly instanceCount: number;
  readonly ports: readonly string[];
  /** Milli by device, an index within the node. */
  readonly devices: readonly (readonly [device: number, milli: number])[];
}

/** Device classes with an odd number are partitions of a card (MIG devices), which no request for cards gets. */
export function isPartition(deviceClass: number): boolean {
  return deviceClass % 2 === 1;
}

/** Most instances of a node that says no limit. */
const INSTANCES_MAX = 2 ** 30;

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
  /** Class of each device, for shapes that not every device suits. */
  readonly deviceClassOf: Uint16Array;
  /** Instances that the node still takes. */
  readonly instancesFree: Int32Array;
  /** Host ports in use by node, with how many use each; a node without any has none. */
  readonly #ports = new Map<number, Map<string, number>>();
  readonly #milliCpu: Float64Array;
  readonly #memory: Float64Array;
  readonly #disk: Float64Array;
  readonly #instances: Int32Array;

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
    this.deviceClassOf = new Uint16Array(this.gpuFree.length);
    this.instancesFree = Int32Array.from(rows, instancesOf);
    this.#instances = this.instancesFree.slice();
  }

  /** Whether the node has room for the shape and its class passes the filters. NaN on any side is a no. */
  fits(shape: Shape, node: number): boolean {
    // GPUs first: on a full fleet they are what most nodes lack.
    if (shape.gpuCount > 0 && !this.hasGpus(shape, node)) return false;
    if (!(shape.milliCpu <= f64(this.milliCpuFree, node))) return false;
    if (!(shape.memoryBytes <= f64(this.memoryFree, node))) return false;
    if (!(shape.diskBytes <= f64(this.diskFree, node))) return false;
    if (shape.classes !== undefined && shape.classes[i32(this.classOf, node)] !== 1) return false;
    if (i32(this.instancesFree, node) <= 0) return false;
    return shape.ports === undefined || this.takenPort(shape.ports, node) === undefined;
  }

  /** The first of these host ports that is in use on the node. */
  takenPort(ports: readonly string[], node: number): string | undefined {
    const used = this.#ports.get(node);
    return used === undefined ? undefined : ports.find((port) => used.has(port));
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

  /** Undoes a release, whether or not there is room: a node that shrank below what is assigned to it holds on to it. */
  restore(shape: Shape, node: number, devices: Int16Array): void {
    this.#assertSound(shape, node, devices);
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

  /**
   * Changes what the node has in all. What is given stays given, so that less than nothing may be free. `gpuCount` is not
   * looked at: devices come and go with `setDevice`.
   */
  resize(node: number, row: NodeRow): void {
    resizeColumn(this.#milliCpu, this.milliCpuFree, node, row.milliCpu);
    resizeColumn(this.#memory, this.memoryFree, node, row.memoryBytes);
    resizeColumn(this.#disk, this.diskFree, node, row.diskBytes);
    const instances = instancesOf(row);
    const more = instances - i32(this.#instances, node);
    this.#instances[node] = instances;
    this.instancesFree[node] = i32(this.instancesFree, node) + more;
  }

  /** Makes a row one without a node, whatever was given of it. Its class stays. */
  clear(node: number): void {
    for (const column of [this.#milliCpu, this.#memory, this.#disk]) column[node] = 0;
    for (const column of [this.milliCpuFree, this.memoryFree, this.diskFree]) column[node] = 0;
    this.#instances[node] = 0;
    this.instancesFree[node] = 0;
    this.#ports.delete(node);
    const [first, end] = [i32(this.gpuFirst, node), i32(this.gpuFirst, node + 1)];
    this.gpuFree.fill(0, first, end);
    this.deviceClassOf.fill(0, first, end);
    this.#summarise(node);
  }

  /** Sets what is free of a device, and its class. 0: it is gone, or none was there yet. */
  setDevice(node: number, device: number, set: { freeMilli: number; deviceClass: number }): void {
    const g = i32(this.gpuFirst, node) + device;
    assert(g < i32(this.gpuFirst, node + 1), `node ${node} has no device ${device}`);
    this.gpuFree[g] = set.freeMilli;
    this.deviceClassOf[g] = set.deviceClass;
    this.#summarise(node);
  }

  /** Books what was given elsewhere (`sign` 1), or takes such a booking back (-1), whether or not there is room. */
  book(node: number, booking: Booking, sign: 1 | -1): void {
    this.milliCpuFree[node] = f64(this.milliCpuFree, node) - sign * booking.milliCpu;
    this.memoryFree[node] = f64(this.memoryFree, node) - sign * booking.memoryBytes;
    this.diskFree[node] = f64(this.diskFree, node) - sign * booking.diskBytes;
    this.instancesFree[node] = i32(this.instancesFree, node) - sign * booking.instanceCount;
    this.#usePorts(node, booking.ports, sign);
    for (const [device, milli] of booking.devices) {
      const g = i32(this.gpuFirst, node) + device;
      this.gpuFree[g] = i16(this.gpuFree, g) - sign * milli;
    }
    if (booking.devices.length > 0) this.#summarise(node);
  }

  /** The node was told to be of another class (cordoned, relabelled, lost …). */
  setClass(node: number, nodeClass: number): void {
    this.classOf[node] = nodeClass;
  }

  /** Whether the shape can use a device (an index among all devices) of this kind. */
  suits(shape: Shape, device: number): boolean {
    return (
      shape.deviceClasses === undefined ||
      shape.deviceClasses[this.deviceClassOf[device] ?? 0] === 1
    );
  }

  /** Whether enough devices have room. */
  hasGpus(shape: Shape, node: number): boolean {
    const { gpuCount, gpuMilli } = shape;
    if (shape.deviceClasses !== undefined) return this.#devicesFor(shape, node) >= gpuCount;
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
    this.instancesFree[node] = i32(this.instancesFree, node) - sign;
    if (shape.ports !== undefined) this.#usePorts(node, shape.ports, sign);
    for (let i = 0; i < shape.gpuCount; i++) {
      const device = i32(this.gpuFirst, node) + i16(devices, i);
      this.gpuFree[device] = i16(this.gpuFree, device) - sign * shape.gpuMilli;
    }
    this.#summarise(node);
  }

  #devicesFor(shape: Shape, node: number): number {
    let count = 0;
    const end = i32(this.gpuFirst, node + 1);
    for (let g = i32(this.gpuFirst, node); g < end; g++)
      if (i16(this.gpuFree, g) >= shape.gpuMilli && this.suits(shape, g)) count++;
    return count;
  }

  #usePorts(node: number, ports: readonly string[], sign: 1 | -1): void {
    if (ports.length === 0) return;
    const used = this.#ports.get(node) ?? new Map<string, number>();
    for (const port of ports) {
      const count = (used.get(port) ?? 0) + sign;
      if (count > 0) used.set(port, count);
      else used.delete(port);
    }
    if (used.size > 0) this.#ports.set(node, used);
    else this.#ports.delete(node);
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

function instancesOf({ instanceCount = INSTANCES_MAX }: NodeRow): number {
  return Math.min(INSTANCES_MAX, isSoundAmount(instanceCount) ? instanceCount : 0);
}

function resizeColumn(all: Float64Array, free: Float64Array, node: number, amount: number): void {
  const next = isSoundAmount(amount) ? amount : 0;
  free[node] = f64(free, node) + next - f64(all, node);
  all[node] = next;
}
