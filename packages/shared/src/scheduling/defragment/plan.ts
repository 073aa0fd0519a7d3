import type { Engine } from "../engine/engine.ts";
import type { NodeTable } from "../engine/node-table.ts";
import { isSoundShape, type Shape } from "../engine/shape.ts";
import type { Placed, Trial } from "../engine/trial.ts";
import { candidateNodes, hasInTotal } from "./candidates.ts";
import type { Resident } from "./resident.ts";
import { type Shortage, shortageOf, type VictimSet, victimSets } from "./victims.ts";

/** Most moves of one plan. */
export const PLAN_MOVES_MAX = 8;

/** Most nodes of which the residents are looked at for one request; those that lack the fewest devices come first. */
export const PLAN_NODES_MAX = 1_000;

/** Most sets of victims that are tried out for one plan. */
export const PLAN_TRIALS_MAX = 200;

/** Limits of a plan; each has its constant as the default. */
export interface DefragmentLimits {
  readonly movesMax?: number;
  readonly nodesMax?: number;
  readonly trialsMax?: number;
}

/** A request that found no room: one shape, or the members of a gang, which get room all or none. */
export interface DefragmentRequest {
  readonly shapes: readonly Shape[];
  /** What it is worth to run it, GPUs (`gpusWorth`, summed); moves that cost more are not made. */
  readonly gain: number;
}

/** The fleet as the planner sees it. */
export interface DefragmentFleet {
  readonly nodes: NodeTable;
  readonly engine: Engine;
  /** What runs on a node, in an order that is the same each time. Room that is taken by something else stays taken. */
  readonly residentsOf: (node: number) => readonly Resident[];
  /** Moves still allowed, by key. */
  readonly budgets: ReadonlyMap<string, number>;
}

/** One instance that goes from one room to another. Devices are indexes within the node. */
export interface Move {
  readonly id: string;
  readonly from: number;
  readonly fromDevices: readonly number[];
  readonly to: number;
  readonly toDevices: readonly number[];
  readonly price: number;
}

/** Why there is no plan. */
export type NoPlanReason =
  /** It asks for nothing that can be given, or its gain is no number. */
  | "unsound"
  /** There is room without a move. */
  | "fits"
  /** Less is free in the whole fleet than is asked for: moves make no room. */
  | "too-little-in-total"
  /** No node that it may use has so much, even if all that may move had left. */
  | "no-node-large-enough"
  | "too-many-moves"
  /** The moves cost more than the request is worth, or their budgets are used up. */
  | "not-worth-it"
  /** What would have to move fits nowhere else. */
  | "victims-fit-nowhere";

export type DefragmentOutcome =
  | {
      readonly kind: "plan";
      /** The room of each shape, in the order of the request. */
      readonly rooms: readonly Placed[];
      /** Made one at a time in this order, each goes to a room that is free by then. */
      readonly moves: readonly Move[];
      /** Sum of the moves' prices, GPUs. */
      readonly price: number;
    }
  | { readonly kind: "none"; readonly reason: NoPlanReason };

/**
 * The fewest moves, and of equally few the cheapest, that give a blocked request its room: victims leave one node (per
 * gang member that is blocked), each goes where the engine puts it now. Nothing is moved twice, and nothing onto the room
 * that is made. With a plan the trial holds its outcome: victims in their new rooms, the request in its own; `undoTo` the mark
 * from before leaves the engine as it was. Without one the trial is where it was.
 */
export function planMoves(
  request: DefragmentRequest,
  fleet: DefragmentFleet,
  options: { readonly trial: Trial; readonly limits?: DefragmentLimits },
): DefragmentOutcome {
  const isSound =
    request.shapes.length > 0 && request.shapes.every(isSoundShape) && request.gain >= 0;
  if (!isSound) return { kind: "none", reason: "unsound" };
  const { trial, limits = {} } = options;
  const mark = trial.mark;
  const planner = new Planner(request, fleet, { trial, limits });
  const outcome = planner.run();
  if (outcome.kind === "none") trial.undoTo(mark);
  return outcome;
}

class Planner {
  readonly #request: DefragmentRequest;
  readonly #fleet: DefragmentFleet;
  readonly #trial: Trial;
  readonly #movesMax: number;
  readonly #nodesMax: number;
  readonly #moves: Move[] = [];
  readonly #moved = new Set<string>();
  readonly #budgets: Map<string, number>;
  #priceLeft: number;
  #trialsLeft: number;

  constructor(
    request: DefragmentRequest,
    fleet: DefragmentFleet,
    { trial, limits }: { readonly trial: Trial; readonly limits: DefragmentLimits },
  ) {
    this.#request = request;
    this.#fleet = fleet;
    this.#trial = trial;
    this.#movesMax = limits.movesMax ?? PLAN_MOVES_MAX;
    this.#nodesMax = limits.nodesMax ?? PLAN_NODES_MAX;
    this.#trialsLeft = limits.trialsMax ?? PLAN_TRIALS_MAX;
    this.#budgets = new Map(fleet.budgets);
    this.#priceLeft = request.gain;
  }

