/**
 * A long-running part of a process. `run` resolves when it has stopped in good order and rejects when it failed; the
 * supervisor in `platform/supervisor.ts` starts services in order, restarts what failed with growing delay, stops in reverse.
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

/**
 * Declares one metric; each feature lists its own beside its services and wiring joins the lists. Durations are in
 * seconds (`_seconds`), sizes in bytes (`_bytes`), counters end in `_total`, as Prometheus names them.
 */
export interface MetricDefinition {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels?: readonly string[];
  /** Upper bounds of a histogram, ascending, in the metric's unit. */
  readonly buckets?: readonly number[];
}
