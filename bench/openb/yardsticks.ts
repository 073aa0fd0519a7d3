import type { Random } from "@flotilla/shared/kernel/random";
import { f64, i16, i32 } from "@flotilla/shared/scheduling/engine/columns";
import { NO_NODE } from "@flotilla/shared/scheduling/engine/engine";
import { NO_FIT, type NodeScore } from "@flotilla/shared/scheduling/engine/node-score";
import { GPUS_PER_NODE_MAX, type NodeTable } from "@flotilla/shared/scheduling/engine/node-table";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import { firstDevices } from "./fgd.ts";
import type { Placer } from "./replay.ts";

/** Largest node of the published experiment, which BestFit measures remainders by. */
const MILLI_CPU_MAX = 128_000;
const MILLI_GPU_MAX = 8_000;

/** BestFit as published: the smaller the sum of what is left of CPU and GPUs, the better; the tightest device within. */
export class BestFitScore implements NodeScore {
  readonly #nodes: NodeTable;

  constructor(deps: { readonly nodes: NodeTable }) {
    this.#nodes = deps.nodes;
  }

  evaluate(shape: Shape, node: number): number {
    if (!this.#nodes.fits(shape, node)) return NO_FIT;
    const { gpuFirst, gpuFree, milliCpuFree } = this.#nodes;
    let gpuLeft = -shape.gpuCount * shape.gpuMilli;
    for (let g = i32(gpuFirst, node); g < i32(gpuFirst, node + 1); g++) gpuLeft += i16(gpuFree, g);
    const cpuLeft = f64(milliCpuFree, node) - shape.milliCpu;
    return Math.trunc(
      (1 - ((cpuLeft / MILLI_CPU_MAX) * 0.5 + (gpuLeft / MILLI_GPU_MAX) * 0.5)) * 100,
    );
  }

  chooseDevices(shape: Shape, node: number, devices: Int16Array): void {
    if (shape.gpuCount === 1 && shape.gpuMilli < 1_000) {
      const first = i32(this.#nodes.gpuFirst, node);
      let tightest = -1;
      for (let g = first; g < i32(this.#nodes.gpuFirst, node + 1); g++) {
        const free = i16(this.#nodes.gpuFree, g);
        if (free < shape.gpuMilli) continue;
        if (tightest < 0 || free < i16(this.#nodes.gpuFree, tightest)) tightest = g;
      }
      devices[0] = tightest - first;
    } else firstDevices(this.#nodes, shape, { node, devices });
  }

  nodeChanged(_node: number): void {
    // Nothing is kept from change to change.
  }
}

/** A node and a device drawn among those that fit. */
export class RandomPlacer implements Placer {
  readonly #nodes: NodeTable;
  readonly #random: Random;
  readonly devices = new Int16Array(GPUS_PER_NODE_MAX);

  constructor(deps: { readonly nodes: NodeTable; readonly random: Random }) {
    this.#nodes = deps.nodes;
    this.#random = deps.random;
  }

  place(shape: Shape): number {
    const fitting: number[] = [];
    for (let node = 0; node < this.#nodes.nodeCount; node++)
      if (this.#nodes.fits(shape, node)) fitting.push(node);
    const node = this.#drawn(fitting);
    if (node === undefined) return NO_NODE;
    const [first, end] = [i32(this.#nodes.gpuFirst, node), i32(this.#nodes.gpuFirst, node + 1)];
    let free = Array.from(this.#nodes.gpuFree.subarray(first, end), (milli, i) => ({ milli, i }))
      .filter(({ milli }) => milli >= shape.gpuMilli)
      .map(({ i }) => i);
    for (let i = 0; i < shape.gpuCount; i++) {
      const device = this.#drawn(free) ?? 0;
      this.devices[i] = device;
      free = free.filter((other) => other !== device);
    }
    this.#nodes.reserve(shape, node, this.devices);
    return node;
  }

  #drawn(values: readonly number[]): number | undefined {
    return values[Math.floor(this.#random.unit("placer") * values.length)];
  }
}
