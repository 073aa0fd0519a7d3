import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import {
  eventAddress,
  eventAfter,
  type Happening,
  isExpired,
  lastSeenMs,
} from "../../domain/events/event.ts";
import { changeOf } from "../control/change.ts";
import type { AnyObject, Change, ResourceStore } from "../resources/ports.ts";

/** Most Events kept; the sweep deletes those over an object's share, then those that were seen longest ago. */
export const EVENTS_MAX = 10_000;
/** So many Events of one object go no earlier than those of others. */
export const EVENTS_PER_OBJECT_SHARE = 50;
/** Most different happenings waiting for a commit; more are dropped and counted. */
export const EVENT_QUEUE_LENGTH_MAX = 2_000;
/** Most Events of one commit. */
const EVENT_BATCH_LENGTH_MAX = 100;
/** How long a happening waits for others to share its commit, milliseconds. */
const EVENT_BATCH_DELAY_MS = 50;
/** Time between two sweeps, milliseconds. */
const EVENT_SWEEP_INTERVAL_MS = 60_000;
/** So many new Events since the last sweep cause one at once. */
const EVENT_SWEEP_AFTER_COUNT = 1_000;

interface Pending {
  readonly happening: Happening;
  times: number;
}

/**
 * Writes core/v1 Events. Best effort: an Event is never worth failing or delaying what it tells of, so `record` returns
 * at once and never throws; what cannot be stored is dropped and counted. As a service it sweeps, and at the end drains.
 */
export class EventRecorder implements Service {
  readonly name = "events";
  readonly #eventsMax: number;
  readonly #store: ResourceStore;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Log;
  readonly #metrics: Metrics | undefined;
  readonly #pending = new Map<string, Pending>();
  #flushing = false;
  #committing: Promise<void> = Promise.resolve();
  #createdCount = 0;

  constructor(
    options: { readonly eventsMax?: number },
    deps: {
      readonly store: ResourceStore;
      readonly clock: Clock;
      readonly random: Random;
      readonly log: Log;
      readonly metrics?: Metrics;
    },
  ) {
    this.#eventsMax = options.eventsMax ?? EVENTS_MAX;
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#log = deps.log;
    this.#metrics = deps.metrics;
  }

  /** Notes that something happened to an object. The same (object, reason, message) within an hour raises the count. */
  record(event: {
    readonly about: AnyObject;
    readonly type: "Normal" | "Warning";
    readonly reason: string;
    readonly message: string;
  }): void {
    const { namespace, name } = eventAddress(event);
    const key = `${namespace}/${name}`;
    const pending = this.#pending.get(key);
    if (pending !== undefined) {
      pending.times++;
      return;
    }
    if (this.#pending.size >= EVENT_QUEUE_LENGTH_MAX) {
      this.#metrics?.count("flotilla_hub_events_dropped_total", { cause: "queue-full" });
      return;
    }
    this.#pending.set(key, { happening: event, times: 1 });
    if (!this.#flushing) void this.#flushLater();
  }

  /** Resolves when all that was recorded until now is stored or given up. */
  async flush(): Promise<void> {
    while (this.#pending.size > 0) await this.#commitBatch();
    await this.#committing;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.sweep();
      await this.#clock.sleep(EVENT_SWEEP_INTERVAL_MS, signal).catch(() => {});
    }
    await this.flush();
  }

  /** Deletes Events that are past their time, and the surplus above the limit. */
  async sweep(): Promise<void> {
    this.#createdCount = 0;
    const nowMs = this.#clock.wallMs();
    const events = this.#store.list("Event");
    const expired = new Set(events.filter((e) => isExpired(e, nowMs)));
    const surplus = events.length - expired.size - this.#eventsMax;
    const kept = surplus > 0 ? events.filter((e) => !expired.has(e)) : [];
    const doomed = [...expired, ...surplusOf(kept, Math.max(0, surplus))];
    for (let i = 0; i < doomed.length; i += EVENT_BATCH_LENGTH_MAX)
      await this.#commit(
        // One that was seen again meanwhile stays; the others of its batch go with the next sweep.
        doomed.slice(i, i + EVENT_BATCH_LENGTH_MAX).map((e) => changeOf(e, undefined)),
      );
  }

  async #flushLater(): Promise<void> {
    this.#flushing = true;
    while (this.#pending.size > 0) {
      await this.#clock.sleep(EVENT_BATCH_DELAY_MS);
      await this.#commitBatch();
      if (this.#createdCount > EVENT_SWEEP_AFTER_COUNT) await this.sweep();
    }
    this.#flushing = false;
  }

  /** One commit at a time, so that a count is raised from what the last one left. */
  #commitBatch(): Promise<void> {
    this.#committing = this.#committing.then(async () => {
      const batch = [...this.#pending].slice(0, EVENT_BATCH_LENGTH_MAX);
      for (const [key] of batch) this.#pending.delete(key);
      if (batch.length > 0) await this.#commit(batch.map(([, p]) => this.#changeOf(p)));
    });
    return this.#committing;
  }

  #changeOf({ happening, times }: Pending): Change {
    const address = eventAddress(happening);
    const old = this.#store.get("Event", address.namespace, address.name);
    if (old === undefined) this.#createdCount++;
    const object = eventAfter(old, happening, {
      times,
      nowMs: this.#clock.wallMs(),
      uid: uuid(this.#random, "event.uid"),
    });
    return { key: { kind: "Event", ...address }, expect: "any", object };
  }

  async #commit(changes: readonly Change[]): Promise<void> {
    try {
      await this.#store.commit({ changes });
    } catch (error) {
      this.#metrics?.count("flotilla_hub_events_dropped_total", { cause: "store" }, changes.length);
      this.#log.warn({ error: messageOf(error), count: changes.length }, "events were not stored");
    }
  }
}

/**
 * `count` Events to give up: of objects with more than their share first, then those seen longest ago. So one node that
 * tells too much costs its own Events, not those of the others.
 */
function surplusOf(
  events: readonly ObjectOf<"Event">[],
  count: number,
): readonly ObjectOf<"Event">[] {
  const counts = new Map<string | undefined, number>();
  return events
    .map((event) => ({ event, seenMs: lastSeenMs(event) }))
    .toSorted((a, b) => b.seenMs - a.seenMs)
    .map(({ event }) => {
      const { uid } = event.involvedObject;
      const newer = counts.get(uid) ?? 0;
      counts.set(uid, newer + 1);
      return { event, isOverShare: newer >= EVENTS_PER_OBJECT_SHARE };
    })
    .toReversed()
    .toSorted((a, b) => Number(b.isOverShare) - Number(a.isOverShare))
    .slice(0, count)
    .map(({ event }) => event);
}
