import { f64, i16, i32 } from "@flotilla/shared/scheduling/engine/columns";
import { NO_FIT, type NodeScore } from "@flotilla/shared/scheduling/engine/node-score";
import { type NodeTable } from "@flotilla/shared/scheduling/engine/node-table";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import type { TracePod } from "./trace.ts";

/**
 * Fragmentation gradient descent ("Beware of Fragmentation", USENIX ATC'23), as published: the score is the fall of the
 * fragmentation that a placement brings, squeezed to whole numbers 0 to 100. The truncation and the order of the float
 * sums decide many ties, so both are kept exactly.
 */

/** A kind of pod that fragmentation is measured for, and its share of all. */
export interface TypicalPod {
  readonly milliCpu: number;
  readonly gpuCount: number;
  readonly gpuMilli: number;
  readonly gpuSpec: string;
  readonly share: number;
}

/** Share of all pods that the typical ones cover. */
const COVERED_PERCENT = 95;

/** The most frequent kinds of pods, until they cover 95 % of all. Ties: the greater first. */
export function typicalPods(pods: readonly TracePod[]): readonly TypicalPod[] {
  const kinds = new Map<string, { pod: TracePod; count: number }>();
  for (const pod of pods) {
    const key = JSON.stringify([pod.milliCpu, pod.gpuCount, pod.gpuMilli, pod.models]);
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, { pod, count: 1 });
    else kind.count++;
  }
  const ordered = [...kinds.values()].toSorted(
    (a, b) => b.count - a.count || greaterFirst(a.pod, b.pod),
  );
  const chosen: typeof ordered = [];
  let covered = 0;
  for (const kind of ordered) {
    if (covered >= (COVERED_PERCENT * pods.length) / 100) break;
    covered += kind.count;
    chosen.push(kind);
  }
  const share = chosen.length < ordered.length ? covered / pods.length : 1;
  return chosen.map(({ pod, count }) => ({
    milliCpu: pod.milliCpu,
    gpuCount: pod.gpuCount,
    gpuMilli: pod.gpuMilli,
    gpuSpec: pod.models.join("|"),
    share: count / pods.length / share,
  }));
}

function greaterFirst(a: TracePod, b: TracePod): number {
  const [specA, specB] = [a.models.join("|"), b.models.join("|")];
  return (
    b.milliCpu - a.milliCpu ||
    b.gpuMilli - a.gpuMilli ||
    b.gpuCount - a.gpuCount ||
    (specA < specB ? 1 : specA > specB ? -1 : 0)
  );
}

/** What fragmentation is measured of. */
export interface FgdNode {
  readonly milliCpuFree: number;
  readonly gpuFree: readonly number[];
  readonly model: string;
}

/** Idle GPU milli that a pod of the typical ones, drawn at random, cannot use. Summed per category, then in their order. */
export function fragmentation(node: FgdNode, typical: readonly TypicalPod[]): number {
  const { gpuFree, milliCpuFree, model } = node;
  const idle = sumBelow(gpuFree, Number.POSITIVE_INFINITY);
  let [lackBoth, lackGpu, lackCpu, cpuOnlyFits, cpuOnlyLacks, noAccess] = [0, 0, 0, 0, 0, 0];
  for (const pod of typical) {
    const hasCpu = milliCpuFree >= pod.milliCpu;
    const milli = pod.share * idle;
    if (pod.gpuMilli === 0) {
      if (hasCpu) cpuOnlyFits += milli;
      else cpuOnlyLacks += milli;
    } else if (pod.gpuSpec !== "" && !pod.gpuSpec.split("|").includes(model)) noAccess += milli;
    else if (countFrom(gpuFree, pod.gpuMilli) < pod.gpuCount) {
      if (hasCpu) lackGpu += milli;
      else lackBoth += milli;
    } else if (hasCpu) lackGpu += pod.share * sumBelow(gpuFree, pod.gpuMilli);
    else lackCpu += milli;
  }
  return lackBoth + lackGpu + lackCpu + cpuOnlyFits + cpuOnlyLacks + noAccess;
}

