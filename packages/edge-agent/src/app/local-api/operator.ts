import { CodedError } from "@flotilla/shared/kernel/errors";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { ReportedArtifacts } from "@flotilla/shared/model/artifact";
import type { ReportedInstance } from "@flotilla/shared/model/reported-state";
import { releasesText } from "../../domain/artifact/artifact-sets.ts";
import type { SlotRecord } from "../../domain/artifact/slot-record.ts";
import type { UpdateLock } from "../../domain/artifact/update-lock.ts";
import type { UpdateLocks } from "../artifact/update-locks.ts";
import type { LocalArtifacts, LocalLock, LocalOperations } from "./ports.ts";

interface OperatorDeps {
  readonly locks: UpdateLocks;
  /** Ids of instances that run here, or are wanted here. */
  readonly instanceIds: () => ReadonlySet<string>;
  readonly slots: () => readonly SlotRecord[];
  readonly retry: (instanceId: string) => number;
  readonly folderOf: (instanceId: string) => string;
  readonly reported: () => {
    readonly instances: readonly ReportedInstance[];
    readonly artifacts?: ReportedArtifacts;
  };
  /** Something may go on: wakes the reconciler. */
  readonly onChange: () => void;
}

/** What an operator does on the node itself, and what only the node knows of its artifacts. */
export class LocalOperator implements LocalOperations {
  readonly #deps: OperatorDeps;

  constructor(deps: OperatorDeps) {
    this.#deps = deps;
  }

  lock(request: {
    readonly instance?: string;
    readonly reason: string;
    readonly forMs: number;
  }): LocalLock {
    const { instanceIds, locks, onChange } = this.#deps;
    const { instance } = request;
    if (instance !== undefined && !instanceIds().has(instance))
      throw new CodedError("not-found", `this node has no instance "${instance}"`);
    const lock = lockView(locks.lock(request));
    onChange();
    return lock;
  }

  unlock(instance: string | undefined): boolean {
    const wasLocked = this.#deps.locks.unlock(instance);
    this.#deps.onChange();
    return wasLocked;
  }

  retry(instance: string): number {
    return this.#deps.retry(instance);
  }

  /** Locks of operators, and lock files of workloads. */
  locks(): readonly LocalLock[] {
    const { locks, slots } = this.#deps;
    const files = slots().flatMap(({ id }): LocalLock[] => {
      const held = locks.activeFor(id, true);
      if (held?.by !== "workload") return [];
      const { reason, untilWallMs } = held;
      return [{ instance: id, by: "workload", reason, until: isoTime(untilWallMs) }];
    });
    return [...locks.living().map(lockView), ...files];
  }

  artifacts(): LocalArtifacts {
    const { folderOf, reported, slots } = this.#deps;
    const { artifacts: node, instances } = reported();
    const records = new Map(slots().map((record) => [record.id, record]));
    return {
      node,
      instances: instances.flatMap(({ artifacts, id }) => {
        if (artifacts === undefined) return [];
        const failed = (records.get(id)?.failed ?? []).map((failure) => ({
          releases: releasesText(failure.releases),
          reason: failure.reason,
          message: failure.message,
          failedAt: isoTime(failure.failedWallMs),
        }));
        return [{ id, artifacts, folder: folderOf(id), failed }];
      }),
    };
  }
}

function lockView({ instance, reason, untilWallMs }: UpdateLock): LocalLock {
  const until = isoTime(untilWallMs);
  return instance === undefined
    ? { by: "operator", reason, until }
    : { instance, by: "operator", reason, until };
}
