/** Which instance belongs to which site, once it is known how many each site gets. Pure counting. */

/** An instance that exists and has not ended. */
export interface SharedInstance {
  readonly index: number;
  /** Site where it is and may stay; absent: it has no node, or has to leave the one it has. */
  readonly site?: string;
  readonly placed: boolean;
  readonly available: boolean;
}

export interface Sharing {
  /** Site of each instance that is to be, existing or not; ascending by index. */
  readonly siteOf: ReadonlyMap<number, string | undefined>;
  /** Those of them that are to be made. */
  readonly create: readonly number[];
  /** Those that serve where they are and have to go elsewhere. */
  readonly surplus: ReadonlySet<number>;
  readonly remove: readonly number[];
}

/**
 * On each site those that are there stay, the most worth keeping first, up to its count. What is beyond it, has no place or
 * has to leave fills what is free elsewhere; the rest is removed, and what is still free is made. `anywhere` are
 * instances that wait without a site.
 */
export function shareInstances(
  existing: readonly SharedInstance[],
  counts: ReadonlyMap<string, number>,
  anywhere: number,
): Sharing {
  const order = existing.toSorted((a, b) => worth(b) - worth(a) || a.index - b.index);
  const left = new Map(counts);
  const siteOf = new Map<number, string | undefined>();
  const take = (site: string): boolean => {
    const count = left.get(site) ?? 0;
    if (count > 0) left.set(site, count - 1);
    return count > 0;
  };
  const loose = order.filter(({ index, site }) => {
    const stays = site !== undefined && take(site);
    if (stays) siteOf.set(index, site);
    return !stays;
  });
  const free: (string | undefined)[] = [...left]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([site, count]) => Array.from({ length: count }, () => site));
  for (let n = 0; n < anywhere; n++) free.push(undefined);
  const surplus = new Set<number>();
  const remove: number[] = [];
  for (const instance of loose) {
    if (free.length === 0) {
      remove.push(instance.index);
      continue;
    }
    siteOf.set(instance.index, free.shift());
    if (instance.site !== undefined) surplus.add(instance.index);
  }
  const create: number[] = [];
  const used = new Set(existing.map((e) => e.index));
  for (let index = 0; free.length > 0; index++) {
    if (used.has(index)) continue;
    create.push(index);
    siteOf.set(index, free.shift());
  }
  return { siteOf, create, surplus, remove: remove.toSorted((a, b) => a - b) };
}

function worth({ placed, available }: SharedInstance): number {
  return (placed ? 1 : 0) + (available ? 2 : 0);
}
