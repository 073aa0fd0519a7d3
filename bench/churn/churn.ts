import { planMoves } from "@flotilla/shared/scheduling/defragment/plan";
import {
  gpusWorth,
  movePrice,
  type Resident,
} from "@flotilla/shared/scheduling/defragment/resident";
import { Engine, NO_NODE } from "@flotilla/shared/scheduling/engine/engine";
import type { NodeScore } from "@flotilla/shared/scheduling/engine/node-score";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import { type Placed, Trial } from "@flotilla/shared/scheduling/engine/trial";
import type { Fleet } from "../openb/fleet.ts";
import type { Course } from "./course.ts";
import { Departures } from "./departures.ts";

/** How a course went, counted after the warm-up. */
export interface ChurnOutcome {
  readonly arrivals: number;
  readonly placed: number;
  /** GPU milli asked for, and of that what found no room. */
  readonly gpuMilliAsked: number;
  readonly gpuMilliBlocked: number;
  readonly blocked: number;
  /** Blocked although as many GPUs were free in all. */
  readonly blockedByFragments: number;
  readonly moves: number;
  /** Requests that got room by moves. */
  readonly plans: number;
  /** Most moves of one plan. */
  readonly movesMax: number;
  /** GPUs in use, percent, mean over the arrivals. */
  readonly allocationPercent: number;
  readonly cpuSeconds: number;
  /** Longest that one plan, found or not, took, CPU milliseconds. */
  readonly planMsMax: number;
}

/** Plays a course: one try for each arrival, and with `defragments` one plan when the try failed. */
export function playChurn(
  course: Course,
  fleet: Fleet,
  options: {
    readonly score: NodeScore;
    readonly milliCpuPerGpu: number;
    readonly defragments: boolean;
  },
): ChurnOutcome {
  const before = process.cpuUsage();
  const churn = new Churn(fleet, options);
  for (const [i, { pod, atLives, lastsLives }] of course.arrivals.entries()) {
    const shape = fleet.shapes[pod];
    if (shape === undefined) throw new Error(`there is no pod ${pod}`);
    churn.arrive(shape, { atLives, lastsLives, counts: i >= course.warmUpArrivals });
  }
  const spent = process.cpuUsage(before);
  return { ...churn.counted(), cpuSeconds: (spent.user + spent.system) / 1e6 };
}

class Churn {
  readonly #fleet: Fleet;
  readonly #engine: Engine;
  readonly #milliCpuPerGpu: number;
  readonly #defragments: boolean;
  readonly #departures = new Departures();
  readonly #residents: Map<string, Resident>[];
  readonly #placedOf = new Map<number, Placed>();
  #next = 0;
  #used = 0;
  #allocationSum = 0;
  readonly #counted = {
    arrivals: 0,
    placed: 0,
    gpuMilliAsked: 0,
    gpuMilliBlocked: 0,
    blocked: 0,
    blockedByFragments: 0,
    moves: 0,
    plans: 0,
    movesMax: 0,
    planMsMax: 0,
  };

  constructor(
    fleet: Fleet,
    options: {
      readonly score: NodeScore;
      readonly milliCpuPerGpu: number;
      readonly defragments: boolean;
    },
  ) {
    this.#fleet = fleet;
    this.#engine = new Engine({ mode: "tree" }, { nodes: fleet.table, score: options.score });
    this.#milliCpuPerGpu = options.milliCpuPerGpu;
    this.#defragments = options.defragments;
    this.#residents = fleet.nodes.map(() => new Map());
  }

  counted(): Omit<ChurnOutcome, "cpuSeconds"> {
    const { arrivals } = this.#counted;
    const allocationPercent = (this.#allocationSum / arrivals / this.#fleet.gpuMilli) * 100;
    return { ...this.#counted, allocationPercent };
  }

  arrive(
    shape: Shape,
    {
      atLives,
      lastsLives,
      counts,
    }: { readonly atLives: number; readonly lastsLives: number; readonly counts: boolean },
  ): void {
    for (const id of this.#departures.until(atLives)) this.#leave(id);
    const milli = shape.gpuCount * shape.gpuMilli;
    const node = this.#engine.place(shape);
    const placed =
      node === NO_NODE
        ? this.#makeRoom(shape, counts)
        : { shape, node, devices: this.#engine.devices.slice(0, shape.gpuCount) };
    if (placed !== undefined) {
      const id = this.#next++;
      this.#settle(id, placed);
      this.#used += milli;
      this.#departures.add(id, atLives + lastsLives);
    }
    if (counts) this.#count(milli, placed !== undefined);
  }

  #count(milli: number, isPlaced: boolean): void {
    const counted = this.#counted;
    counted.arrivals++;
    counted.gpuMilliAsked += milli;
    this.#allocationSum += this.#used;
    if (isPlaced) counted.placed++;
    else {
      counted.blocked++;
      counted.gpuMilliBlocked += milli;
      if (this.#used + milli <= this.#fleet.gpuMilli) counted.blockedByFragments++;
    }
  }

  #makeRoom(shape: Shape, counts: boolean): Placed | undefined {
    if (!this.#defragments) return undefined;
    const before = process.cpuUsage();
    const outcome = planMoves(
      { shapes: [shape], gain: gpusWorth(shape, this.#milliCpuPerGpu) },
      {
        nodes: this.#fleet.table,
        engine: this.#engine,
        residentsOf: (node) => [...(this.#residents[node]?.values() ?? [])],
        budgets: new Map(),
      },
      { trial: new Trial(this.#engine) },
    );
    const spent = process.cpuUsage(before);
    if (counts)
      this.#counted.planMsMax = Math.max(
        this.#counted.planMsMax,
        (spent.user + spent.system) / 1e3,
      );
    if (outcome.kind === "none") return undefined;
    for (const { id, to, toDevices } of outcome.moves) {
      const gone = this.#placedOf.get(Number(id));
      if (gone === undefined) throw new Error(`the plan moves ${id}, which does not run`);
      this.#residents[gone.node]?.delete(id);
      this.#settle(Number(id), {
        shape: gone.shape,
        node: to,
        devices: Int16Array.from(toDevices),
      });
    }
    if (counts) {
      this.#counted.plans++;
      this.#counted.moves += outcome.moves.length;
      this.#counted.movesMax = Math.max(this.#counted.movesMax, outcome.moves.length);
    }
    return outcome.rooms[0];
  }

  #settle(id: number, placed: Placed): void {
    this.#placedOf.set(id, placed);
    const price = movePrice(placed.shape, this.#milliCpuPerGpu);
    this.#residents[placed.node]?.set(String(id), { id: String(id), placed, price, budgets: [] });
  }

  #leave(id: number): void {
    const placed = this.#placedOf.get(id);
    if (placed === undefined) return;
    this.#placedOf.delete(id);
    this.#residents[placed.node]?.delete(String(id));
    this.#used -= placed.shape.gpuCount * placed.shape.gpuMilli;
    this.#engine.release(placed.shape, placed.node, placed.devices);
  }
}
