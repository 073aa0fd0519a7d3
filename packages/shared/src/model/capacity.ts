import { type Static, Type } from "typebox";

/**
 * What a node has and how it fares. Every number is finite and within its maximum: a device that lies with 1e308 or a
 * negative disk is refused at the protocol's door, not in the scheduler.
 */
const MAX_BYTES = 2 ** 50;
const Bytes = Type.Integer({ minimum: 0, maximum: MAX_BYTES });
const Ratio = Type.Number({ minimum: 0, maximum: 1 });
const Name = Type.String({ minLength: 1, maxLength: 256 });

/**
 * How close two devices are, best first: `nvlink` (NV1 …), `pcie` (PIX, PXB: bridges only), `numa` (PHB, NODE: within one
 * NUMA node), `system` (SYS: across sockets). What the vendor's tool does not tell counts as `system`.
 */
export const GpuTier = Type.Union([
  Type.Literal("nvlink"),
  Type.Literal("pcie"),
  Type.Literal("numa"),
  Type.Literal("system"),
]);
export type GpuTier = Static<typeof GpuTier>;

/** Most devices of one node, cards and MIG devices each. */
export const GPUS_MAX = 64;

const GpuIndex = Type.Integer({ minimum: 0, maximum: 1024 });

/** One accelerator as its vendor tool names it. A MIG device is listed under its parent with its own uuid. */
export const Gpu = Type.Object({
  uuid: Name,
  index: GpuIndex,
  vendor: Type.Literal("nvidia"),
  model: Name,
  memoryBytes: Bytes,
  driverVersion: Type.Optional(Name),
  /** NUMA node of the machine that it hangs on; absent: there is one only, or it is not told. */
  numaNode: Type.Optional(Type.Integer({ minimum: 0, maximum: 1024 })),
  /** Closeness to cards of a higher index, so that each pair stands once; a pair that is not listed is `system`. */
  links: Type.Optional(
    Type.Array(Type.Object({ index: GpuIndex, tier: GpuTier }), { maxItems: GPUS_MAX }),
  ),
  /** True: the card is given away as its MIG devices only. */
  migEnabled: Type.Optional(Type.Boolean()),
  migDevices: Type.Optional(
    Type.Array(Type.Object({ uuid: Name, profile: Name, memoryBytes: Type.Optional(Bytes) }), {
      maxItems: GPUS_MAX,
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
  gpus: Type.Array(Gpu, { maxItems: GPUS_MAX }),
  /** What releases are made for, as their constraints and the signed metadata name it; absent: an older agent. */
  hardwareId: Type.Optional(Name),
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
  gpus: Type.Optional(Type.Array(GpuUsage, { maxItems: GPUS_MAX })),
});
export type Usage = Static<typeof Usage>;

/** Capacity and usage together, as a birth carries them. */
export const CapacityReading = Type.Object({
  capacity: Capacity,
  usage: Usage,
  /** Cards and MIG devices, when they are others than at the start of the agent. */
  gpus: Type.Optional(Type.Array(Gpu, { maxItems: GPUS_MAX })),
});
export type CapacityReading = Static<typeof CapacityReading>;
