import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type {
  ApiObject,
  ResourceApi,
  WatchEvent,
  WatchOptions,
} from "../../app/resources/ports.ts";
import type { ServedResource } from "../../domain/openapi/served-resources.ts";
import {
  ApiError,
  expired,
  internalError,
  tooManyRequests,
} from "../../domain/resources/api-error.ts";
import { WATCH_STALL_MS_MAX, WATCHES_MAX } from "./limits.ts";
import type { Presentation, Presenter } from "./presenter.ts";

/** One watch: what to send, in which form, and when it ends. */
export interface WatchRequest {
  readonly resource: ServedResource;
  readonly options: WatchOptions;
  readonly how: Presentation;
  readonly timeoutMs: number;
  /** Headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Streams watch events as `{"type","object"}` lines. A watch ends with its time, its client, the server's drain, or when the
 * client takes nothing for WATCH_STALL_MS_MAX; a client goes on from the last version it saw.
 */
export class WatchStreams {
  readonly #resources: ResourceApi;
  readonly #presenter: Presenter;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #drain = new AbortController();
  #open = 0;

  constructor(
    _options: Readonly<Record<string, never>>,
    deps: {
      readonly resources: ResourceApi;
      readonly presenter: Presenter;
      readonly clock: Clock;
      readonly log: Log;
      readonly metrics: Metrics;
    },
  ) {
    this.#resources = deps.resources;
    this.#presenter = deps.presenter;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#metrics = deps.metrics;
  }

  /** Ends every watch in good order; new ones end at once. */
  drain(): void {
    this.#drain.abort();
  }

  /** Throws TooManyRequests at the limit; the caller answers it, as nothing has been sent yet. */
  admit(): void {
    if (this.#open >= WATCHES_MAX)
      throw tooManyRequests(`more than ${WATCHES_MAX} watches are open; try again later`, 10);
  }

  /** Answers the request; resolves when the watch has ended. Never rejects. */
  async serve(request: WatchRequest, response: ServerResponse): Promise<void> {
    this.#metrics.set("flotilla_hub_http_watches", ++this.#open);
    const ended = new AbortController();
    const end = (): void => ended.abort();
    const signal = AbortSignal.any([ended.signal, this.#drain.signal]);
    response.once("close", end);
    // Only the time-out of this watch; a rejection means that it ended otherwise.
    this.#clock.sleep(request.timeoutMs, signal).then(end, () => undefined);
    try {
      response.writeHead(200, request.headers);
      response.flushHeaders();
      await this.#pump(request, response, signal);
    } catch (error) {
      if (!signal.aborted) this.#fail(error, response);
    } finally {
      end();
      response.end();
      this.#metrics.set("flotilla_hub_http_watches", --this.#open);
    }
  }

  async #pump(request: WatchRequest, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const { resource, options } = request;
    let withColumns = true;
    for await (const event of this.#resources.watch(resource.kind, options, signal)) {
      if (signal.aborted) return;
      const line = this.#line(request, event, withColumns);
      withColumns = false;
      if (!response.write(line) && !(await this.#drained(response, signal))) return;
      if (event.type === "EXPIRED") return;
    }
  }

  #line(request: WatchRequest, event: WatchEvent, withColumns: boolean): string {
    if (event.type === "EXPIRED") return errorLine(expired(event.message));
    const { resource, how } = request;
    const object = event.type === "BOOKMARK" ? bookmarkOf(resource, event) : event.object;
    return lineOf(event.type, this.#presenter.event(resource, object, { how, withColumns }));
  }

  /** Waits until the client has taken what was written; false when it does not, and is dropped. */
  async #drained(response: ServerResponse, signal: AbortSignal): Promise<boolean> {
    const waiting = new AbortController();
    const stop = AbortSignal.any([signal, waiting.signal]);
    const stalled = this.#clock.sleep(WATCH_STALL_MS_MAX, stop).then(
      () => false,
      () => true,
    );
    const drained = once(response, "drain", { signal: stop }).then(
      () => true,
      () => true,
    );
    const inTime = await Promise.race([drained, stalled]);
    waiting.abort();
    if (inTime) return true;
    this.#metrics.count("flotilla_hub_http_watches_dropped_total");
    this.#log.warn({ stallMs: WATCH_STALL_MS_MAX }, "a watcher took nothing and was dropped");
    response.destroy();
    return false;
  }

  #fail(error: unknown, response: ServerResponse): void {
    if (!(error instanceof ApiError)) this.#log.error({ error }, "a watch failed");
    const shown = error instanceof ApiError ? error : internalError("the watch failed");
    response.write(errorLine(shown));
  }
}

function bookmarkOf(
  resource: ServedResource,
  event: Extract<WatchEvent, { type: "BOOKMARK" }>,
): ApiObject {
  const { resourceVersion } = event;
  return {
    apiVersion: resource.groupVersion,
    kind: resource.kind,
    metadata: event.initialEventsEnd
      ? { resourceVersion, annotations: { "k8s.io/initial-events-end": "true" } }
      : { resourceVersion },
  };
}

function errorLine(error: ApiError): string {
  return lineOf("ERROR", error.toStatus());
}

function lineOf(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`;
}
