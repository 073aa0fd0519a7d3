import type { Gpu, GpuTier } from "@flotilla/shared/model/capacity";
import { migProfileName } from "@flotilla/shared/model/gpu-resources";
import type { DeviceFacts } from "@flotilla/shared/scheduling/facts";
import { MILLI_PER_GPU } from "@flotilla/shared/scheduling/gpu/request-mix";
import { tierRank } from "@flotilla/shared/scheduling/gpu/tiers";

/** Every uuid that a node reports, of cards and of MIG devices. */
export function uuidsOf(gpus: readonly Gpu[]): readonly string[] {
  return gpus.flatMap((gpu) => [gpu.uuid, ...(gpu.migDevices ?? []).map((d) => d.uuid)]);
}

/**
 * The devices of a node that can be given away, all idle: cards, and of a card in MIG mode its MIG devices. What is withheld
 * (another node has it) is left out; of devices of one uuid the first counts.
 */
export function devicesOf(
  gpus: readonly Gpu[],
  withheld: ReadonlyMap<string, string>,
): readonly DeviceFacts[] {
  const linksOf = linksByUuid(gpus);
  const seen = new Set(withheld.keys());
  const isNew = ({ uuid }: { readonly uuid: string }): boolean =>
    !seen.has(uuid) && seen.add(uuid).size > 0;
  return gpus
    .toSorted((a, b) => a.index - b.index)
    .flatMap((gpu) => partsOf(gpu, linksOf.get(gpu.uuid) ?? new Map()))
    .filter(isNew)
    .map((device, index) => ({ ...device, index }));
}

type Part = Omit<DeviceFacts, "index">;

function partsOf(gpu: Gpu, links: ReadonlyMap<string, GpuTier>): readonly Part[] {
  const { model, memoryBytes, migEnabled, migDevices = [] } = gpu;
  const common = {
    model,
    freeMilli: MILLI_PER_GPU,
    ...(gpu.numaNode === undefined ? {} : { numaNode: gpu.numaNode }),
  };
  if (migEnabled !== true && migDevices.length === 0)
    return [{ ...common, uuid: gpu.uuid, memoryBytes, links }];
  return migDevices.map((d) => ({
    ...common,
    uuid: d.uuid,
    memoryBytes: d.memoryBytes ?? 0,
    migProfile: migProfileName(d.profile),
    links: new Map(),
  }));
}

/** Closeness on both sides of each pair; where a pair stands twice, the farther counts. */
function linksByUuid(gpus: readonly Gpu[]): ReadonlyMap<string, ReadonlyMap<string, GpuTier>> {
  const uuidAt = new Map(gpus.map((gpu) => [gpu.index, gpu.uuid]));
  const links = new Map<string, Map<string, GpuTier>>();
  const put = (from: string, to: string, tier: GpuTier): void => {
    const of = links.get(from) ?? new Map<string, GpuTier>();
    const before = of.get(to);
    if (before === undefined || tierRank(before) < tierRank(tier)) of.set(to, tier);
    links.set(from, of);
  };
  for (const gpu of gpus)
    for (const { index, tier } of gpu.links ?? []) {
      const other = uuidAt.get(index);
      if (other === undefined || other === gpu.uuid) continue;
      put(gpu.uuid, other, tier);
      put(other, gpu.uuid, tier);
    }
  return links;
}
