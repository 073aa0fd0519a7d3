import type { GpuTier } from "../../model/capacity.ts";
import type { DeviceFacts, GpuRequest } from "../facts.ts";
import { matchesModel } from "./model-name.ts";
import { GPU_TIERS, tierRank } from "./tiers.ts";
import { type GpuValues, worthOf } from "./values.ts";

/**
 * Which devices of a node a request gets. Pure: the same devices and request give the same answer, and so the hub and a site
 * leader agree.
 */

/** Up to so many devices with room every set is looked at (70 at most); beyond, sets grow from each device in turn. */
export const EXHAUSTIVE_DEVICES_MAX = 8;

/** Steps in which slots are compared; finer differences are noise (as in `engine/opportunity-score.ts`). */
const RANK_STEPS = 1e6;

/** Devices that would do if they were free: profile, model, memory. */
export function alikeDevices(
  devices: readonly DeviceFacts[],
  gpu: GpuRequest,
): readonly DeviceFacts[] {
  return devices.filter(
    (d) =>
      d.migProfile === gpu.migProfile &&
      (gpu.models === undefined || gpu.models.some((m) => matchesModel(d.model, m))) &&
      (gpu.memoryBytes === 0 || d.memoryBytes >= gpu.memoryBytes),
  );
}

/** Those of them that have the asked slice free. */
export function roomyDevices(
  devices: readonly DeviceFacts[],
  gpu: GpuRequest,
): readonly DeviceFacts[] {
  // Written so that NaN on either side is a "no".
  return alikeDevices(devices, gpu).filter((d) => gpu.milli > 0 && d.freeMilli >= gpu.milli);
}

/**
 * The devices that a request gets, by index; undefined when the node has no such set. Of all sets, in this order: one that is
 * as close as asked, that loses the least worth to slices (`values`; without them the fullest devices), whose farthest pair
 * is closest, whose pairs are closest together, of the lowest indexes. Exact up to EXHAUSTIVE_DEVICES_MAX devices with
 * room; beyond, exact in closeness wherever closeness is transitive, as it is but for partial NVLink meshes.
 */
export function chooseDevices(
  { devices }: { readonly devices: readonly DeviceFacts[] },
  gpu: GpuRequest,
  values?: GpuValues,
): readonly string[] | undefined {
  const { count } = gpu;
  const candidates = roomyDevices(devices, gpu).toSorted((a, b) => a.index - b.index);
  if (!(Number.isInteger(count) && count >= 1 && candidates.length >= count)) return undefined;
  // MIG devices of a profile are all alike, and a node may have thousands.
  if (gpu.migProfile !== undefined) return candidates.slice(0, count).map((d) => d.uuid);
  const search = new Search(candidates, gpu, values);
  const best =
    candidates.length <= EXHAUSTIVE_DEVICES_MAX || count === 1 || count === candidates.length
      ? search.bestOfAll()
      : search.bestGrown();
  if (best === undefined || (gpu.topologyRequired && best.missed > 0)) return undefined;
  return best.members.toSorted((a, b) => a - b).flatMap((member) => candidates[member]?.uuid ?? []);
}

/** The farthest tier between any two of these devices; undefined for fewer than two. */
export function farthestTier(devices: readonly DeviceFacts[]): GpuTier | undefined {
  let rank = -1;
  for (const [i, a] of devices.entries())
    for (const b of devices.slice(i + 1)) rank = Math.max(rank, tierRank(tierBetween(a, b)));
  return GPU_TIERS[rank];
}

function tierBetween(a: DeviceFacts, b: DeviceFacts): GpuTier {
  return a.links.get(b.uuid) ?? b.links.get(a.uuid) ?? "system";
}

/** What a set of devices is judged by; lower is better in each. */
interface Verdict {
  /** 1: farther apart than asked. */
  readonly missed: number;
  /** Slots in steps, and milli that stay free on devices that are cut. */
  readonly slot: number;
  readonly leftover: number;
  readonly worst: number;
  readonly sum: number;
}

interface DeviceSet extends Verdict {
  /** Positions among the candidates. */
  readonly members: readonly number[];
}

/** How far a device is from those of a set: the farthest rank, and all ranks together. */
interface Distance {
  readonly worst: number;
  readonly sum: number;
}

class Search {
  readonly #candidates: readonly DeviceFacts[];
  readonly #count: number;
  /** Greatest rank that is close enough. */
  readonly #asked: number;
  readonly #slots: readonly number[];
  readonly #leftovers: readonly number[];
  /** Rank of each pair, row by row; empty where one device is asked for. */
  readonly #ranks: Uint8Array;

