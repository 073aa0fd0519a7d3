import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Metrics, Service } from "@flotilla/shared/kernel/service";
import type { LogEntry, ResourceStore } from "../resources/ports.ts";

/** A full pass this often, whatever the log says: a lost wake-up costs no more than this. */
export const RESYNC_INTERVAL_MS = 60_000;
/** Changes within this time share one pass, milliseconds. */
export const COALESCE_MS = 20;
/** After a pass the controller rests for so many times as long as the pass took, so that it takes no more than its share … */
const REST_FACTOR = 2;
/** … but for no longer than this: what was changed meanwhile waits. */
export const REST_MS_MAX = 1_000;

/**
 * The frame of every level-triggered controller: a full pass at the start, one after changes that matter to it, one at
 * each resync. A pass that throws ends the run; the supervisor starts it again after a growing delay.
 */
export class PassLoop implements Service {
  readonly name: string;
  readonly #resyncMs: number;
  readonly #coalesceMs: () => number;
  readonly #deps: PassLoopDeps;
  #isDirty = false;
  #wake: (() => void) | undefined;

  constructor(
    options: {
      readonly name: string;
      readonly resyncMs?: number;
      /** As a function: asked for at each pass. */
      readonly coalesceMs?: number | (() => number);
    },
    deps: PassLoopDeps,
  ) {
    this.name = options.name;
    this.#resyncMs = options.resyncMs ?? RESYNC_INTERVAL_MS;
    const { coalesceMs = COALESCE_MS } = options;
    this.#coalesceMs = typeof coalesceMs === "number" ? () => coalesceMs : coalesceMs;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const unsubscribe = this.#deps.store.subscribe((entries) => {
      if (this.#isDirty || !entries.some((e) => this.#deps.isRelevant(e))) return;
      this.#isDirty = true;
      this.#wake?.();
    });
    try {
      while (!signal.aborted) {
        this.#isDirty = false;
        const restedMs = await this.#pass(signal);
        await this.#untilDirty(signal);
        if (!this.#isDirty) continue;
        const restMs = Math.max(this.#coalesceMs(), restedMs - clock.bootMs());
        await clock.sleep(restMs, signal).catch(() => {});
      }
    } finally {
      unsubscribe();
    }
  }

  /** Something that is not in the log has changed: another pass. */
  wake(): void {
    this.#isDirty = true;
    this.#wake?.();
  }

  /** Boot clock at which the next one may begin. */
  async #pass(signal: AbortSignal): Promise<number> {
    const { clock, metrics } = this.#deps;
    const startMs = clock.bootMs();
    await this.#deps.pass(signal);
    const endMs = clock.bootMs();
    const tookMs = endMs - startMs;
    metrics.observe("flotilla_hub_pass_duration_seconds", tookMs / 1000, {
      controller: this.name,
    });
    return endMs + Math.min(REST_FACTOR * tookMs, REST_MS_MAX);
  }

  /** Sleeps until something relevant was written or the resync is due. */
  async #untilDirty(signal: AbortSignal): Promise<void> {
    if (this.#isDirty) return;
    const stop = new AbortController();
    const abort = (): void => stop.abort();
    this.#wake = abort;
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    await this.#deps.clock.sleep(this.#resyncMs, stop.signal).catch(() => {});
    signal.removeEventListener("abort", abort);
    this.#wake = undefined;
  }
}

interface PassLoopDeps {
  readonly store: Pick<ResourceStore, "subscribe">;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Must be cheap: it is asked about every line of the log until one is relevant. */
  readonly isRelevant: (entry: LogEntry) => boolean;
  readonly pass: (signal: AbortSignal) => Promise<void>;
}
