import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError } from "@flotilla/shared/kernel/errors";
import {
  type ActiveLock,
  activeLock,
  type LockNow,
  livingLocks,
  locksOfBoot,
  newLock,
  UPDATE_LOCK_MS_MAX,
  UPDATE_LOCKS_MAX,
  type UpdateLock,
} from "../../domain/artifact/update-lock.ts";
import type { LockFileReader, SlotStore } from "./ports.ts";

/** Failures of locking and unlocking. */
export type UpdateLockErrorCode =
  /** Longer than a lock may be, or not a time at all. */
  | "lock-duration-refused"
  /** There are as many locks as there may be. */
  | "too-many-locks";

interface UpdateLocksDeps {
  readonly store: Pick<SlotStore, "memo" | "putMemo">;
  readonly files: LockFileReader;
  /** Where the lock file of an instance is. */
  readonly fileOf: (instanceId: string) => string;
  readonly clock: Clock;
  readonly bootId: string;
}

/** What holds updates back: locks of operators, durable, and lock files of workloads, looked at when it matters. */
export class UpdateLocks {
  readonly #deps: UpdateLocksDeps;
  #locks: readonly UpdateLock[];
  /** Boot clock at which a lock file with this time of change was first found. */
  readonly #filesSeen = new Map<
    string,
    { readonly changedWallMs: number; readonly bootMs: number }
  >();

  constructor(deps: UpdateLocksDeps) {
    this.#deps = deps;
    const stored = readLocks(deps.store.memo("update-locks"));
    this.#locks = locksOfBoot(stored, this.#now());
    if (stored.some((lock) => lock.bootId !== deps.bootId)) this.#write(this.#locks);
  }

  /** Holds updates of an instance, or of all, back for so long. A second lock on the same takes the first one's place. */
  lock(request: {
    readonly instance?: string;
    readonly reason: string;
    readonly forMs: number;
  }): UpdateLock {
    const { forMs, instance } = request;
    if (!Number.isFinite(forMs) || forMs <= 0 || forMs > UPDATE_LOCK_MS_MAX)
      throw new CodedError<UpdateLockErrorCode>(
        "lock-duration-refused",
        `for: a lock lasts more than 0 ms and at most ${UPDATE_LOCK_MS_MAX} ms`,
        { mend: "Lock for at most 7d, and again before that ends." },
      );
    const now = this.#now();
    const lock = newLock(request, now);
    const others = livingLocks(this.#locks, now).filter((other) => other.instance !== instance);
    if (others.length >= UPDATE_LOCKS_MAX)
      throw new CodedError<UpdateLockErrorCode>(
        "too-many-locks",
        `there are ${UPDATE_LOCKS_MAX} update locks on this node`,
        { mend: "Lock the whole node (flotilla-agent lock without an instance)." },
      );
    this.#write([...others, lock]);
    return lock;
  }

  /** Takes away the lock on an instance, or the one on all; returns whether there was one. A lock file is the workload's. */
  unlock(instance: string | undefined): boolean {
    const living = livingLocks(this.#locks, this.#now());
    const others = living.filter((lock) => lock.instance !== instance);
    this.#write(others);
    return others.length < living.length;
  }

  /** Locks of operators that hold now. */
  living(): readonly UpdateLock[] {
    return livingLocks(this.#locks, this.#now());
  }

  /** True when an operator holds something back: then every instance has to be asked about. */
  get isAnyHeld(): boolean {
    return this.#locks.length > 0 && this.living().length > 0;
  }

  /** What holds an instance back now. `hasFile`: it has a place for a lock file. */
  activeFor(instance: string, hasFile: boolean): ActiveLock | undefined {
    const now = this.#now();
    return activeLock(instance, this.#locks, hasFile ? this.#file(instance, now) : undefined, now);
  }

  #file(instance: string, now: LockNow) {
    const found = this.#deps.files.read(this.#deps.fileOf(instance));
    if (found === undefined) {
      this.#filesSeen.delete(instance);
      return undefined;
    }
    const before = this.#filesSeen.get(instance);
    const isNew = before?.changedWallMs !== found.changedWallMs;
    const firstSeenBootMs = isNew ? now.bootMs : before.bootMs;
    if (isNew)
      this.#filesSeen.set(instance, { changedWallMs: found.changedWallMs, bootMs: now.bootMs });
    return { ...found, firstSeenBootMs };
  }

  #write(locks: readonly UpdateLock[]): void {
    this.#deps.store.putMemo("update-locks", locks);
    this.#locks = locks;
  }

  #now(): LockNow {
    const { bootId, clock } = this.#deps;
    return { bootMs: clock.bootMs(), wallMs: clock.wallMs(), bootId };
  }
}

/** Written by this program only; what is not a lock is left out. */
function readLocks(value: unknown): readonly UpdateLock[] {
  return Array.isArray(value) ? value.filter(isLock) : [];
}

function isLock(value: unknown): value is UpdateLock {
  return (
    typeof value === "object" &&
    value !== null &&
    "reason" in value &&
    typeof value.reason === "string" &&
    "bootId" in value &&
    "untilBootMs" in value &&
    typeof value.untilBootMs === "number" &&
    "untilWallMs" in value &&
    typeof value.untilWallMs === "number"
  );
}
