import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { LATENCY_MS_MAX, PROBE_TARGETS_MAX, type ProbePlan } from "@flotilla/shared/model/measures";

/** How often other sites are probed when no policy says. */
export const PROBE_INTERVAL_MS_DEFAULT = 30_000;
/** They are not probed more often than this, whatever a policy says. */
export const PROBE_INTERVAL_MS_MIN = 5_000;
/** How long a probe waits for a connection when no policy says. */
export const PROBE_TIMEOUT_MS_DEFAULT = 2_000;
const PROBE_INTERVAL_MS_MAX = 86_400_000;

type Site = ObjectOf<"Site">;
type Policy = ObjectOf<"NetworkOptimizationPolicy">;

/** How sites are probed; undefined when a policy has switched it off. */
export interface ProbeTimes {
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** From the first policy by name that speaks of probing; without one, the defaults. */
export function probeTimes(policies: readonly Policy[]): ProbeTimes | undefined {
  const said = policies.find(({ spec }) => spec.routing?.probe !== undefined)?.spec.routing?.probe;
  if (said?.enabled === false) return undefined;
  const intervalMs = durationOf(said?.interval) ?? PROBE_INTERVAL_MS_DEFAULT;
  const timeoutMs = durationOf(said?.timeout) ?? PROBE_TIMEOUT_MS_DEFAULT;
  return {
    intervalMs: Math.min(PROBE_INTERVAL_MS_MAX, Math.max(PROBE_INTERVAL_MS_MIN, intervalMs)),
    timeoutMs: Math.min(LATENCY_MS_MAX, Math.max(1, timeoutMs)),
  };
}

/**
 * What the prober of a site probes: the sites that name a target, its own aside; of more than PROBE_TARGETS_MAX those that
 * follow it by name, and on from the first, so that together they cover the matrix evenly. `targets` sorted by name.
 */
export function probePlanOf(
  site: string,
  targets: readonly Site[],
  times: ProbeTimes | undefined,
): ProbePlan | undefined {
  if (times === undefined) return undefined;
  const others = targets.filter(({ metadata }) => metadata.name !== site);
  const first = others.findIndex(({ metadata }) => metadata.name > site);
  const turned = first < 0 ? others : [...others.slice(first), ...others.slice(0, first)];
  const chosen = turned
    .slice(0, PROBE_TARGETS_MAX)
    .flatMap(({ metadata, spec }) =>
      spec.probe === undefined ? [] : [{ site: metadata.name, ...spec.probe }],
    );
  return chosen.length === 0 ? undefined : { ...times, targets: chosen };
}

function durationOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseDurationMs(text);
}
