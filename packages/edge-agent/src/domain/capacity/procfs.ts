import type { Pressure } from "@flotilla/shared/model/capacity";

/** Parsers of the kernel's text files (proc(5)). Pure: the adapter reads the files, here they are understood. */

/** Jiffies of all processors together since boot. */
export interface CpuTimes {
  readonly busy: number;
  readonly total: number;
}

/** First line of /proc/stat. I/O wait counts as idle: the processor could have worked. Guest time is inside user time. */
export function parseCpuTimes(stat: string): CpuTimes | undefined {
  const fields = /^cpu\s+(.+)$/m.exec(stat)?.[1]?.trim().split(/\s+/).map(Number);
  if (fields === undefined || fields.length < 5 || fields.some((n) => !Number.isFinite(n)))
    return undefined;
  const total = fields.slice(0, 8).reduce((sum, n) => sum + n, 0);
  const idle = (fields[3] ?? 0) + (fields[4] ?? 0);
  return { busy: total - idle, total };
}

/** Share of the processors' time that was used between two readings, 0 to 1; undefined when no time has passed. */
export function cpuRatio(before: CpuTimes, now: CpuTimes): number | undefined {
  const total = now.total - before.total;
  return total <= 0 ? undefined : clamp01((now.busy - before.busy) / total);
}

/** Bytes of memory, and those that a new workload could still get (MemAvailable). */
export function parseMemory(
  meminfo: string,
): { readonly totalBytes: number; readonly availableBytes: number } | undefined {
  const kib = (name: string): number | undefined => {
    const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(meminfo)?.[1];
    return value === undefined ? undefined : Number(value) * 1024;
  };
  const totalBytes = kib("MemTotal");
  const availableBytes = kib("MemAvailable") ?? kib("MemFree");
  return totalBytes === undefined || availableBytes === undefined
    ? undefined
    : { totalBytes, availableBytes: Math.min(availableBytes, totalBytes) };
}

/** Bytes over all physical interfaces of /proc/net/dev; loopback, bridges and container ends are left out so that nothing is counted twice. */
export function parseNetwork(netDev: string): {
  readonly receivedBytes: number;
  readonly transmittedBytes: number;
} {
  let receivedBytes = 0;
  let transmittedBytes = 0;
  for (const line of netDev.split("\n")) {
    const [name, counters] = line.split(":");
    const fields = counters?.trim().split(/\s+/).map(Number);
    if (
      name === undefined ||
      fields === undefined ||
      fields.length < 9 ||
      VIRTUAL_INTERFACE.test(name.trim())
    )
      continue;
    receivedBytes += fields[0] ?? 0;
    transmittedBytes += fields[8] ?? 0;
  }
  return { receivedBytes, transmittedBytes };
}

const VIRTUAL_INTERFACE =
  /^(?:lo|veth.*|docker\d.*|br-.*|virbr.*|cni.*|flannel.*|cali.*|tun.*|tap.*|wg.*|dummy.*)$/;

/** `some avg10` of the three files of /proc/pressure; absent where the kernel has no PSI. */
export function parsePressure(files: {
  readonly cpu?: string;
  readonly memory?: string;
  readonly io?: string;
}): Pressure | undefined {
  const ratio = (text: string | undefined): number | undefined => {
    const percent = text === undefined ? undefined : /^some avg10=(\d+(?:\.\d+)?)/m.exec(text)?.[1];
    return percent === undefined ? undefined : clamp01(Number(percent) / 100);
  };
  const [cpu, memory, io] = [ratio(files.cpu), ratio(files.memory), ratio(files.io)];
  if (cpu === undefined && memory === undefined && io === undefined) return undefined;
  return {
    ...(cpu === undefined ? {} : { cpuRatio: cpu }),
    ...(memory === undefined ? {} : { memoryRatio: memory }),
    ...(io === undefined ? {} : { ioRatio: io }),
  };
}

/** Hottest believable zone of /sys/class/thermal, degrees Celsius. A sensor that is not connected shows nonsense and is left out. */
export function hottestCelsius(milliDegrees: readonly string[]): number | undefined {
  const values = milliDegrees
    .map((text) => (text.trim() === "" ? Number.NaN : Number(text) / 1000))
    .filter((celsius) => celsius > -60 && celsius < 200 && celsius !== 0);
  return values.length === 0 ? undefined : Math.max(...values);
}

/**
 * Thousandths of a core that this process may use: the cgroup's quota when there is one, else all processors.
 * `cpuMax` is cgroup v2's `cpu.max` (`max 100000` or `150000 100000`); v1 gives `quota period` joined the same way, quota -1 for none.
 */
export function allowedMilliCpu(processorCount: number, cpuMax: string | undefined): number {
  const all = processorCount * 1000;
  const [quota, period] = (cpuMax ?? "").trim().split(/\s+/).map(Number);
  if (quota === undefined || period === undefined || !(quota > 0) || !(period > 0)) return all;
  return Math.min(all, Math.max(1, Math.floor((quota / period) * 1000)));
}

function clamp01(value: number): number {
  return Math.min(1, Math.max(0, value));
}
