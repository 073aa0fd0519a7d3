import type { Clock } from "@flotilla/shared/kernel/clock";
import { hasCode } from "@flotilla/shared/kernel/errors";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import { readDocument } from "../../domain/pricing/document.ts";
import {
  countsOf,
  deliveredList,
  FEED_ANNOTATION,
  type Feed,
  type FeedFailure,
  feedOf,
  isStale,
  withFeedCondition,
} from "../../domain/pricing/feed.ts";
import { clampedText, judgeDocument } from "../../domain/pricing/judge.ts";
import { changeOf } from "../control/change.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { ResourceStore, StoreErrorCode } from "../resources/ports.ts";
import type { PriceSource } from "./ports.ts";

/** Lists and feeds are looked at this often at least: it is how late a list is marked as stale. */
export const FEED_LOOK_INTERVAL_MS = 30_000;
/** A feed that failed is asked again after this, or after its interval when that is shorter. */
export const FEED_RETRY_MS = 60_000;
/** Longest message of a condition or an Event, in characters. */
const MESSAGE_LENGTH_MAX = 512;

/** What came of asking a feed once. */
type Outcome =
  | { readonly kind: "taken"; readonly message: string; readonly clamped: string | undefined }
  | { readonly kind: "failed"; readonly failure: FeedFailure; readonly message: string };

/**
 * Asks the price feeds that SchedulingProfiles name, each at its interval, and keeps the PriceList of each. The last good
 * list is what stands in the store: it outlives a feed that fails, and the hub.
 */
export class PriceFeeds implements Service {
  readonly name = "price-feeds";
  readonly #deps: PriceFeedDeps;
  /** When each feed is due, by profile; a feed that is not in here, or has another address, is due now. */
  readonly #due = new Map<string, { readonly address: string; readonly dueBootMs: number }>();
  #wake: () => void = () => {};

  constructor(deps: PriceFeedDeps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#deps;
    const unsubscribe = store.subscribe((entries) => {
      const isNew = entries.some(
        ({ key, object, previous }) =>
          key.kind === "SchedulingProfile" &&
          object.metadata.generation !== previous?.metadata.generation,
      );
      if (isNew) this.#wake();
    });
    try {
      while (!signal.aborted) {
        const waker = new AbortController();
        this.#wake = () => waker.abort();
        const restMs = await this.pass(signal);
        const until = AbortSignal.any([waker.signal, signal]);
        await clock.sleep(restMs, until).catch(() => {});
      }
    } finally {
      unsubscribe();
    }
  }

