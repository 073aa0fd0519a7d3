import { MILLI_PER_GPU } from "../gpu/request-mix.ts";

/** A kind of request: all that decides where it may go. Requests that are equal share one shape, and so one winner tree. */
export interface Shape {
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** 0: asks for no GPU. */
  readonly gpuCount: number;
  /** Of each device, 1 to 1,000; 1,000 is a whole one. */
  readonly gpuMilli: number;
  /** 1 for each node class that passes the filters (readiness, labels, taints, model …); undefined: all do. */
  readonly classes?: Uint8Array;
  /** 1 for each device class that it can use; undefined: all of them. */
  readonly deviceClasses?: Uint8Array | undefined;
  /** True: asks for partitions of cards (MIG devices), and so takes nothing of a card. */
  readonly partitions?: boolean;
  /** Host ports that it needs, `TCP/8080`; undefined: none. */
  readonly ports?: readonly string[] | undefined;
  /** Compliance part of each node class for this shape; undefined: the node's own. */
  readonly compliance?: Float64Array;
  /** Topology part of each node class for this shape; undefined: the node's own. */
  readonly topology?: Float64Array;
}

/** Whether a shape asks for something that can be given at all; NaN, negative and absurd amounts cannot. */
export function isSoundShape(shape: Shape): boolean {
  const { milliCpu, memoryBytes, diskBytes, gpuCount, gpuMilli } = shape;
  return (
    isSoundAmount(milliCpu) &&
    isSoundAmount(memoryBytes) &&
    isSoundAmount(diskBytes) &&
    Number.isInteger(gpuCount) &&
    gpuCount >= 0 &&
    Number.isInteger(gpuMilli) &&
    gpuMilli <= MILLI_PER_GPU &&
    (gpuCount === 0 ? gpuMilli === 0 : gpuMilli >= 1)
  );
}

/** Greatest amount of anything: sums of it stay exact. What is greater is a lie or a fault. */
export const AMOUNT_MAX = 2 ** 51;

/** A whole number from 0 to AMOUNT_MAX. */
export function isSoundAmount(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= AMOUNT_MAX;
}
