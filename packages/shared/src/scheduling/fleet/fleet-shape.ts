import type { Shape } from "../engine/shape.ts";
import { amount, type PlacementRequest, type Weights } from "../facts.ts";
import { MILLI_PER_GPU } from "../gpu/request-mix.ts";

/**
 * A kind of request with its weights: requests that are equal share one, whatever asks for them. What a filter or a part of the
 * score says of a whole class of nodes is worked out once for each class, by `ClassTerms`.
 */
export class FleetShape implements Shape {
  readonly request: PlacementRequest;
  readonly weights: Weights;
  readonly key: string;
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly gpuCount: number;
  readonly gpuMilli: number;
  readonly partitions: boolean;
  readonly ports: readonly string[] | undefined;
  /** Asks for cards that lie close together, or nothing. */
  readonly needsCloseness: boolean;
  /** Cards asked for, slices as fractions. */
  readonly gpusAsked: number;
  readonly cpuWeight: number;
  readonly memoryWeight: number;
  readonly storageWeight: number;
  readonly gpuWeight: number;
  readonly resourceWeight: number;
  /** The topology part of a node that no adjustment names. */
  readonly topologyBase: number;

  /** By node class: 1 passes every static filter. */
  classes = new Uint8Array(0);
  /** By node class: place of the first static filter that it fails, from 1; 0 passes all. */
  failed = new Uint8Array(0);
  /** By node class: 1 has no devices that would do, whatever is free of them. */
  failsDevices = new Uint8Array(0);
  /** By node class: 1 passes all static filters but readiness and cordon; its cost counts for the lowest. */
  eligible = new Uint8Array(0);
  /** By node class: the weighted compliance part. */
  compliance = new Float64Array(0);
  /** By node class: price of the data on its way there, per hour; NaN when unknown. */
  egress = new Float64Array(0);
  /** By device class, 1 for those that it can use; undefined: every device of every class that passes. */
  deviceClasses: Uint8Array | undefined = undefined;
  /** Lowest known cost per hour; NaN when none is known. */
  costMin = Number.NaN;
  /** The performance part by node, shared with the shapes that measure alike. */
  performance: Float64Array = new Float64Array(0);
  /** Grows when scores of nodes change that were not told as changed. */
  version = 1;
  /** State of the table that the terms are of; −1: of none. */
  generation = -1;
  classesAt = -1;
  madeAt = -1;
  columnsAt = -1;
  costsAt = -1;
  valuesAt = -1;
  /** Calls of `shapeOf` so far, when it was asked for last. */
  usedAt = 0;

  constructor(
    { request, weights, topologyBase }: Pick<FleetShape, "request" | "weights" | "topologyBase">,
    key: string,
  ) {
    const { amounts, gpu } = request;
    this.request = request;
    this.weights = weights;
    this.key = key;
    this.topologyBase = topologyBase;
    this.milliCpu = amounts.milliCpu;
    this.memoryBytes = amounts.memoryBytes;
    this.diskBytes = amounts.diskBytes;
    this.gpuCount = gpu?.count ?? 0;
    this.gpuMilli = gpu?.milli ?? 0;
    this.partitions = gpu?.migProfile !== undefined;
    this.ports = request.ports.length === 0 ? undefined : request.ports;
    this.needsCloseness = gpu?.topologyRequired === true && gpu.count > 1;
    this.gpusAsked =
      gpu === undefined || this.partitions ? 0 : gpu.count * (gpu.milli / MILLI_PER_GPU);
    const { resources } = weights;
    this.cpuWeight = amount(resources.cpu);
    this.memoryWeight = amount(resources.memory);
    this.storageWeight = amount(resources.storage);
    this.gpuWeight = amount(resources.gpu);
    this.resourceWeight = this.cpuWeight + this.memoryWeight + this.storageWeight + this.gpuWeight;
  }

  /** Forgets what was of the rows before these. */
  begin(generation: number): void {
    this.generation = generation;
    this.columnsAt = -1;
    this.costsAt = -1;
    this.valuesAt = -1;
    this.version++;
  }
}
