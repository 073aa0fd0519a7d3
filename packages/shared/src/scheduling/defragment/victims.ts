import { f64, i16, i32 } from "../engine/columns.ts";
import type { NodeTable } from "../engine/node-table.ts";
import type { Shape } from "../engine/shape.ts";
import type { Resident } from "./resident.ts";

/** Steps that the search for victims takes on one node for one number of moves; then it goes on with what it found. */
export const VICTIM_STEPS_MAX = 2_000;

/** Sets of victims that one node contributes for one number of moves. */
export const VICTIM_SETS_PER_NODE_MAX = 16;

/** Residents of one node whose move would make room for a shape, with the devices that the shape then gets. */
export interface VictimSet {
  readonly node: number;
  readonly devices: Int16Array;
  readonly victims: readonly Resident[];
  /** Sum of the victims' prices, GPUs. */
  readonly price: number;
}

/** What a node lacks for a shape, and what each resident that may move would bring. */
export interface Shortage {
  readonly node: number;
  readonly movable: readonly Resident[];
  /** Fewest moves that could make room; a lower bound. Infinite: no moves would. */
  readonly movesMin: number;
  /** Lack of CPU, memory and disk, in this order; 0 or less: none. */
  readonly amounts: readonly number[];
  /** Devices that could serve, the ones that need the fewest moves first. */
  readonly devices: readonly DeviceShortage[];
}

interface DeviceShortage {
  /** Index within the node. */
  readonly device: number;
  readonly lackMilli: number;
  readonly movesMin: number;
}

/** Looks at one node. `movable`: those of its residents that may move at all. */
export function shortageOf(
  nodes: NodeTable,
  node: number,
  shape: Shape,
  movable: readonly Resident[],
): Shortage {
  const amounts = [
    shape.milliCpu - f64(nodes.milliCpuFree, node),
    shape.memoryBytes - f64(nodes.memoryFree, node),
    shape.diskBytes - f64(nodes.diskFree, node),
  ];
  const ofAmounts = amounts.map((lack, i) =>
    lack <= 0
      ? 0
      : movesToGet(
          lack,
          movable.map((r) => amountOf(r, i)),
        ),
  );
  const devices = devicesOf(nodes, node, shape, movable);
  const span = movable.reduce((most, r) => Math.max(most, r.placed.shape.gpuCount), 1);
  const ofDevices =
    devices.length < shape.gpuCount
      ? Number.POSITIVE_INFINITY
      : Math.ceil(sum(devices.slice(0, shape.gpuCount).map((d) => d.movesMin)) / span);
  return { node, movable, amounts, devices, movesMin: Math.max(ofDevices, ...ofAmounts) };
}

function devicesOf(
  nodes: NodeTable,
  node: number,
  { gpuCount, gpuMilli }: Shape,
  movable: readonly Resident[],
): readonly DeviceShortage[] {
  if (gpuCount === 0) return [];
  const first = i32(nodes.gpuFirst, node);
  const onDevice = Array.from(
    { length: i32(nodes.gpuFirst, node + 1) - first },
    (): number[] => [],
  );
  for (const { placed } of movable)
    for (const device of placed.devices) onDevice[device]?.push(placed.shape.gpuMilli);
  const found: DeviceShortage[] = [];
  for (const [device, brought] of onDevice.entries()) {
    const lackMilli = gpuMilli - i16(nodes.gpuFree, first + device);
    const movesMin = movesToGet(lackMilli, brought);
    if (Number.isFinite(movesMin)) found.push({ device, lackMilli, movesMin });
  }
  return found.toSorted((a, b) => a.movesMin - b.movesMin || a.lackMilli - b.lackMilli);
}

/** How many of these, the greatest first, make up for the lack; infinite when all do not. */
function movesToGet(lack: number, brought: readonly number[]): number {
  if (lack <= 0) return 0;
  let [total, count] = [0, 0];
  for (const amount of brought) {
    total += amount;
    if (amount > 0) count++;
  }
  if (total < lack) return Number.POSITIVE_INFINITY;
  // A whole device: all that is on it has to go.
  if (total === lack) return count;
  let got = 0;
  for (const [i, amount] of brought.toSorted((a, b) => b - a).entries()) {
    got += amount;
    if (got >= lack) return i + 1;
  }
  return Number.POSITIVE_INFINITY;
}

/**
 * All sets of exactly `moves` victims on this node of which none is needless, as far as the limits go: VICTIM_STEPS_MAX
 * and VICTIM_SETS_PER_NODE_MAX. `allows` says whether a set so far keeps the budgets.
 */
export function victimSets(
  shape: Shape,
  shortage: Shortage,
  moves: number,
  allows: (victims: readonly Resident[]) => boolean,
): readonly VictimSet[] {
  return new VictimSearch(shape, shortage, { moves, allows }).run();
}

/** One lack that victims have to make up for. */
interface Lack {
  readonly amount: number;
  readonly of: (resident: Resident) => number;
}

