import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { Metrics, Service } from "@flotilla/shared/kernel/service";
import { KINDS, type KindName } from "@flotilla/shared/model/kinds";
import { type CollectStep, collect } from "../../domain/garbage/collect.ts";
import { expiresAtMs } from "../../domain/garbage/finished.ts";
import { changeOf } from "../control/change.ts";
import { PassLoop } from "../control/pass-loop.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { AnyObject, LogEntry, ResourceStore } from "../resources/ports.ts";

/** Most objects of one commit. */
const STEPS_PER_COMMIT_MAX = 500;
/** Rounds of one pass: a chain of owners longer than this is finished by the next pass. */
const ROUNDS_MAX = 16;
/** Finished Jobs are looked at this often; so much later than their time may they go. */
export const FINISHED_INTERVAL_MS = 10_000;
/** Events own nothing, are owned by nothing and are many. */
const KINDS_SEEN = Object.keys(KINDS).filter((k): k is KindName => k !== "Event");

/** Deletes what nobody owns any more, in the background, and Applications of Jobs whose time after their end is over. */
export class GarbageCollector implements Service {
  readonly name = "garbage";
  readonly #deps: GarbageDeps;
  readonly #loop: PassLoop;

  constructor(
    options: { readonly resyncMs?: number; readonly coalesceMs?: number },
    deps: GarbageDeps,
  ) {
    this.#deps = deps;
    this.#loop = new PassLoop(
      { resyncMs: FINISHED_INTERVAL_MS, ...options, name: this.name },
      { ...deps, isRelevant: mayLeaveGarbage, pass: () => this.pass() },
    );
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#loop.run(signal);
  }

  /** One look at everything, as often as it takes for chains of owners. Rejects when the store fails. */
  async pass(): Promise<void> {
    await this.#expire();
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const objects = KINDS_SEEN.flatMap((kind): readonly AnyObject[] =>
        this.#deps.store.list(kind),
      );
      const steps = collect(objects, isoTime(this.#deps.clock.wallMs()));
      if (steps.length === 0) return;
      for (let i = 0; i < steps.length; i += STEPS_PER_COMMIT_MAX)
        if (!(await this.#commit(steps.slice(i, i + STEPS_PER_COMMIT_MAX), "owner"))) return;
    }
  }

  async #expire(): Promise<void> {
    const { store, clock, events } = this.#deps;
    for (const application of store.list("Application")) {
      const dueMs = expiresAtMs(application);
      if (dueMs === undefined || clock.wallMs() < dueMs) continue;
      if (await this.#commit(collectable(application, isoTime(clock.wallMs())), "finished"))
        events.record({
          about: application,
          type: "Normal",
          reason: "Expired",
          message: "finished, and ttlSecondsAfterFinished is over",
        });
    }
  }

  /** False when something had moved: what is to be done is then seen anew by the next pass. */
  async #commit(steps: readonly CollectStep<AnyObject>[], cause: string): Promise<boolean> {
    if (steps.length === 0) return false;
    const changes = steps.map((s) => changeOf(s.before, s.after));
    const { ok } = await this.#deps.store.commit({ changes });
    const deletedCount = steps.filter((s) => s.after === undefined).length;
    if (ok) this.#deps.metrics.count("flotilla_hub_garbage_deleted_total", { cause }, deletedCount);
    else this.#deps.metrics.count("flotilla_hub_pass_conflicts_total", { controller: this.name });
    return ok;
  }
}

/** An Application goes at once unless a finalizer holds it. */
function collectable(application: AnyObject, nowIso: string): readonly CollectStep<AnyObject>[] {
  const { finalizers = [], deletionTimestamp } = application.metadata;
  if (finalizers.length === 0) return [{ before: application, after: undefined }];
  if (deletionTimestamp !== undefined) return [];
  const metadata = { ...application.metadata, deletionTimestamp: nowIso };
  return [{ before: application, after: { ...application, metadata } }];
}

/** A deletion, the wish for one, or a new owner reference. */
function mayLeaveGarbage({ type, key, object, previous }: LogEntry): boolean {
  if (key.kind === "Event") return false;
  if (type === "DELETED" || object.metadata.deletionTimestamp !== undefined) return true;
  const owners = object.metadata.ownerReferences ?? [];
  return owners.length > 0 && owners.length !== previous?.metadata.ownerReferences?.length;
}

interface GarbageDeps {
  readonly store: ResourceStore;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly metrics: Metrics;
}
