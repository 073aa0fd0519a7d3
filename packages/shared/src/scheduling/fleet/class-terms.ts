import type { NodeFacts, PlacementRequest } from "../facts.ts";
import { CLASS_FILTERS, classReason, mayEverRun } from "../filter.ts";
import { alikeDevices } from "../gpu/choose-devices.ts";
import { egressPerHour } from "../score/cost.ts";
import { unit } from "../score/part.ts";
import { compliancePart } from "../score.ts";
import type { DeviceClasses } from "./device-classes.ts";
import type { FleetShape } from "./fleet-shape.ts";
import type { NodeClasses } from "./node-classes.ts";

/** What filters and scores say of each class of nodes for a shape; asked again only for classes that are new. */
export class ClassTerms {
  readonly #classes: NodeClasses;
  readonly #devices: DeviceClasses;

  constructor(deps: { readonly classes: NodeClasses; readonly devices: DeviceClasses }) {
    this.#classes = deps.classes;
    this.#devices = deps.devices;
  }

  /** Brings a shape's terms up to date. Answers whether terms of classes that it knew have changed. */
  fill(shape: FleetShape): boolean {
    const at = this.#classes.changes + this.#devices.changes;
    if (shape.classesAt === at) return false;
    this.#grow(shape);
    for (const [number, { representative, madeAt }] of this.#classes.list.entries())
      if (madeAt > shape.madeAt) this.#fillClass(shape, number, representative);
    shape.madeAt = this.#classes.changes;
    shape.classesAt = at;
    return this.#fillDevices(shape);
  }

  /** How many of the filters a class fails. */
  failedCount({ request }: FleetShape, number: number): number {
    const node = this.#classes.list[number]?.representative;
    if (node === undefined) return CLASS_FILTERS.length;
    return CLASS_FILTERS.filter((name) => classReason(name, request, node) !== undefined).length;
  }

  #fillClass(shape: FleetShape, number: number, node: NodeFacts | undefined): void {
    const { request } = shape;
    const failed =
      node === undefined
        ? -1
        : CLASS_FILTERS.findIndex((name) => classReason(name, request, node) !== undefined);
    const passes = node !== undefined && failed < 0 && isPossible(request);
    shape.classes[number] = passes ? 1 : 0;
    shape.failed[number] = failed + 1;
    shape.failsDevices[number] =
      node !== undefined && classReason("GpuDevices", request, node) !== undefined ? 1 : 0;
    shape.eligible[number] = node !== undefined && mayEverRun(request, node) ? 1 : 0;
    shape.compliance[number] = node === undefined ? 0 : unit(compliancePart(node, request));
    shape.egress[number] =
      node === undefined ? Number.NaN : (egressPerHour(node, request) ?? Number.NaN);
  }

  /** Devices have to be looked at one by one where a class that passes has some that do not suit. */
  #fillDevices(shape: FleetShape): boolean {
    const { gpu } = shape.request;
    if (gpu === undefined) return false;
    const suits = this.#devices.suiting(gpu);
    const isMixed = this.#classes.list.some(
      ({ representative }, number) =>
        shape.classes[number] === 1 &&
        representative !== undefined &&
        alikeDevices(representative.devices, gpu).length < representative.devices.length,
    );
    const before = shape.deviceClasses;
    shape.deviceClasses = isMixed ? suits : undefined;
    return (before === undefined) !== (shape.deviceClasses === undefined);
  }

  #grow(shape: FleetShape): void {
    const { length } = this.#classes.list;
    if (shape.classes.length >= length) return;
    const size = Math.max(16, length * 2);
    shape.classes = grown(new Uint8Array(size), shape.classes);
    shape.failed = grown(new Uint8Array(size), shape.failed);
    shape.failsDevices = grown(new Uint8Array(size), shape.failsDevices);
    shape.eligible = grown(new Uint8Array(size), shape.eligible);
    shape.compliance = grown(new Float64Array(size), shape.compliance);
    shape.egress = grown(new Float64Array(size), shape.egress);
  }
}

/** False for a request of something that no node has. */
function isPossible({ otherAmounts }: PlacementRequest): boolean {
  return Object.values(otherAmounts).every((amount) => amount === 0);
}

function grown<T extends Uint8Array | Float64Array>(into: T, from: T): T {
  into.set(from);
  return into;
}
