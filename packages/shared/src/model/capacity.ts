import { type Static, Type } from "typebox";

/**
 * What a node has and how it fares. Every number is finite and within its maximum: a device that lies with 1e308 or a
 * negative disk is refused at the protocol's door, not in the scheduler.
 */
const MAX_BYTES = 2 ** 50;
const Bytes = Type.Integer({ minimum: 0, maximum: MAX_BYTES });
const Ratio = Type.Number({ minimum: 0, maximum: 1 });
const Name = Type.String({ minLength: 1, maxLength: 256 });

/** One accelerator as its vendor tool names it. A MIG device is listed under its parent with its own uuid. */
export const Gpu = Type.Object({
  uuid: Name,
  index: Type.Integer({ minimum: 0, maximum: 1024 }),
  vendor: Type.Literal("nvidia"),
  model: Name,
  memoryBytes: Bytes,
  driverVersion: Type.Optional(Name),
  migEnabled: Type.Optional(Type.Boolean()),
  migDevices: Type.Optional(
    Type.Array(Type.Object({ uuid: Name, profile: Name, memoryBytes: Type.Optional(Bytes) }), {
      maxItems: 64,
    }),
  ),
});
export type Gpu = Static<typeof Gpu>;

/** What does not change while the machine runs. Read once at start. */
export const Inventory = Type.Object({
  architecture: Name,
  operatingSystem: Name,
  kernelVersion: Name,
  cpuModel: Type.String({ maxLength: 256 }),
  manufacturer: Type.String({ maxLength: 256 }),
  machineModel: Type.String({ maxLength: 256 }),
  /** Runtimes that this agent can run workloads with, `process` among them. */
  runtimes: Type.Array(Name, { maxItems: 16 }),
  gpus: Type.Array(Gpu, { maxItems: 64 }),
});
export type Inventory = Static<typeof Inventory>;

/** Whole amounts that workloads can ask for. */
export const Capacity = Type.Object({
  milliCpu: Type.Integer({ minimum: 0, maximum: 10_000_000 }),
  memoryBytes: Bytes,
  diskBytes: Bytes,
  gpuCount: Type.Integer({ minimum: 0, maximum: 1024 }),
});
export type Capacity = Static<typeof Capacity>;

/** Pressure stall information: share of the last ten seconds in which some task waited (kernel PSI `some avg10`). */
export const Pressure = Type.Object({
  cpuRatio: Type.Optional(Ratio),
  memoryRatio: Type.Optional(Ratio),
  ioRatio: Type.Optional(Ratio),
});
export type Pressure = Static<typeof Pressure>;

/** Load and health of one accelerator. Fields that the driver does not tell are absent, never zero. */
export const GpuUsage = Type.Object({
  uuid: Name,
  utilizationRatio: Type.Optional(Ratio),
  memoryUsedBytes: Type.Optional(Bytes),
  temperatureCelsius: Type.Optional(Type.Number({ minimum: -100, maximum: 250 })),
  powerWatts: Type.Optional(Type.Number({ minimum: 0, maximum: 10_000 })),
});
export type GpuUsage = Static<typeof GpuUsage>;

/** What moves: one reading of the machine. */
export const Usage = Type.Object({
  cpuRatio: Ratio,
  memoryUsedBytes: Bytes,
  diskUsedBytes: Bytes,
  networkReceiveBytesPerSecond: Type.Optional(Type.Number({ minimum: 0, maximum: 1e12 })),
  networkTransmitBytesPerSecond: Type.Optional(Type.Number({ minimum: 0, maximum: 1e12 })),
  temperatureCelsius: Type.Optional(Type.Number({ minimum: -100, maximum: 250 })),
  pressure: Type.Optional(Pressure),
  gpus: Type.Optional(Type.Array(GpuUsage, { maxItems: 64 })),
});
export type Usage = Static<typeof Usage>;

/** Capacity and usage together, as a birth carries them. */
export const CapacityReading = Type.Object({ capacity: Capacity, usage: Usage });
export type CapacityReading = Static<typeof CapacityReading>;
