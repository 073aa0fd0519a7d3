import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Log } from "@flotilla/shared/kernel/service";
import type { DeliveryWindow } from "@flotilla/shared/model/artifact";
import { type CalendarRule, lastStart } from "../../domain/delivery/window.ts";
import type { Calendar } from "./ports.ts";

/** A closed window is looked at this often. */
export const WINDOW_CHECK_MS = 15_000;

interface Watched {
  readonly rule: CalendarRule;
  readonly durationMs: number;
  /** Up to here the calendar was searched, and the last start that was found. */
  searchedToMs: number;
  startMs: number | undefined;
}

/** Whether updates may be downloaded now, by the device's wall clock. */
export class Windows {
  readonly #deps: {
    readonly calendar: Calendar;
    readonly clock: Pick<Clock, "wallMs" | "sleep">;
    readonly log: Log;
  };
  #key = "";
  /** Undefined: no windows, always open. */
  #watched: readonly Watched[] | undefined;

  constructor(deps: {
    readonly calendar: Calendar;
    readonly clock: Pick<Clock, "wallMs" | "sleep">;
    readonly log: Log;
  }) {
    this.#deps = deps;
  }

  /**
   * Takes the windows of a desired state. One that cannot be read never opens, which is said: who names windows has a network that
   * is not to be disturbed at other times.
   */
  use(windows: readonly DeliveryWindow[] | undefined): void {
    const key = JSON.stringify(windows ?? []);
    if (key === this.#key) return;
    this.#key = key;
    this.#watched = windows?.flatMap((window) => this.#watch(window));
  }

  isOpen(): boolean {
    if (this.#watched === undefined) return true;
    const nowMs = this.#deps.clock.wallMs();
    return this.#watched.some((watched) => isOpenAt(watched, nowMs));
  }

  /** Resolves when one is open. Rejects with the signal's reason. */
  async opened(signal: AbortSignal): Promise<void> {
    while (!this.isOpen()) await this.#deps.clock.sleep(WINDOW_CHECK_MS, signal);
  }

  #watch(window: DeliveryWindow): readonly Watched[] {
    const rule = this.#deps.calendar.rule(window);
    if (rule !== undefined)
      return [{ rule, durationMs: window.durationMs, searchedToMs: -Infinity, startMs: undefined }];
    const { start, timeZone } = window;
    this.#deps.log.warn({ start, timeZone }, "a delivery window cannot be read and never opens");
    return [];
  }
}

function isOpenAt(watched: Watched, nowMs: number): boolean {
  // A clock that was put back has all of it searched again.
  if (nowMs < watched.searchedToMs) {
    watched.searchedToMs = -Infinity;
    watched.startMs = undefined;
  }
  const fromMs = Math.max(watched.searchedToMs, nowMs - watched.durationMs);
  watched.startMs = lastStart(watched.rule, { fromMs, toMs: nowMs }) ?? watched.startMs;
  watched.searchedToMs = nowMs;
  return watched.startMs !== undefined && nowMs < watched.startMs + watched.durationMs;
}
