import type { Clock } from "@flotilla/shared/kernel/clock";
import { badRequest } from "../../domain/resources/api-error.ts";
import { sourceOf } from "../../domain/resources/kind-lookup.ts";
import { project } from "../../domain/resources/views/project.ts";
import type {
  ApiObject,
  LogEntry,
  ResourceStore,
  ServedKind,
  WatchEvent,
  WatchOptions,
} from "./ports.ts";
import { type Matcher, matcherOf, readAll } from "./reader.ts";

/** How often a watcher that asked for it is told how far it is. */
export const BOOKMARK_INTERVAL_MS = 60_000;
/** Lines that a watcher may be behind. One that takes them slower than they come is sent back to a list. */
export const WATCH_LAG_LINES_MAX = 50_000;
/** Lines read from the log at once. */
const BATCH_LINES = 500;

export interface WatchRequest {
  readonly kind: ServedKind;
  readonly options: WatchOptions;
  readonly signal: AbortSignal;
  readonly lagLinesMax?: number;
}

/**
 * Follows the log. A watcher keeps only its place in the log, so that one who is slow costs nothing; when it is further
 * behind than WATCH_LAG_LINES_MAX, or its place is compacted away, the watch ends with EXPIRED. Throws BadRequest at once for
 * options that cannot be.
 */
export function watchLog(
  request: WatchRequest,
  deps: { readonly store: ResourceStore; readonly clock: Clock },
): AsyncIterable<WatchEvent> {
  const { kind, options } = request;
  const matches = matcherOf(kind, options);
  const asked = options.resourceVersion ?? "";
  if (!/^\d{0,16}$/.test(asked)) throw badRequest(`invalid resource version "${asked}"`);
  const fromStart = asked === "" || asked === "0" || options.sendInitialEvents;
  const { store } = deps;
  const initial = fromStart
    ? readAll(store, kind, options)
        .map((object) => project(kind, object))
        .filter((object) => matches(object))
    : [];
  const revision = fromStart ? store.revision : Number(asked);
  return follow({ ...request, matches, initial, revision }, deps);
}

interface Watching extends WatchRequest {
  readonly matches: Matcher;
  readonly initial: readonly ApiObject[];
  readonly revision: number;
}

async function* follow(
  watching: Watching,
  deps: { readonly store: ResourceStore; readonly clock: Clock },
): AsyncGenerator<WatchEvent, void, undefined> {
  const { options, signal, revision, initial } = watching;
  for (const object of initial) {
    if (signal.aborted) return;
    yield { type: "ADDED", object };
  }
  if (options.sendInitialEvents && options.allowBookmarks)
    yield { type: "BOOKMARK", resourceVersion: String(revision), initialEventsEnd: true };
  const place = new Place({ revision, source: sourceOf(watching.kind) }, deps);
  try {
    while (!signal.aborted) {
      const entries = nextLines(watching, place, deps.store);
      if (entries === undefined) {
        yield expiredEvent(place.revision, deps.store);
        return;
      }
      yield* eventsOf(watching, place, entries);
      if (entries.length > 0) continue;
      const woken = await place.wait(signal);
      if (woken === "bookmark" && options.allowBookmarks)
        yield {
          type: "BOOKMARK",
          resourceVersion: String(place.revision),
          initialEventsEnd: false,
        };
    }
  } finally {
    place.leave();
  }
}

/** Undefined when this place is not, or no longer, in the log. */
function nextLines(
  watching: Watching,
  place: Place,
  store: ResourceStore,
): readonly LogEntry[] | undefined {
  const behind = store.revision - place.revision;
  const lagMax = watching.lagLinesMax ?? WATCH_LAG_LINES_MAX;
  return behind < 0 || behind > lagMax ? undefined : store.logAfter(place.revision, BATCH_LINES);
}

function* eventsOf(
  watching: Watching,
  place: Place,
  entries: readonly LogEntry[],
): Generator<WatchEvent, void, undefined> {
  for (const entry of entries) {
    if (watching.signal.aborted) return;
    place.revision = entry.revision;
    const event = eventOf(watching, entry);
    if (event !== undefined) yield event;
  }
}

/** A watcher's place in the log; moves on by itself over lines of other kinds while the watcher has nothing to read. */
class Place {
  revision: number;
  readonly #clock: Clock;
  readonly #unsubscribe: () => void;
  #bookmarkDueMs: number;
  #wake: (() => void) | undefined;

  constructor(
    options: { readonly revision: number; readonly source: string },
    deps: { readonly store: ResourceStore; readonly clock: Clock },
  ) {
    this.revision = options.revision;
    this.#clock = deps.clock;
    this.#bookmarkDueMs = deps.clock.bootMs() + BOOKMARK_INTERVAL_MS;
    this.#unsubscribe = deps.store.subscribe((entries) => {
      if (this.#wake === undefined) return;
      if (entries.some((e) => e.key.kind === options.source)) this.#wake();
      else this.revision = entries.at(-1)?.revision ?? this.revision;
    });
  }

  /** Until there is a line to read, a bookmark is due, or the signal comes. */
  async wait(signal: AbortSignal): Promise<"line" | "bookmark" | "end"> {
    const woken = Promise.withResolvers<"line">();
    const done = new AbortController();
    this.#wake = () => {
      // Later lines wait in the log: the place must not move over them.
      this.#wake = undefined;
      woken.resolve("line");
    };
    const stop = AbortSignal.any([signal, done.signal]);
    const due = this.#clock
      .sleep(Math.max(0, this.#bookmarkDueMs - this.#clock.bootMs()), stop)
      .then(
        () => "bookmark" as const,
        () => "end" as const,
      );
    const what = await Promise.race([woken.promise, due]);
    this.#wake = undefined;
    done.abort();
    if (what === "bookmark") this.#bookmarkDueMs = this.#clock.bootMs() + BOOKMARK_INTERVAL_MS;
    return what;
  }

  leave(): void {
    this.#unsubscribe();
  }
}

/** What a line means to this watcher; undefined when it is about something else. */
function eventOf(watching: Watching, entry: LogEntry): WatchEvent | undefined {
  const { kind, matches } = watching;
  if (entry.key.kind !== sourceOf(kind)) return undefined;
  const now = project(kind, entry.object);
  const before = entry.previous === undefined ? undefined : project(kind, entry.previous);
  const isIn = entry.type !== "DELETED" && matches(now);
  const wasIn = before !== undefined && matches(before);
  if (isIn) return { type: wasIn ? "MODIFIED" : "ADDED", object: now };
  if (!wasIn) return undefined;
  // Whoever selects sees the object go as it last knew it, under the version at which it went.
  return entry.type === "DELETED"
    ? { type: "DELETED", object: now }
    : { type: "DELETED", object: atRevision(kind, entry) };
}

function atRevision(kind: ServedKind, entry: LogEntry): ApiObject {
  const previous = project(kind, entry.previous ?? entry.object);
  return {
    ...previous,
    metadata: { ...previous.metadata, resourceVersion: String(entry.revision) },
  };
}

function expiredEvent(revision: number, store: ResourceStore): WatchEvent {
  return {
    type: "EXPIRED",
    message: `too old resource version: ${revision} (${store.compactedRevision + 1})`,
  };
}
