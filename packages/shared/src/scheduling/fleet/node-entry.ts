import type { DeviceShare } from "../../model/desired-state.ts";
import type { Booking } from "../engine/node-table.ts";
import { AMOUNT_MAX } from "../engine/shape.ts";
import type { DeviceFacts, NodeFacts, Use } from "../facts.ts";
import { MILLI_PER_GPU } from "../gpu/request-mix.ts";

/** A row that a node without facts has. */
export const NO_ROW = -1;

/** What an assignment takes of its node, in numbers that may count. */
export class Held {
  readonly amounts: Omit<Booking, "devices">;
  readonly gpuCount: number;
  readonly devices: readonly DeviceShare[];

  /** An amount that is none counts as nothing, one without bounds as AMOUNT_MAX. */
  constructor({ amounts, ports, devices = [] }: Use) {
    this.amounts = {
      milliCpu: counted(amounts.milliCpu),
      memoryBytes: counted(amounts.memoryBytes),
      diskBytes: counted(amounts.diskBytes),
      instanceCount: 1,
      ports,
    };
    this.gpuCount = counted(amounts.gpuCount);
    this.devices = devices.filter(({ milli }) => milli > 0 && milli <= MILLI_PER_GPU);
  }

  /** What it takes of a device. */
  milliOf(uuid: string): number {
    let milli = 0;
    for (const device of this.devices) if (device.uuid === uuid) milli += device.milli;
    return milli;
  }
}

/** A node and what is assigned to it. It exists as soon as either is known, and until neither is. */
export class NodeEntry {
  readonly name: string;
  row = NO_ROW;
  nodeClass = 0;
  /** Its site, while it is told. */
  site: string | undefined;
  /** Uuid of the device at each place of the row; undefined: none was there yet. */
  slots: (string | undefined)[] = [];
  /** Maps are made when something is put in: at 100,000 nodes three empty ones each take 60 MB. */
  #held: Map<string, Held> | undefined;
  #milliOf: Map<string, number> | undefined;
  #ports: Map<string, number> | undefined;
  #told: NodeFacts | undefined;
  #facts: NodeFacts | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** As told, without what is assigned. */
  get told(): NodeFacts | undefined {
    return this.#told;
  }

  set told(facts: NodeFacts | undefined) {
    this.#told = facts;
    this.#facts = undefined;
  }

  get isEmpty(): boolean {
    return this.#told === undefined && this.held.size === 0;
  }

  get held(): ReadonlyMap<string, Held> {
    return this.#held ?? NOTHING_HELD;
  }

  /** Milli that assignments hold of a device. */
  milliOf(uuid: string): number {
    return this.#milliOf?.get(uuid) ?? 0;
  }

  /** With what is assigned. */
  get facts(): NodeFacts | undefined {
    this.#facts ??= this.#told === undefined ? undefined : this.#withHeld(this.#told);
    return this.#facts;
  }

  hold(id: string, held: Held): void {
    this.#held ??= new Map();
    this.#held.set(id, held);
    this.#count(held, 1);
  }

  letGo(id: string): Held | undefined {
    const held = this.#held?.get(id);
    if (held === undefined) return undefined;
    this.#held?.delete(id);
    this.#count(held, -1);
    return held;
  }

  #count({ devices, amounts: { ports } }: Held, sign: 1 | -1): void {
    this.#facts = undefined;
    for (const { uuid, milli } of devices)
      this.#milliOf = withMore(this.#milliOf, uuid, sign * milli);
    for (const port of ports) this.#ports = withMore(this.#ports, port, sign);
  }

  #withHeld(told: NodeFacts): NodeFacts {
    const allocated = { milliCpu: 0, memoryBytes: 0, diskBytes: 0, gpuCount: 0 };
    for (const held of this.held.values()) {
      allocated.milliCpu += held.amounts.milliCpu;
      allocated.memoryBytes += held.amounts.memoryBytes;
      allocated.diskBytes += held.amounts.diskBytes;
      allocated.gpuCount += held.gpuCount;
    }
    const devices = told.devices.map((device): DeviceFacts => {
      const freeMilli = MILLI_PER_GPU - this.milliOf(device.uuid);
      return freeMilli === device.freeMilli ? device : { ...device, freeMilli };
    });
    const ports = new Set(this.#ports?.keys());
    return { ...told, allocated, devices, instanceCount: this.held.size, ports };
  }
}

function counted(amount: number): number {
  return amount > 0 ? Math.min(AMOUNT_MAX, Math.ceil(amount)) : 0;
}

const NOTHING_HELD: ReadonlyMap<string, Held> = new Map();

function withMore(
  counts: Map<string, number> = new Map<string, number>(),
  key: string,
  more: number,
): Map<string, number> {
  const count = (counts.get(key) ?? 0) + more;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
  return counts;
}
