/** Which instances of a component should exist: pure counting, no placement. */

/** An instance that exists. */
export interface Existing {
  readonly index: number;
  readonly placed: boolean;
  readonly available: boolean;
  readonly succeeded: boolean;
  readonly failed: boolean;
}

/** Indexes to keep, to make and to delete; each ascending. */
export interface Wanted {
  readonly keep: readonly number[];
  readonly create: readonly number[];
  readonly remove: readonly number[];
}

/** A Deployment keeps `replicas` instances; the surplus goes unplaced first, then not ready, then the highest index. */
export function wantedOfDeployment(existing: readonly Existing[], replicas: number): Wanted {
  const keep = mostWorthKeeping(existing, replicas);
  return result(existing, keep, lowestFree(keep, replicas - keep.length, Number.MAX_SAFE_INTEGER));
}

/**
 * A Job has the indexes below `completions`, of which at most `parallelism` exist unfinished at a time. Finished ones are
 * kept and not run again. Once one has failed for good, nothing more is started.
 */
export function wantedOfJob(
  existing: readonly Existing[],
  job: { readonly completions: number; readonly parallelism: number },
): Wanted {
  const inRange = existing.filter((e) => e.index < job.completions);
  const finished = inRange.filter((e) => e.succeeded || e.failed).map((e) => e.index);
  const unfinished = inRange.filter((e) => !e.succeeded && !e.failed);
  const running = mostWorthKeeping(unfinished, job.parallelism);
  const failed = inRange.some((e) => e.failed);
  const startCount = failed ? 0 : job.parallelism - running.length;
  const taken = [...finished, ...unfinished.map((e) => e.index)];
  return result(
    existing,
    [...finished, ...running],
    lowestFree(taken, startCount, job.completions),
  );
}

function mostWorthKeeping(existing: readonly Existing[], countMax: number): readonly number[] {
  const worth = (e: Existing): number => (e.placed ? 1 : 0) + (e.available ? 2 : 0);
  return existing
    .toSorted((a, b) => worth(b) - worth(a) || a.index - b.index)
    .slice(0, Math.max(0, countMax))
    .map((e) => e.index);
}

function lowestFree(taken: readonly number[], count: number, below: number): readonly number[] {
  const used = new Set(taken);
  const found: number[] = [];
  for (let index = 0; found.length < count && index < below; index++)
    if (!used.has(index)) found.push(index);
  return found;
}

function result(
  existing: readonly Existing[],
  keep: readonly number[],
  create: readonly number[],
): Wanted {
  const kept = new Set(keep);
  const ascending = (a: number, b: number): number => a - b;
  return {
    keep: keep.toSorted(ascending),
    create,
    remove: existing
      .map((e) => e.index)
      .filter((index) => !kept.has(index))
      .toSorted(ascending),
  };
}