  /** Asks every feed that is due, and marks lists. Milliseconds until the next look. Rejects when the store fails. */
  async pass(signal: AbortSignal): Promise<number> {
    const { store, clock } = this.#deps;
    const feeds = new Map<string, Feed>();
    for (const profile of store.list("SchedulingProfile")) {
      const feed = feedOf(profile);
      if (feed !== undefined) feeds.set(feed.name, feed);
    }
    for (const name of this.#due.keys()) if (!feeds.has(name)) this.#due.delete(name);
    const nowMs = clock.bootMs();
    const due = [...feeds.values()].filter((feed) => this.#dueBootMs(feed) <= nowMs);
    await Promise.all(due.map((feed) => this.#ask(feed, signal)));
    await this.#markLists(feeds);
    const nextMs = Math.min(...[...feeds.values()].map((feed) => this.#dueBootMs(feed)));
    return Math.min(FEED_LOOK_INTERVAL_MS, Math.max(0, nextMs - clock.bootMs()));
  }

  #dueBootMs({ name, address }: Feed): number {
    const entry = this.#due.get(name);
    return entry?.address === address ? entry.dueBootMs : 0;
  }

  async #ask(feed: Feed, signal: AbortSignal): Promise<void> {
    const { clock, metrics } = this.#deps;
    const outcome = await this.#outcome(feed, signal);
    if (signal.aborted) return;
    const isTaken = outcome.kind === "taken";
    metrics.count("flotilla_hub_price_fetches_total", {
      outcome: isTaken ? "Delivered" : outcome.failure,
    });
    const waitMs = isTaken ? feed.intervalMs : Math.min(FEED_RETRY_MS, feed.intervalMs);
    this.#due.set(feed.name, { address: feed.address, dueBootMs: clock.bootMs() + waitMs });
    await this.#tell(feed.name, outcome);
  }

  async #outcome(feed: Feed, signal: AbortSignal): Promise<Outcome> {
    const text = await this.#deps.source.read(feed.address, signal);
    if (text.kind === "failed") return failed(text.reason, text.message);
    const read = readDocument(text.text, text.format);
    if (read.kind === "wrong")
      return failed("FeedInvalid", `the price list is wrong: ${read.message}`);
    const { store, clock, random, metrics } = this.#deps;
    const profile = store.get("SchedulingProfile", "", feed.name);
    const before = store.get("PriceList", "", feed.name);
    if (profile === undefined) return failed("FeedRefused", "the profile is gone");
    if (before !== undefined && before.metadata.annotations?.[FEED_ANNOTATION] !== feed.name)
      return failed(
        "NameTaken",
        `PriceList ${feed.name} was applied by hand and is not overwritten; delete it, or take priceAPI out of the profile`,
      );
    const judged = judgeDocument(read.document, before?.spec, feed.currency);
    if (judged.kind === "refuse") return failed(judged.reason, judged.message);
    const { spec, clamped } = judged;
    const delivery = { spec, clampedCount: clamped.length, nowIso: isoTime(clock.wallMs()) };
    const after = deliveredList(before, profile, delivery, () => uuid(random, "pricelist.uid"));
    try {
      const result = await store.commit({ changes: [changeOf(before, after)] });
      if (!result.ok) return failed("FeedRefused", "the PriceList was changed meanwhile");
    } catch (error) {
      if (!hasCode<StoreErrorCode>(error, "object-too-large")) throw error;
      return failed("FeedTooLarge", "the price list is larger than an object may be");
    }
    if (clamped.length > 0) metrics.count("flotilla_hub_prices_clamped_total", {}, clamped.length);
    const { nodeCount, egressCount } = countsOf(spec);
    const message = `${nodeCount} prices of nodes and ${egressCount} of traffic, in ${spec.currency}`;
    return { kind: "taken", message, clamped: clampedText(clamped) };
  }

  /** On the profile's status, and as an Event when it is news. A conflict is left to the next delivery. */
  async #tell(name: string, outcome: Outcome): Promise<void> {
    const { store, clock, events, log } = this.#deps;
    const profile = store.get("SchedulingProfile", "", name);
    if (profile === undefined) return;
    const failure = outcome.kind === "failed" ? outcome.failure : undefined;
    const message = outcome.message.slice(0, MESSAGE_LENGTH_MAX);
    const before = profile.status?.conditions?.find((c) => c.type === "PricesCurrent");
    const after = withFeedCondition(profile, { failure, message }, isoTime(clock.wallMs()));
    if (!jsonEqual(profile, after)) await store.commit({ changes: [changeOf(profile, after)] });
    if (before?.reason !== (failure ?? "Delivered")) {
      log.info({ profile: name, reason: failure ?? "Delivered", message }, "price feed");
      const type = failure === undefined ? "Normal" : "Warning";
      events.record({ about: profile, type, reason: failure ?? "PricesDelivered", message });
    }
    if (outcome.kind === "taken" && outcome.clamped !== undefined)
      events.record({
        about: profile,
        type: "Warning",
        reason: "PricesClamped",
        message: outcome.clamped.slice(0, MESSAGE_LENGTH_MAX),
      });
  }

  /** Counts of lists that were applied by hand, and which lists of feeds have become stale. */
  async #markLists(feeds: ReadonlyMap<string, Feed>): Promise<void> {
    const { store, clock, metrics } = this.#deps;
    let staleCount = 0;
    for (const list of store.list("PriceList")) {
      const feedName = list.metadata.annotations?.[FEED_ANNOTATION];
      const stale = feedName !== undefined && isStale(list, feeds.get(feedName), clock.wallMs());
      if (stale) staleCount += 1;
      const { generation } = list.metadata;
      const status = {
        ...list.status,
        stale,
        ...countsOf(list.spec),
        observedGeneration: generation,
      };
      const after = { ...list, status };
      if (!jsonEqual(list, after)) await store.commit({ changes: [changeOf(list, after)] });
    }
    metrics.set("flotilla_hub_price_lists_stale", staleCount);
  }
}

function failed(failure: FeedFailure, message: string): Outcome {
  return { kind: "failed", failure, message };
}

interface PriceFeedDeps {
  readonly store: ResourceStore;
  readonly source: PriceSource;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}
