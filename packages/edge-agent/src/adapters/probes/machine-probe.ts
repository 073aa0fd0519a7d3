import { readdir, readFile, statfs } from "node:fs/promises";
import { arch, cpus } from "node:os";
import { join } from "node:path";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Log } from "@flotilla/shared/kernel/service";
import type { CapacityReading, Inventory, Usage } from "@flotilla/shared/model/capacity";
import type { CapacityProbe } from "../../app/capacity/ports.ts";
import {
  allowedMilliCpu,
  type CpuTimes,
  cpuRatio,
  hottestCelsius,
  parseCpuTimes,
  parseMemory,
  parseNetwork,
  parsePressure,
} from "../../domain/capacity/procfs.ts";
import type { GpuCards, NvidiaSmi } from "./nvidia-smi.ts";
import { readSystemFacts } from "./system-facts.ts";

/** Largest file of /proc or /sys that is read. */
const PROC_FILE_BYTES_MAX = 1024 * 1024;

interface Sample {
  readonly bootMs: number;
  readonly cpu: CpuTimes | undefined;
  readonly receivedBytes: number;
  readonly transmittedBytes: number;
}

/** Linux through /proc and /sys, GPUs through nvidia-smi. Rates are over the time between two readings. */
export class MachineProbe implements CapacityProbe {
  readonly #root: string;
  readonly #diskPath: string;
  readonly #runtimes: readonly string[];
  readonly #hardwareId: string | undefined;
  readonly #deps: { readonly clock: Clock; readonly log: Log; readonly nvidia: NvidiaSmi };
  #before: Sample | undefined;
  /** Cards as they were last told; undefined while a tool that is there has not answered. */
  #cards: GpuCards | undefined;
  /** Whether they are others than the inventory said. */
  #cardsChanged = false;

  constructor(
    options: {
      readonly diskPath: string;
      readonly runtimes: readonly string[];
      readonly hardwareId?: string;
      readonly root?: string;
    },
    deps: { readonly clock: Clock; readonly log: Log; readonly nvidia: NvidiaSmi },
  ) {
    this.#root = options.root ?? "/";
    this.#diskPath = options.diskPath;
    this.#runtimes = options.runtimes;
    this.#hardwareId = options.hardwareId;
    this.#deps = deps;
  }