  run(): DefragmentOutcome {
    const { shapes } = this.#request;
    const rooms: Placed[] = [];
    // The largest members first: they have the fewest nodes to choose from.
    for (const i of largestFirst(shapes)) {
      const shape = shapes[i];
      if (shape === undefined) continue;
      const room = this.#trial.place(shape) ?? this.#makeRoom(shape);
      if (typeof room === "string") return { kind: "none", reason: room };
      rooms[i] = room;
    }
    if (this.#moves.length === 0) return { kind: "none", reason: "fits" };
    const price = this.#moves.reduce((sum, move) => sum + move.price, 0);
    return { kind: "plan", rooms, moves: this.#moves, price };
  }

  #makeRoom(shape: Shape): Placed | NoPlanReason {
    const { nodes } = this.#fleet;
    if (!hasInTotal(nodes, shape)) return "too-little-in-total";
    const shortages = candidateNodes(nodes, shape, this.#nodesMax)
      .map((node) => shortageOf(nodes, node, shape, this.#movableOn(node)))
      .filter((s) => Number.isFinite(s.movesMin));
    if (shortages.length === 0) return "no-node-large-enough";
    let reason: NoPlanReason = "too-many-moves";
    for (let moves = 1; moves <= this.#movesMax - this.#moves.length; moves++) {
      const sets = this.#setsOf(shape, shortages, moves);
      const affordable = sets.filter((s) => s.price <= this.#priceLeft);
      if (affordable.length < sets.length && reason === "too-many-moves") reason = "not-worth-it";
      for (const set of affordable) {
        reason = "victims-fit-nowhere";
        if (this.#trialsLeft-- <= 0) return reason;
        const room = this.#tryOut(shape, set);
        if (room !== undefined) return room;
      }
    }
    return reason;
  }

  #movableOn(node: number): readonly Resident[] {
    return this.#fleet
      .residentsOf(node)
      .filter(
        (r) =>
          r.lock === undefined &&
          r.placed.node === node &&
          r.price >= 0 &&
          !this.#moved.has(r.id) &&
          (r.budgets.length === 0 || this.#allows([r])),
      );
  }

  /** The cheapest first, then by node. */
  #setsOf(shape: Shape, shortages: readonly Shortage[], moves: number): readonly VictimSet[] {
    return shortages
      .filter((s) => s.movesMin <= moves)
      .flatMap((s) => victimSets(shape, s, moves, (victims) => this.#allows(victims)))
      .toSorted((a, b) => a.price - b.price || a.node - b.node);
  }

  #allows(victims: readonly Resident[]): boolean {
    if (victims.every((v) => v.budgets.length === 0)) return true;
    const taken = new Map<string, number>();
    for (const key of victims.flatMap((v) => v.budgets)) taken.set(key, (taken.get(key) ?? 0) + 1);
    return [...taken].every(([key, count]) => count <= (this.#budgets.get(key) ?? 0));
  }

  /** Whether every victim finds another room; if so they have moved, and the shape has its own. */
  #tryOut(shape: Shape, { node, devices, victims, price }: VictimSet): Placed | undefined {
    const trial = this.#trial;
    const mark = trial.mark;
    const freeBefore = deviceRoom(this.#fleet.nodes, node);
    for (const victim of victims) trial.release(victim.placed);
    const room: Placed = { shape, node, devices };
    trial.reserve(room);
    const order = largestFirst(victims.map((v) => v.placed.shape));
    const moves: Move[] = [];
    for (const i of order) {
      const victim = victims[i];
      const to = victim === undefined ? undefined : trial.place(victim.placed.shape);
      if (
        victim === undefined ||
        to === undefined ||
        (to.node === node && !takes(freeBefore, to))
      ) {
        trial.undoTo(mark);
        return undefined;
      }
      moves.push(moveOf(victim, to));
    }
    this.#moves.push(...moves);
    this.#priceLeft -= price;
    for (const victim of victims) {
      this.#moved.add(victim.id);
      for (const key of victim.budgets) this.#budgets.set(key, (this.#budgets.get(key) ?? 0) - 1);
    }
    return room;
  }
}

function moveOf({ id, placed, price }: Resident, to: Placed): Move {
  return {
    id,
    from: placed.node,
    fromDevices: [...placed.devices],
    to: to.node,
    toDevices: [...to.devices],
    price,
  };
}

/** Free milli of each device of a node. */
function deviceRoom(nodes: NodeTable, node: number): number[] {
  return [...nodes.gpuFree.subarray(nodes.gpuFirst[node], nodes.gpuFirst[node + 1])];
}

/**
 * Whether a victim that stays on its node gets devices that have room for it already now: they must not wait for each other.
 * Takes that room. Without GPUs it would only come back to where it was.
 */
function takes(free: number[], { shape, devices }: Placed): boolean {
  for (const device of devices) free[device] = (free[device] ?? 0) - shape.gpuMilli;
  return devices.length > 0 && devices.every((device) => (free[device] ?? -1) >= 0);
}

/** Indexes of the shapes: most GPUs first, then most CPU, then in their order. */
function largestFirst(shapes: readonly Shape[]): readonly number[] {
  const gpus = (i: number): number => (shapes[i]?.gpuCount ?? 0) * (shapes[i]?.gpuMilli ?? 0);
  const cpu = (i: number): number => shapes[i]?.milliCpu ?? 0;
  return [...shapes.keys()].toSorted((a, b) => gpus(b) - gpus(a) || cpu(b) - cpu(a) || a - b);
}
