import { parseBytes } from "@flotilla/shared/kernel/quantity";
import {
  GPU_MILLI_RESOURCE,
  GPU_RESOURCE,
  migProfileOf,
} from "@flotilla/shared/model/gpu-resources";
import type { Placement } from "@flotilla/shared/model/resources/placement";
import type { GpuRequest } from "@flotilla/shared/scheduling/facts";
import { MILLI_PER_GPU } from "@flotilla/shared/scheduling/gpu/request-mix";
import { tierRank } from "@flotilla/shared/scheduling/gpu/tiers";

/** What one container asks for, by resource name. */
export type Amounts = ReadonlyMap<string, number>;

/**
 * What an instance asks of accelerators: the sum over its containers, which share its devices, with what all placements say
 * of them. Undefined when it asks for none, and for what the API refuses (two profiles, or a profile beside cards).
 */
export function gpuRequestOf(
  containers: readonly Amounts[],
  placements: readonly Placement[],
): GpuRequest | undefined {
  const asked = cardsOf(containers) ?? migDevicesOf(containers);
  return asked === undefined ? undefined : { ...asked, ...conditionsOf(placements) };
}

function cardsOf(containers: readonly Amounts[]): Pick<GpuRequest, "count" | "milli"> | undefined {
  let count = 0;
  let milli: number | undefined;
  for (const amounts of containers) {
    const slice = amounts.get(GPU_MILLI_RESOURCE);
    count += Math.ceil(amounts.get(GPU_RESOURCE) ?? (slice === undefined ? 0 : 1));
    milli = slice === undefined ? milli : Math.max(milli ?? 0, slice);
  }
  return count === 0 ? undefined : { count, milli: milli ?? MILLI_PER_GPU };
}

function migDevicesOf(
  containers: readonly Amounts[],
): Pick<GpuRequest, "count" | "milli" | "migProfile"> | undefined {
  const counts = new Map<string, number>();
  for (const amounts of containers)
    for (const [name, value] of amounts) {
      const profile = migProfileOf(name) ?? "";
      if (profile !== "" && value > 0)
        counts.set(profile, (counts.get(profile) ?? 0) + Math.ceil(value));
    }
  const [only, ...more] = counts;
  if (only === undefined || more.length > 0) return undefined;
  const [migProfile, count] = only;
  return { count, milli: MILLI_PER_GPU, migProfile };
}

/** All placements hold together: common models, the most memory, the closest topology. */
function conditionsOf(
  placements: readonly Placement[],
): Pick<GpuRequest, "models" | "memoryBytes" | "topology" | "topologyRequired"> {
  const gpus = placements.flatMap((p) => p.gpu ?? []);
  const models = gpus
    .flatMap((g) => (g.models === undefined ? [] : [g.models]))
    .reduce<readonly string[] | undefined>(
      (common, list) => common?.filter((model) => list.includes(model)) ?? list,
      undefined,
    );
  const [topology] = gpus
    .flatMap((g) => g.topology ?? [])
    .toSorted((a, b) => tierRank(a) - tierRank(b));
  return {
    ...(models === undefined ? {} : { models }),
    // What cannot be read asks for more than there is.
    memoryBytes: gpus.reduce(
      (most, { memory }) =>
        memory === undefined ? most : Math.max(most, parseBytes(memory) ?? Number.MAX_VALUE),
      0,
    ),
    ...(topology === undefined ? {} : { topology }),
    topologyRequired: gpus.some((g) => g.topologyRequired === true),
  };
}
