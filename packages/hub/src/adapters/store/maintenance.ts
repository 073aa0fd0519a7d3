import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Service } from "@flotilla/shared/kernel/service";

/** As kube-apiserver compacts etcd. */
export const COMPACTION_INTERVAL_MS = 300_000;
/** What a damaged disk can cost at most, in acknowledged writes. */
export const BACKUP_INTERVAL_MS = 1_800_000;

/** What needs to be kept in order now and then. */
export interface Maintainable {
  compact(): number;
  backup(): void;
}

/** Compacts the log and writes the last good copy, for as long as the hub runs. A failure is logged and tried again later. */
export class StoreMaintenance implements Service {
  readonly name = "store-maintenance";
  readonly #store: Maintainable;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(deps: { readonly store: Maintainable; readonly clock: Clock; readonly log: Log }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  async run(signal: AbortSignal): Promise<void> {
    let backupDueMs = this.#clock.bootMs() + COMPACTION_INTERVAL_MS;
    while (!signal.aborted) {
      await this.#clock.sleep(COMPACTION_INTERVAL_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      this.#attempt("compaction", () => this.#store.compact());
      if (this.#clock.bootMs() < backupDueMs) continue;
      backupDueMs = this.#clock.bootMs() + BACKUP_INTERVAL_MS;
      this.#attempt("backup", () => this.#store.backup());
    }
  }

  #attempt(what: string, work: () => unknown): void {
    try {
      work();
    } catch (error) {
      this.#log.error({ reason: messageOf(error), what }, "store maintenance failed");
    }
  }
}
