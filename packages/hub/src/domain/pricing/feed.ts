import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import { parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { withCondition } from "@flotilla/shared/model/metadata";
import type { PriceListSpec } from "@flotilla/shared/model/resources/pricing";

/** How often a feed is asked when its profile does not say. */
export const UPDATE_INTERVAL_MS_DEFAULT = 3_600_000;
/** A feed is not asked more often than this, whatever its profile says. */
export const UPDATE_INTERVAL_MS_MIN = 10_000;
/** Prices are stale when a feed has not delivered for so many intervals. */
export const STALE_AFTER_INTERVALS = 3;
/** Annotation of a PriceList that a feed writes: the name of the profile that it belongs to. */
export const FEED_ANNOTATION = "scheduling.kurator.dev/feed";

/** Why there are no current prices, for conditions and Events. */
export type FeedFailure =
  | "FeedUnreachable"
  | "FeedTimeout"
  | "FeedRefused"
  | "FeedTooLarge"
  | "FeedInvalid"
  | "CurrencyChanged"
  | "NameTaken";

/** One feed: a profile that names one. */
export interface Feed {
  /** Of the profile, and of the PriceList that it writes. */
  readonly name: string;
  readonly address: string;
  readonly intervalMs: number;
  readonly currency: string | undefined;
}

type Profile = ObjectOf<"SchedulingProfile">;
type PriceList = ObjectOf<"PriceList">;

/** The feed of a profile; undefined when it names none, or is not cost aware. */
export function feedOf({ metadata, spec }: Profile): Feed | undefined {
  const { enabled, priceAPI, updateInterval, currency } = spec.costAware ?? {};
  if (priceAPI === undefined || enabled === false || metadata.deletionTimestamp !== undefined)
    return undefined;
  const saidMs = updateInterval === undefined ? undefined : parseDurationMs(updateInterval);
  const intervalMs = Math.max(UPDATE_INTERVAL_MS_MIN, saidMs ?? UPDATE_INTERVAL_MS_DEFAULT);
  return { name: metadata.name, address: priceAPI, intervalMs, currency };
}

/** Whether prices that a feed wrote are too old. Those of a feed that is no more are. A clock that went back makes nothing old. */
export function isStale(list: PriceList, feed: Feed | undefined, nowMs: number): boolean {
  const fetchedMs = parseIsoTimeMs(list.status?.fetchedAt ?? "");
  if (feed === undefined || fetchedMs === undefined) return true;
  return nowMs - fetchedMs > STALE_AFTER_INTERVALS * feed.intervalMs;
}

/** An address without what may be secret in it: no user, password, query or fragment. */
export function shownAddress(address: string): string {
  return address.replace(/[?#].*$/s, "").replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, "$1");
}

/** A delivery that was taken. */
export interface Delivery {
  readonly spec: PriceListSpec;
  readonly clampedCount: number;
  readonly nowIso: string;
}

/** The feed's PriceList after a delivery. `newUid` is asked for when there is none yet. */
export function deliveredList(
  before: PriceList | undefined,
  profile: Profile,
  { spec, clampedCount, nowIso }: Delivery,
  newUid: () => string,
): PriceList {
  const { apiVersion, kind, metadata } = profile;
  const { name, uid } = metadata;
  const generation = before?.metadata.generation ?? 0;
  const isSame = before !== undefined && JSON.stringify(before.spec) === JSON.stringify(spec);
  return {
    apiVersion: "scheduling.kurator.dev/v1alpha1",
    kind: "PriceList",
    metadata: {
      ...(before?.metadata ?? {
        name,
        uid: newUid(),
        creationTimestamp: nowIso,
        annotations: { [FEED_ANNOTATION]: name },
      }),
      generation: isSame ? generation : generation + 1,
      ownerReferences: [{ apiVersion, kind, name, uid, controller: true }],
    },
    spec,
    status: {
      ...before?.status,
      source: shownAddress(profile.spec.costAware?.priceAPI ?? ""),
      fetchedAt: nowIso,
      stale: false,
      clampedCount,
      ...countsOf(spec),
      observedGeneration: isSame ? generation : generation + 1,
    },
  };
}

/** What the status of any list says of its size. */
export function countsOf(spec: PriceListSpec): { nodeCount: number; egressCount: number } {
  return { nodeCount: spec.nodes.length, egressCount: spec.egress?.length ?? 0 };
}

/** The profile with what is to be said of its feed. */
export function withFeedCondition(
  profile: Profile,
  said: { readonly failure?: FeedFailure | undefined; readonly message: string },
  nowIso: string,
): Profile {
  const conditions = withCondition(
    profile.status?.conditions,
    {
      type: "PricesCurrent",
      status: said.failure === undefined ? "True" : "False",
      reason: said.failure ?? "Delivered",
      message: said.message,
      observedGeneration: profile.metadata.generation,
    },
    nowIso,
  );
  return { ...profile, status: { ...profile.status, conditions } };
}