class VictimSearch {
  readonly #shape: Shape;
  readonly #shortage: Shortage;
  readonly #moves: number;
  readonly #allows: (victims: readonly Resident[]) => boolean;
  readonly #found: VictimSet[] = [];
  /** Most devices that one victim frees. */
  readonly #span: number;
  #stepsLeft = VICTIM_STEPS_MAX;

  constructor(
    shape: Shape,
    shortage: Shortage,
    options: {
      readonly moves: number;
      readonly allows: (victims: readonly Resident[]) => boolean;
    },
  ) {
    this.#shape = shape;
    this.#shortage = shortage;
    this.#moves = options.moves;
    this.#allows = options.allows;
    this.#span = shortage.movable.reduce((n, r) => Math.max(n, r.placed.shape.gpuCount), 1);
  }

  run(): readonly VictimSet[] {
    const free = this.#shortage.devices.filter((d) => d.movesMin === 0);
    // A device that needs no move is never worse than one that needs some.
    this.#chooseDevices(free.slice(0, this.#shape.gpuCount), free.length);
    return this.#found;
  }

  get #isOver(): boolean {
    return this.#stepsLeft <= 0 || this.#found.length >= VICTIM_SETS_PER_NODE_MAX;
  }

  #chooseDevices(chosen: readonly DeviceShortage[], from: number): void {
    if (this.#isOver) return;
    this.#stepsLeft--;
    if (chosen.length >= this.#shape.gpuCount) {
      const lacks = this.#lacksOf(chosen);
      this.#cover(lacks, { victims: [], from: this.#shortage.movable, devices: chosen });
      return;
    }
    const { devices } = this.#shortage;
    const needed = sum(chosen.map((d) => d.movesMin));
    const missing = this.#shape.gpuCount - chosen.length;
    for (let i = from; i + missing <= devices.length; i++) {
      const device = devices[i];
      if (device === undefined) return;
      // The devices behind it need no fewer.
      if (needed + missing * device.movesMin > this.#moves * this.#span) return;
      this.#chooseDevices([...chosen, device], i + 1);
    }
  }

  #lacksOf(chosen: readonly DeviceShortage[]): readonly Lack[] {
    const ofDevices = chosen.map(({ device, lackMilli }) => ({
      amount: lackMilli,
      of: (resident: Resident) => milliOn(resident, device),
    }));
    const ofAmounts = this.#shortage.amounts.map((amount, i) => ({
      amount,
      of: (resident: Resident) => amountOf(resident, i),
    }));
    return [...ofDevices, ...ofAmounts].filter((lack) => lack.amount > 0);
  }

  /** Takes the first lack that is left and tries each resident that helps; who was tried is not tried again further on. */
  #cover(
    lacks: readonly Lack[],
    state: {
      readonly victims: readonly Resident[];
      readonly from: readonly Resident[];
      readonly devices: readonly DeviceShortage[];
    },
  ): void {
    if (this.#isOver) return;
    this.#stepsLeft--;
    const { victims, from, devices } = state;
    const left = this.#moves - victims.length;
    const open = lacks.filter((lack) => !isMet(lack, victims));
    const first = open[0];
    if (first === undefined) {
      if (left === 0) this.#emit(lacks, victims, devices);
      return;
    }
    if (open.some((lack) => movesNeeded(lack, victims, from) > left)) return;
    const helpers = from.filter((r) => first.of(r) > 0);
    let rest = from;
    for (const helper of helpers) {
      rest = rest.filter((r) => r !== helper);
      const more = [...victims, helper];
      if (this.#allows(more)) this.#cover(lacks, { victims: more, from: rest, devices });
    }
  }

  #emit(
    lacks: readonly Lack[],
    victims: readonly Resident[],
    devices: readonly DeviceShortage[],
  ): void {
    const isNeedless = (victim: Resident): boolean => {
      const others = victims.filter((v) => v !== victim);
      return lacks.every((lack) => isMet(lack, others));
    };
    if (victims.some(isNeedless)) return;
    this.#found.push({
      node: this.#shortage.node,
      devices: Int16Array.from(devices, (d) => d.device),
      victims,
      price: sum(victims.map((v) => v.price)),
    });
  }
}

function isMet({ amount, of }: Lack, victims: readonly Resident[]): boolean {
  return sum(victims.map(of)) >= amount;
}

function movesNeeded(
  { amount, of }: Lack,
  victims: readonly Resident[],
  from: readonly Resident[],
): number {
  return movesToGet(amount - sum(victims.map(of)), from.map(of));
}

/** CPU, memory or disk of a resident. */
function amountOf({ placed: { shape } }: Resident, i: number): number {
  return i === 0 ? shape.milliCpu : i === 1 ? shape.memoryBytes : shape.diskBytes;
}

/** What the resident has of a device of its node, milli. */
function milliOn({ placed: { shape, devices } }: Resident, device: number): number {
  return devices.includes(device) ? shape.gpuMilli : 0;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