  async inventory(): Promise<Inventory> {
    const [facts, cards, kernel] = await Promise.all([
      readSystemFacts(this.#deps),
      this.#deps.nvidia.cards(),
      this.#read("proc/sys/kernel/osrelease"),
    ]);
    this.#cards = cards;
    this.#cardsChanged = false;
    return {
      architecture: arch(),
      ...facts,
      kernelVersion: kernel?.trim().slice(0, 256) || "unknown",
      runtimes: [...this.#runtimes],
      gpus: cards?.gpus ?? [],
      ...(this.#hardwareId === undefined ? {} : { hardwareId: this.#hardwareId }),
    };
  }

  async read(): Promise<CapacityReading> {
    const [stat, meminfo, netDev, cpuMax, disk] = await Promise.all([
      this.#read("proc/stat"),
      this.#read("proc/meminfo"),
      this.#read("proc/net/dev"),
      this.#cpuQuota(),
      statfs(this.#diskPath).catch(() => undefined),
    ]);
    const memory = parseMemory(meminfo ?? "");
    const now: Sample = {
      bootMs: this.#deps.clock.bootMs(),
      cpu: parseCpuTimes(stat ?? ""),
      ...parseNetwork(netDev ?? ""),
    };
    const before = this.#before;
    this.#before = now;
    const diskBytes = disk === undefined ? 0 : disk.blocks * disk.bsize;
    const health = await this.#health();
    return {
      capacity: {
        milliCpu: allowedMilliCpu(cpus().length, cpuMax),
        memoryBytes: memory?.totalBytes ?? 0,
        diskBytes,
        gpuCount: this.#cards?.gpus.length ?? 0,
      },
      usage: {
        cpuRatio: cpuShare(before, now),
        memoryUsedBytes: memory === undefined ? 0 : memory.totalBytes - memory.availableBytes,
        diskUsedBytes: disk === undefined ? 0 : diskBytes - disk.bavail * disk.bsize,
        ...networkRates(before, now),
        ...health,
      },
      ...(this.#cardsChanged ? { gpus: this.#cards?.gpus ?? [] } : {}),
    };
  }

  async #health(): Promise<Partial<Usage>> {
    const [cpu, memory, io, temperatureCelsius, gpus] = await Promise.all([
      this.#read("proc/pressure/cpu"),
      this.#read("proc/pressure/memory"),
      this.#read("proc/pressure/io"),
      this.#temperature(),
      this.#lookAtCards(),
    ]);
    const pressure = parsePressure({
      ...(cpu === undefined ? {} : { cpu }),
      ...(memory === undefined ? {} : { memory }),
      ...(io === undefined ? {} : { io }),
    });
    return {
      ...(pressure === undefined ? {} : { pressure }),
      ...(temperatureCelsius === undefined ? {} : { temperatureCelsius }),
      ...(gpus === undefined ? {} : { gpus }),
    };
  }

  /** Load of the cards. When others are there than before, they are read anew: a card may fall off the bus, or be cut up. */
  async #lookAtCards(): Promise<Usage["gpus"]> {
    const { nvidia } = this.#deps;
    // A machine without cards stays so until the agent starts again; a tool that fails is asked again.
    if (this.#cards?.gpus.length === 0 && !this.#cardsChanged) return undefined;
    const look = await nvidia.look();
    if (look === undefined || look.identity === this.#cards?.identity) return look?.usage;
    const cards = await nvidia.cards();
    if (cards === undefined) return look.usage;
    this.#cards = cards;
    this.#cardsChanged = true;
    return look.usage;
  }

  async #temperature(): Promise<number | undefined> {
    const folder = join(this.#root, "sys/class/thermal");
    const zones = await readdir(folder).catch((): string[] => []);
    const texts = await Promise.all(
      zones
        .filter((zone) => zone.startsWith("thermal_zone"))
        .map((zone) => this.#read(`sys/class/thermal/${zone}/temp`)),
    );
    return hottestCelsius(texts.filter((text) => text !== undefined));
  }

  /** cgroup v2's `cpu.max`, or the two files of v1 joined in its form. */
  async #cpuQuota(): Promise<string | undefined> {
    const v2 = await this.#read("sys/fs/cgroup/cpu.max");
    if (v2 !== undefined) return v2;
    const [quota, period] = await Promise.all([
      this.#read("sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
      this.#read("sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ]);
    return quota === undefined || period === undefined
      ? undefined
      : `${quota.trim()} ${period.trim()}`;
  }

  /** Undefined for a file that is not there or is not readable: kernels and machines differ in what they tell. */
  async #read(path: string): Promise<string | undefined> {
    try {
      return (await readFile(join(this.#root, path), "utf8")).slice(0, PROC_FILE_BYTES_MAX);
    } catch {
      return undefined;
    }
  }
}

function cpuShare(before: Sample | undefined, now: Sample): number {
  if (now.cpu === undefined) return 0;
  return cpuRatio(before?.cpu ?? { busy: 0, total: 0 }, now.cpu) ?? 0;
}

function networkRates(before: Sample | undefined, now: Sample): Partial<Usage> {
  const seconds = before === undefined ? 0 : (now.bootMs - before.bootMs) / 1000;
  if (before === undefined || seconds <= 0) return {};
  const rate = (last: number, next: number): number =>
    Math.min(1e12, Math.max(0, Math.round((next - last) / seconds)));
  return {
    networkReceiveBytesPerSecond: rate(before.receivedBytes, now.receivedBytes),
    networkTransmitBytesPerSecond: rate(before.transmittedBytes, now.transmittedBytes),
  };
}
