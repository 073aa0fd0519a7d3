import { type Engine, NO_NODE } from "@flotilla/shared/scheduling/engine/engine";
import type { Fleet } from "./fleet.ts";
import type { Arrivals, TracePod } from "./trace.ts";

/** What chooses: the product's engine, or something with the same two members. */
export type Placer = Pick<Engine, "place" | "devices">;

/** One arrival's end. */
interface Placement {
  readonly pod: number;
  /** Undefined: it found no room. */
  readonly node: string | undefined;
  readonly gpus: readonly number[];
}

/** A replay's outcome. Allocation and arrivals in percent of the fleet's GPUs. */
export interface Replay {
  readonly arrivals: string;
  /** Allocation by arrived percent, 0 to 130: the mean over the events that round to it; NaN where there was none. */
  readonly curve: readonly number[];
  /** Allocation after the last arrival. */
  readonly finalPercent: number;
  /** What had arrived before the first pod that found no room; undefined when all did. */
  readonly firstFailurePercent: number | undefined;
  readonly unallocatedGpus: number;
  readonly placements: readonly Placement[];
  /** CPU time of the decisions, seconds. */
  readonly cpuSeconds: number;
}

/** Plays arrivals: one try per pod, no departures. */
export function replay(
  arrivals: Arrivals,
  fleet: Fleet,
  { pods, placer }: { readonly pods: readonly TracePod[]; readonly placer: Placer },
): Replay {
  const curve = new Curve();
  const placements: Placement[] = [];
  let [arrived, used] = [0, 0];
  let firstFailurePercent: number | undefined;
  const before = process.cpuUsage();
  for (const row of arrivals.pods) {
    const [shape, pod] = [fleet.shapes[row], pods[row]];
    if (shape === undefined || pod === undefined) throw new Error(`there is no pod ${row}`);
    const node = placer.place(shape);
    const milli = pod.gpuCount * pod.gpuMilli;
    if (node === NO_NODE) firstFailurePercent ??= (arrived / fleet.gpuMilli) * 100;
    else used += milli;
    arrived += milli;
    curve.add((arrived / fleet.gpuMilli) * 100, (used / fleet.gpuMilli) * 100);
    placements.push(
      placementOf(row, fleet.nodes[node]?.name, [...placer.devices.subarray(0, pod.gpuCount)]),
    );
  }
  const spent = process.cpuUsage(before);
  return {
    arrivals: arrivals.name,
    curve: curve.means(),
    finalPercent: (used / fleet.gpuMilli) * 100,
    firstFailurePercent,
    unallocatedGpus: (fleet.gpuMilli - used) / 1_000,
    placements,
    cpuSeconds: (spent.user + spent.system) / 1e6,
  };
}

function placementOf(pod: number, node: string | undefined, gpus: readonly number[]): Placement {
  return { pod, node, gpus: node === undefined ? [] : gpus };
}

/** Greatest arrived percent that has a column. */
const PERCENT_MAX = 130;

class Curve {
  readonly #sums = new Float64Array(PERCENT_MAX + 1);
  readonly #counts = new Float64Array(PERCENT_MAX + 1);

  add(arrivedPercent: number, allocatedPercent: number): void {
    const column = roundHalfEven(arrivedPercent);
    if (column > PERCENT_MAX) return;
    this.#sums[column] = (this.#sums[column] ?? 0) + allocatedPercent;
    this.#counts[column] = (this.#counts[column] ?? 0) + 1;
  }

  means(): readonly number[] {
    return Array.from(this.#sums, (sum, i) => sum / (this.#counts[i] ?? 0));
  }
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
