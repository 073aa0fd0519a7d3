/**
 * A long-running part of a process. `run` resolves when it has stopped in good order and rejects when it failed; the
 * supervisor in `platform/service.ts` starts services in order, restarts what failed with growing delay, stops in reverse.
 */
export interface Service {
  readonly name: string;
  /** Works until `signal` is aborted, then drains and resolves. */
  run(signal: AbortSignal): Promise<void>;
}

/** Fixed text plus fields, JSON lines. Levels by what the operator must do: error = act, warn = look, info = story, debug = detail. */
export interface Log {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
  child(fields: Readonly<Record<string, unknown>>): Log;
}

/** Counters and gauges by name; docs/metrics.md lists each. Labels come from closed sets only. */
export interface Metrics {
  count(name: string, labels?: Readonly<Record<string, string>>, by?: number): void;
  set(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
  observe(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
}
