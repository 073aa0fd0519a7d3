import {
  formatBytes,
  formatMilliCpu,
  parseBytes,
  parseMilliCpu,
  parseQuantity,
} from "../../../kernel/quantity.ts";
import { GPU_RESOURCE } from "../../../model/gpu-resources.ts";
import type { ResourceList } from "../../../model/workload.ts";
import type { Amounts } from "../amounts.ts";

/** A parent of this name is the fleet itself, as in Volcano. */
export const ROOT_QUEUE = "root";

/** Resources that queues share out, by the names that requests use, in the order of RESOURCES. */
export const QUEUE_RESOURCES: readonly string[] = [
  "cpu",
  "memory",
  "ephemeral-storage",
  GPU_RESOURCE,
];

/** Amounts that a list names; a quantity that cannot be read names none. GPUs may be parts: `0.5`. */
export function queueAmounts(list: ResourceList | undefined): Partial<Amounts> | undefined {
  if (list === undefined) return undefined;
  const { cpu, memory, "ephemeral-storage": disk, [GPU_RESOURCE]: gpu } = list;
  const gpus = gpu === undefined ? undefined : parseQuantity(gpu);
  const entries = [
    ["milliCpu", cpu === undefined ? undefined : parseMilliCpu(cpu)],
    ["memoryBytes", memory === undefined ? undefined : parseBytes(memory)],
    ["diskBytes", disk === undefined ? undefined : parseBytes(disk)],
    ["gpuMilli", gpus === undefined ? undefined : Math.ceil(Math.round(gpus * 1e6) / 1e3)],
  ] as const;
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/** Amounts as a status shows them; what is 0 is left out. */
export function quantitiesOf(amounts: Amounts): Record<string, string> {
  const { milliCpu, memoryBytes, diskBytes, gpuMilli } = amounts;
  const texts = [
    milliCpu > 0 ? formatMilliCpu(Math.floor(milliCpu)) : "",
    memoryBytes > 0 ? formatBytes(memoryBytes) : "",
    diskBytes > 0 ? formatBytes(diskBytes) : "",
    gpuMilli > 0 ? String(Math.floor(gpuMilli) / 1_000) : "",
  ];
  return Object.fromEntries(
    QUEUE_RESOURCES.flatMap((name, r) => ((texts[r] ?? "") === "" ? [] : [[name, texts[r] ?? ""]])),
  );
}
