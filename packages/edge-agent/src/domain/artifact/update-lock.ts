/**
 * Update locks: "not now". While one holds, downloads and preparation go on; the switch, and a restart for another spec, wait.
 * Removal is not held up, nor is going back from what failed.
 */

/** Longest lock that an operator can set. */
export const UPDATE_LOCK_MS_MAX: number = 7 * 86_400_000;
/** How long a lock file counts after it was last written. */
export const UPDATE_LOCK_FILE_MS_MAX: number = 24 * 3_600_000;
/** Longest reason, characters; the rest is cut off. */
export const UPDATE_LOCK_REASON_LENGTH_MAX = 256;
/** Most locks at once. */
export const UPDATE_LOCKS_MAX = 1_024;

/** A lock that an operator set, durable. It ends by time even where the clock goes back or the machine is off. */
export interface UpdateLock {
  /** Absent: every instance of the node. */
  readonly instance?: string;
  readonly reason: string;
  readonly bootId: string;
  readonly untilBootMs: number;
  readonly untilWallMs: number;
}

/** A lock file as it was found. */
export interface LockFile {
  readonly reason: string;
  readonly changedWallMs: number;
}

/** A lock that holds now. */
export interface ActiveLock {
  readonly by: "operator" | "workload";
  readonly reason: string;
  readonly untilBootMs: number;
  /** For people. */
  readonly untilWallMs: number;
}

/** Time of a look at locks. */
export interface LockNow {
  readonly bootMs: number;
  readonly wallMs: number;
  readonly bootId: string;
}

/** A lock from now on. */
export function newLock(
  request: { readonly instance?: string; readonly reason: string; readonly forMs: number },
  now: LockNow,
): UpdateLock {
  const forMs = Math.min(Math.max(0, request.forMs), UPDATE_LOCK_MS_MAX);
  return {
    ...(request.instance === undefined ? {} : { instance: request.instance }),
    reason: request.reason.slice(0, UPDATE_LOCK_REASON_LENGTH_MAX),
    bootId: now.bootId,
    untilBootMs: now.bootMs + forMs,
    untilWallMs: now.wallMs + forMs,
  };
}

/** The locks as they stand in this boot: those of another one go by the wall clock from here on, and never longer than a lock may. */
export function locksOfBoot(locks: readonly UpdateLock[], now: LockNow): readonly UpdateLock[] {
  return locks.map((lock) => {
    if (lock.bootId === now.bootId) return lock;
    const leftMs = Math.min(lock.untilWallMs - now.wallMs, UPDATE_LOCK_MS_MAX);
    return { ...lock, bootId: now.bootId, untilBootMs: now.bootMs + leftMs };
  });
}

/** Those that have not ended. */
export function livingLocks(locks: readonly UpdateLock[], now: LockNow): readonly UpdateLock[] {
  return locks.filter((lock) => lock.untilBootMs > now.bootMs);
}

/** The lock that holds an instance longest, of those of operators and its own file. `firstSeenBootMs`: when the file was first found. */
export function activeLock(
  instance: string,
  locks: readonly UpdateLock[],
  file: (LockFile & { readonly firstSeenBootMs: number }) | undefined,
  now: LockNow,
): ActiveLock | undefined {
  const own = livingLocks(locks, now)
    .filter((lock) => lock.instance === undefined || lock.instance === instance)
    .map((lock): ActiveLock => {
      const { reason, untilBootMs, untilWallMs } = lock;
      return { by: "operator", reason, untilBootMs, untilWallMs };
    });
  const all = [...own, ...(file === undefined ? [] : fileLock(file, now))];
  return all.reduce<ActiveLock | undefined>(
    (longest, lock) =>
      longest === undefined || lock.untilBootMs > longest.untilBootMs ? lock : longest,
    undefined,
  );
}

/** A file from the future, by a clock that was wrong, counts from when it was first found. */
function fileLock(
  file: LockFile & { readonly firstSeenBootMs: number },
  now: LockNow,
): readonly ActiveLock[] {
  const ageMs = Math.max(0, now.wallMs - file.changedWallMs, now.bootMs - file.firstSeenBootMs);
  const leftMs = UPDATE_LOCK_FILE_MS_MAX - ageMs;
  if (leftMs <= 0) return [];
  const until = { untilBootMs: now.bootMs + leftMs, untilWallMs: now.wallMs + leftMs };
  return [{ by: "workload", reason: file.reason, ...until }];
}