  constructor(candidates: readonly DeviceFacts[], gpu: GpuRequest, values: GpuValues | undefined) {
    this.#candidates = candidates;
    this.#count = gpu.count;
    this.#asked = gpu.topology === undefined ? GPU_TIERS.length : tierRank(gpu.topology);
    this.#slots = candidates.map(({ freeMilli }) => slotOf(freeMilli, gpu.milli, values));
    this.#leftovers = candidates.map(({ freeMilli }) => freeMilli - gpu.milli);
    this.#ranks = Uint8Array.from(
      gpu.count === 1
        ? []
        : candidates.flatMap((a) =>
            candidates.map((b) => (a === b ? 0 : tierRank(tierBetween(a, b)))),
          ),
    );
  }

  /** Sets in order of their indexes; of equal ones the first stays. */
  bestOfAll(): DeviceSet | undefined {
    let best: DeviceSet | undefined;
    const visit = (set: DeviceSet, next: number): void => {
      if (set.members.length === this.#count) {
        if (best === undefined || isBetter(set, best)) best = set;
        return;
      }
      const last = this.#candidates.length - (this.#count - set.members.length);
      for (let member = next; member <= last; member++)
        visit(this.#joined(set, member, this.#distance(set, member)), member + 1);
    };
    visit(EMPTY, 0);
    return best;
  }

  /** From each device the set that grows by the best next one; time in devices² × count. */
  bestGrown(): DeviceSet | undefined {
    let best: DeviceSet | undefined;
    for (const seed of this.#candidates.keys()) {
      const grown = this.#grownFrom(seed);
      if (best === undefined || isBetter(grown, best)) best = grown;
    }
    return best;
  }

  #grownFrom(seed: number): DeviceSet {
    let set = this.#joined(EMPTY, seed, { worst: 0, sum: 0 });
    const size = this.#candidates.length;
    const distances: { worst: number; sum: number }[] = Array.from({ length: size }, (_, other) => {
      const rank = this.#rank(seed, other);
      return { worst: rank, sum: rank };
    });
    const taken = new Set([seed]);
    while (taken.size < this.#count) {
      let next: Verdict | undefined;
      let joining = seed;
      for (let member = 0; member < size; member++) {
        const distance = distances[member];
        if (distance === undefined || taken.has(member)) continue;
        const joined = this.#judged(set, member, distance);
        if (next !== undefined && !isBetter(joined, next)) continue;
        next = joined;
        joining = member;
      }
      if (next !== undefined) set = { ...next, members: [...set.members, joining] };
      taken.add(joining);
      for (let member = 0; member < size; member++) {
        const distance = distances[member];
        const rank = this.#rank(joining, member);
        if (distance === undefined) continue;
        distance.worst = Math.max(distance.worst, rank);
        distance.sum += rank;
      }
    }
    return set;
  }

  #joined(set: DeviceSet, member: number, distance: Distance): DeviceSet {
    return { ...this.#judged(set, member, distance), members: [...set.members, member] };
  }

  #judged(set: DeviceSet, member: number, distance: Distance): Verdict {
    const worst = Math.max(set.worst, distance.worst);
    return {
      missed: worst > this.#asked ? 1 : 0,
      slot: set.slot + (this.#slots[member] ?? 0),
      leftover: set.leftover + (this.#leftovers[member] ?? 0),
      worst,
      sum: set.sum + distance.sum,
    };
  }

  #distance({ members }: DeviceSet, member: number): Distance {
    const ranks = members.map((other) => this.#rank(other, member));
    return { worst: Math.max(0, ...ranks), sum: ranks.reduce((sum, rank) => sum + rank, 0) };
  }

  #rank(a: number, b: number): number {
    return this.#ranks[a * this.#candidates.length + b] ?? 0;
  }
}

const EMPTY: DeviceSet = { members: [], missed: 0, slot: 0, leftover: 0, worst: 0, sum: 0 };

function isBetter(a: Verdict, b: Verdict): boolean {
  if (a.missed !== b.missed) return a.missed < b.missed;
  if (a.slot !== b.slot) return a.slot < b.slot;
  if (a.leftover !== b.leftover) return a.leftover < b.leftover;
  if (a.worst !== b.worst) return a.worst < b.worst;
  return a.sum < b.sum;
}

/** Worth that a device loses, in whole steps. */
function slotOf(freeMilli: number, milli: number, values: GpuValues | undefined): number {
  if (values === undefined) return 0;
  const lost = worthOf(values, freeMilli) - worthOf(values, freeMilli - milli);
  return Math.round(lost * RANK_STEPS);
}
