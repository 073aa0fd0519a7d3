import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { QueueShare } from "@flotilla/shared/scheduling/round/types";
import { queueWithStatus } from "../../domain/scheduling/queue-status.ts";
import { changeOf } from "../control/change.ts";
import type { CommitResult, ResourceStore } from "../resources/ports.ts";
import type { QueueOutcome } from "./scheduler.ts";

/** How often the status of queues is written at most: rounds come faster than anybody reads. */
export const QUEUE_STATUS_INTERVAL_MS = 1_000;

/** Queues that metrics tell of; those that a hub meets after so many are in their status alone. */
export const QUEUES_MEASURED_MAX = 200;

/** Writes how the queues stand into their status and into metrics. What a newer round says replaces what was not written yet. */
export class QueueStatusWriter implements Service {
  readonly name = "queue-status";
  readonly #deps: QueueStatusDeps;
  #told: QueueOutcome | undefined;
  /** A series of metrics is never taken back, so that deleted queues count too. */
  readonly #measured = new Set<string>();
  #wake: () => void = () => {};

  constructor(deps: QueueStatusDeps) {
    this.#deps = deps;
  }

  /** How the queues stand after a round. */
  tell(outcome: QueueOutcome): void {
    this.#told = outcome;
    this.#wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const onAbort = (): void => this.#wake();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      while (!signal.aborted) {
        await this.#somethingTold(signal);
        const told = this.#told;
        this.#told = undefined;
        if (told !== undefined)
          await this.write(told).catch((error: unknown) =>
            log.warn({ err: error }, "the status of queues was not written"),
          );
        await clock.sleep(QUEUE_STATUS_INTERVAL_MS, signal).catch(() => {});
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Writes what has changed. A conflict is left to the next round. */
  async write({ shares, problems, reservation }: QueueOutcome): Promise<void> {
    const { store, clock } = this.#deps;
    const byQueue = new Map(shares.map((s) => [s.queue, s]));
    this.#measure(byQueue);
    const nowIso = isoTime(clock.wallMs());
    const commits: Promise<CommitResult>[] = [];
    for (const queue of store.list("Queue")) {
      const { name } = queue.metadata;
      const after = queueWithStatus(
        queue,
        {
          share: byQueue.get(name),
          problems: problems.filter((p) => p.queue === name),
          ...(reservation?.queue === name ? { reservation } : {}),
        },
        nowIso,
      );
      if (!jsonEqual(queue, after))
        commits.push(store.commit({ changes: [changeOf(queue, after)] }));
    }
    await Promise.all(commits);
  }

  #measure(shares: ReadonlyMap<string, QueueShare>): void {
    const { metrics } = this.#deps;
    for (const queue of shares.keys())
      if (this.#measured.size < QUEUES_MEASURED_MAX) this.#measured.add(queue);
    for (const queue of this.#measured) {
      const { share = 0, fairShare = 0, pendingJobs = 0 } = shares.get(queue) ?? {};
      metrics.set("flotilla_hub_queue_share", share, { queue });
      metrics.set("flotilla_hub_queue_fair_share", fairShare, { queue });
      metrics.set("flotilla_hub_queue_pending_jobs", pendingJobs, { queue });
    }
  }

  async #somethingTold(signal: AbortSignal): Promise<void> {
    if (this.#told !== undefined || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = () => {};
  }
}

interface QueueStatusDeps {
  readonly store: ResourceStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}