/** Free milli of the devices that have less than this. */
function sumBelow(gpuFree: readonly number[], milli: number): number {
  let sum = 0;
  for (const free of gpuFree) if (free < milli) sum += free;
  return sum;
}

/** How many devices have this much free. */
function countFrom(gpuFree: readonly number[], milli: number): number {
  let count = 0;
  for (const free of gpuFree) if (free >= milli) count++;
  return count;
}

/** The published score of a change of fragmentation, milli. */
export function fgdScore(before: number, after: number): number {
  return Math.trunc((1 / (1 + Math.exp(-((before - after) / 1_000)))) * 100);
}

/** FGD as a score of the engine. */
export class FgdScore implements NodeScore {
  readonly #nodes: NodeTable;
  readonly #models: readonly string[];
  readonly #typical: readonly TypicalPod[];
  readonly #fragmentation: Float64Array;
  #device = 0;

  constructor(
    options: { readonly typical: readonly TypicalPod[]; readonly models: readonly string[] },
    deps: { readonly nodes: NodeTable },
  ) {
    this.#nodes = deps.nodes;
    this.#models = options.models;
    this.#typical = options.typical;
    this.#fragmentation = new Float64Array(deps.nodes.nodeCount);
    for (let node = 0; node < deps.nodes.nodeCount; node++) this.nodeChanged(node);
  }

  evaluate(shape: Shape, node: number): number {
    if (!this.#nodes.fits(shape, node)) return NO_FIT;
    const now = this.#nodeOf(node);
    const milliCpuFree = now.milliCpuFree - shape.milliCpu;
    const before = f64(this.#fragmentation, node);
    const scoreWith = (gpuFree: readonly number[]): number =>
      fgdScore(before, fragmentation({ ...now, milliCpuFree, gpuFree }, this.#typical));
    if (shape.gpuCount !== 1 || shape.gpuMilli === 1_000)
      return scoreWith(afterWhole(now.gpuFree, shape));
    let best = NO_FIT;
    for (const [device, free] of now.gpuFree.entries()) {
      // Devices that are equally free score the same, and the first of them wins.
      if (free < shape.gpuMilli || now.gpuFree.indexOf(free) < device) continue;
      const score = scoreWith(now.gpuFree.with(device, free - shape.gpuMilli));
      if (score <= best) continue;
      best = score;
      this.#device = device;
    }
    return best;
  }

  chooseDevices(shape: Shape, node: number, devices: Int16Array): void {
    if (shape.gpuCount === 1 && shape.gpuMilli < 1_000) {
      this.evaluate(shape, node);
      devices[0] = this.#device;
    } else firstDevices(this.#nodes, shape, { node, devices });
  }

  nodeChanged(node: number): void {
    this.#fragmentation[node] = fragmentation(this.#nodeOf(node), this.#typical);
  }

  #nodeOf(node: number): FgdNode {
    const { gpuFree, gpuFirst, milliCpuFree, classOf } = this.#nodes;
    return {
      milliCpuFree: f64(milliCpuFree, node),
      gpuFree: [...gpuFree.subarray(i32(gpuFirst, node), i32(gpuFirst, node + 1))],
      model: this.#models[i32(classOf, node)] ?? "",
    };
  }
}

/** Whole devices are taken in the order of their indexes. */
export function firstDevices(
  nodes: NodeTable,
  shape: Shape,
  { node, devices }: { readonly node: number; readonly devices: Int16Array },
): void {
  const first = i32(nodes.gpuFirst, node);
  let count = 0;
  for (let g = first; g < i32(nodes.gpuFirst, node + 1) && count < shape.gpuCount; g++)
    if (i16(nodes.gpuFree, g) >= shape.gpuMilli) devices[count++] = g - first;
}

function afterWhole(gpuFree: readonly number[], { gpuCount, gpuMilli }: Shape): readonly number[] {
  let left = gpuCount;
  return gpuFree.map((free) =>
    left > 0 && free >= gpuMilli && left-- > 0 ? free - gpuMilli : free,
  );
}
