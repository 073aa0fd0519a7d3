import { f64, i16, i32 } from "../engine/columns.ts";
import type { NodeTable } from "../engine/node-table.ts";
import { isSoundShape, type Shape } from "../engine/shape.ts";
import type { Placed } from "../engine/trial.ts";
import { add, type Vector, zeros } from "./amounts.ts";

/** Room of one node that can be thought changed: victims away, members there. Reused, for searches look at many nodes. */
export class NodeSketch {
  readonly #nodes: NodeTable;
  #node = 0;
  #instances = 0;
  /** Ports of what is thought away. */
  readonly #portsFreed = new Set<string>();
  milliCpu = 0;
  memoryBytes = 0;
  diskBytes = 0;
  /** Free milli by device; can be more than a whole device while the same room is thought free twice, never less than 0. */
  gpu = new Int32Array(0);

  constructor(nodes: NodeTable) {
    this.#nodes = nodes;
  }

  get node(): number {
    return this.#node;
  }

  /** Begins with what is free on the node now. */
  reset(node: number): this {
    const first = i32(this.#nodes.gpuFirst, node);
    const end = i32(this.#nodes.gpuFirst, node + 1);
    this.#node = node;
    this.#instances = i32(this.#nodes.instancesFree, node);
    this.#portsFreed.clear();
    this.milliCpu = f64(this.#nodes.milliCpuFree, node);
    this.memoryBytes = f64(this.#nodes.memoryFree, node);
    this.diskBytes = f64(this.#nodes.diskFree, node);
    if (this.gpu.length !== end - first) this.gpu = new Int32Array(end - first);
    for (let g = first; g < end; g++) this.gpu[g - first] = i16(this.#nodes.gpuFree, g);
    return this;
  }

  /** Thinks the room free (`sign` 1) or taken (-1). */
  change({ shape, devices }: Pick<Placed, "shape" | "devices">, sign: 1 | -1): void {
    this.#instances += sign;
    for (const port of shape.ports ?? [])
      if (sign === 1) this.#portsFreed.add(port);
      else this.#portsFreed.delete(port);
    this.milliCpu += sign * shape.milliCpu;
    this.memoryBytes += sign * shape.memoryBytes;
    this.diskBytes += sign * shape.diskBytes;
    for (let i = 0; i < shape.gpuCount; i++) {
      const device = i16(devices, i);
      this.gpu[device] = (this.gpu[device] ?? 0) + sign * shape.gpuMilli;
    }
  }

  /** Whether the shape has room; its class is looked at on the table. */
  fits(shape: Shape): boolean {
    return (
      shape.milliCpu <= this.milliCpu &&
      shape.memoryBytes <= this.memoryBytes &&
      shape.diskBytes <= this.diskBytes &&
      this.#instances >= 1 &&
      this.#hasDevices(shape) &&
      this.#hasPorts(shape) &&
      passesClass(this.#nodes, shape, this.#node)
    );
  }

  /** The devices that the shape would take: of those with room the tightest, so that whole ones stay whole. */
  devicesFor(shape: Shape): Int16Array {
    const free = [...this.gpu.entries()].filter(([device]) => this.#isFree(shape, device));
    const tightest = free.toSorted((a, b) => a[1] - b[1] || a[0] - b[0]);
    return Int16Array.from(tightest.slice(0, shape.gpuCount), ([device]) => device);
  }

  #hasDevices(shape: Shape): boolean {
    if (shape.gpuCount === 0) return true;
    let count = 0;
    for (let device = 0; device < this.gpu.length; device++)
      if (this.#isFree(shape, device)) count++;
    return count >= shape.gpuCount;
  }

  #isFree(shape: Shape, device: number): boolean {
    return (
      (this.gpu[device] ?? 0) >= shape.gpuMilli &&
      this.#nodes.suits(shape, i32(this.#nodes.gpuFirst, this.#node) + device)
    );
  }

  #hasPorts({ ports = [] }: Shape): boolean {
    return ports.every(
      (port) =>
        this.#portsFreed.has(port) || this.#nodes.takenPort([port], this.#node) === undefined,
    );
  }
}

export function passesClass(nodes: NodeTable, shape: Shape, node: number): boolean {
  return shape.classes === undefined || shape.classes[i32(nodes.classOf, node)] === 1;
}

/** Whether exactly this room is free. */
export function isFree(nodes: NodeTable, { shape, node, devices }: Placed): boolean {
  if (!(shape.milliCpu <= f64(nodes.milliCpuFree, node))) return false;
  if (!(shape.memoryBytes <= f64(nodes.memoryFree, node))) return false;
  if (!(shape.diskBytes <= f64(nodes.diskFree, node))) return false;
  if (i32(nodes.instancesFree, node) < 1) return false;
  if (shape.ports !== undefined && nodes.takenPort(shape.ports, node) !== undefined) return false;
  const first = i32(nodes.gpuFirst, node);
  for (let i = 0; i < shape.gpuCount; i++)
    if (!(shape.gpuMilli <= i16(nodes.gpuFree, first + i16(devices, i)))) return false;
  return true;
}

/** What the nodes could hold were they empty of all that the round knows to run. */
export class Possible {
  readonly totals: Vector = zeros();
  readonly #nodes: NodeTable;
  readonly #milliCpu: Float64Array;
  readonly #memory: Float64Array;
  readonly #disk: Float64Array;
  readonly #gpuMilli: Float64Array;
  readonly #known = new Map<Shape, boolean>();

  constructor(nodes: NodeTable, running: Iterable<{ readonly placed: Placed }>) {
    this.#nodes = nodes;
    this.#milliCpu = nodes.milliCpuFree.slice();
    this.#memory = nodes.memoryFree.slice();
    this.#disk = nodes.diskFree.slice();
    this.#gpuMilli = new Float64Array(nodes.nodeCount);
    for (let n = 0; n < nodes.nodeCount; n++)
      for (let g = i32(nodes.gpuFirst, n); g < i32(nodes.gpuFirst, n + 1); g++)
        this.#gpuMilli[n] = f64(this.#gpuMilli, n) + i16(nodes.gpuFree, g);
    for (const { placed } of running) this.#giveBack(placed);
    for (let n = 0; n < nodes.nodeCount; n++)
      add(
        this.totals,
        Float64Array.of(
          f64(this.#milliCpu, n),
          f64(this.#memory, n),
          f64(this.#disk, n),
          f64(this.#gpuMilli, n),
        ),
      );
  }

  /** Whether some node could hold the shape. */
  fits(shape: Shape): boolean {
    const known = this.#known.get(shape);
    if (known !== undefined) return known;
    const fits = isSoundShape(shape) && this.#search(shape);
    this.#known.set(shape, fits);
    return fits;
  }

  #search(shape: Shape): boolean {
    for (let n = 0; n < this.#nodes.nodeCount; n++)
      if (
        shape.milliCpu <= f64(this.#milliCpu, n) &&
        shape.memoryBytes <= f64(this.#memory, n) &&
        shape.diskBytes <= f64(this.#disk, n) &&
        shape.gpuCount <= i32(this.#nodes.gpuFirst, n + 1) - i32(this.#nodes.gpuFirst, n) &&
        shape.gpuCount * shape.gpuMilli <= f64(this.#gpuMilli, n) &&
        passesClass(this.#nodes, shape, n)
      )
        return true;
    return false;
  }

  #giveBack({ shape, node }: Placed): void {
    this.#milliCpu[node] = f64(this.#milliCpu, node) + shape.milliCpu;
    this.#memory[node] = f64(this.#memory, node) + shape.memoryBytes;
    this.#disk[node] = f64(this.#disk, node) + shape.diskBytes;
    this.#gpuMilli[node] = f64(this.#gpuMilli, node) + shape.gpuCount * shape.gpuMilli;
  }
}
