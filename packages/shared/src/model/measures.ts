import { type Static, Type } from "typebox";

/** What an agent measures of its machine and of the way to other places. What is not known is absent, never zero. */

/** Longest round trip that is told, milliseconds. */
export const LATENCY_MS_MAX = 60_000;
/** Most places that one agent probes. */
export const PROBE_TARGETS_MAX = 32;

const Latency = Type.Number({ exclusiveMinimum: 0, maximum: LATENCY_MS_MAX });

/** Round trips of one window. A probe that was lost counts as long as its timeout; no percentiles when all were. */
const latencyFields = {
  p50Ms: Type.Optional(Latency),
  p95Ms: Type.Optional(Latency),
  lossRatio: Type.Number({ minimum: 0, maximum: 1 }),
  sampleCount: Type.Integer({ minimum: 1, maximum: 10_000 }),
};
export const LatencyStats = Type.Object(latencyFields);
export type LatencyStats = Static<typeof LatencyStats>;

export const SiteLatencyStats = Type.Object({
  site: Type.String({ minLength: 1, maxLength: 63 }),
  ...latencyFields,
});
export type SiteLatencyStats = Static<typeof SiteLatencyStats>;

/** All that one agent has measured. A later one takes the place of the whole. */
export const Measures = Type.Object({
  /** Fastest link that is up. */
  networkBitsPerSecond: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1e14 })),
  /** Durable writes of 4 KiB in the state directory, one after the other. */
  diskWritesPerSecond: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1e9 })),
  hubLatency: Type.Optional(LatencyStats),
  latencies: Type.Optional(Type.Array(SiteLatencyStats, { maxItems: PROBE_TARGETS_MAX })),
});
export type Measures = Static<typeof Measures>;

/** What the prober of a site is told to measure. Signed with the desired state: nobody on the way sends agents after addresses. */
export const ProbePlan = Type.Object({
  intervalMs: Type.Integer({ minimum: 1_000, maximum: 86_400_000 }),
  timeoutMs: Type.Integer({ minimum: 1, maximum: LATENCY_MS_MAX }),
  targets: Type.Array(
    Type.Object({
      site: Type.String({ minLength: 1, maxLength: 63 }),
      host: Type.String({ minLength: 1, maxLength: 253 }),
      port: Type.Integer({ minimum: 1, maximum: 65_535 }),
    }),
    { maxItems: PROBE_TARGETS_MAX },
  ),
});
export type ProbePlan = Static<typeof ProbePlan>;
