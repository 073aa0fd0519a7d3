import type { Metrics } from "@flotilla/shared/kernel/service";

/** Metrics that nobody reads. */
export function noMetrics(): Metrics {
  const nothing = (): void => {};
  return { count: nothing, set: nothing, observe: nothing };
}
