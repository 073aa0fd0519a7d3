import { amount } from "../facts.ts";
import { type Recommendation, scalingOf, stabilized } from "./stabilize.ts";

/** How many replicas a component should have: the algorithm of Kubernetes' HorizontalPodAutoscaler over the whole fleet as one pool. */

/** A ratio of current to target within this of 1 changes nothing (HPA's default). */
export const TOLERANCE = 0.1;
/** One step up goes at most to so many times what there is … (HPA's default) */
export const SCALE_UP_FACTOR_MAX = 2;
/** … or to so many replicas, whichever is more. */
export const SCALE_UP_REPLICAS = 4;

/** One instance that exists and is not going away. */
export interface MeasuredInstance {
  /** Not ready: started, or cut off. Its value tells nothing of the load; it counts as missing. */
  readonly ready: boolean;
  /** By the metric's name. Absent, or no number: not known. */
  readonly values: ReadonlyMap<string, number>;
}

/** What the average over the instances should be. */
export interface MetricTarget {
  readonly name: string;
  readonly averageValue: number;
}

export interface AutoscaleInput {
  readonly minReplicas: number;
  readonly maxReplicas: number;
  readonly targets: readonly MetricTarget[];
  /** Replicas asked for now. */
  readonly currentReplicas: number;
  readonly instances: readonly MeasuredInstance[];
  /** From the last call, oldest first. */
  readonly recommendations: readonly Recommendation[];
  readonly scaleUpWindowMs: number;
  readonly scaleDownWindowMs: number;
  readonly nowMs: number;
}

/** What one metric says. */
export interface MetricReading {
  readonly name: string;
  readonly target: number;
  /** Average over the instances whose value is known; absent: over none. */
  readonly current?: number;
  readonly missing: number;
  /** Replicas by this metric alone; absent: it says nothing. */
  readonly replicas?: number;
}

export interface Autoscale {
  readonly desiredReplicas: number;
  /** To be given to the next call. */
  readonly recommendations: readonly Recommendation[];
  readonly readings: readonly MetricReading[];
  readonly reason: string;
}

/**
 * The greatest of what the metrics ask for, stabilised, within the bounds. While a metric is not known nothing is scaled
 * down; while none is, nothing is scaled. No replicas asked for (0) turns the autoscaling off, as in Kubernetes.
 */
export function recommend(input: AutoscaleInput): Autoscale {
  const current = Math.floor(amount(input.currentReplicas));
  const readings = input.targets.map((target) => readingOf(target, input.instances, current));
  const clamp = (replicas: number): number =>
    Math.min(input.maxReplicas, Math.max(input.minReplicas, replicas));
  if (current === 0)
    return result(input, {
      desiredReplicas: 0,
      readings,
      reason: "off: no replicas are asked for",
    });
  const known = readings.flatMap((r) => (r.replicas === undefined ? [] : [r.replicas]));
  const most = Math.max(...known);
  if (known.length === 0 || (known.length < readings.length && most < current))
    return result(input, {
      desiredReplicas: clamp(current),
      readings,
      reason: "a metric is not known: nothing is scaled down",
    });
  const recommendations = scalingOf(input, clamp(most));
  const stable = stabilized(input, recommendations, current);
  const highest = Math.max(SCALE_UP_FACTOR_MAX * current, SCALE_UP_REPLICAS);
  const desiredReplicas = clamp(Math.min(stable, highest));
  return {
    desiredReplicas,
    recommendations,
    readings,
    reason: reasonOf(desiredReplicas, most, current),
  };
}

function result(
  { recommendations }: AutoscaleInput,
  rest: Omit<Autoscale, "recommendations">,
): Autoscale {
  return { ...rest, recommendations };
}

function reasonOf(desired: number, asked: number, current: number): string {
  if (desired === asked) return desired === current ? "as it should be" : "by the metrics";
  return `the metrics ask for ${asked}; bounds, step and stabilisation make it ${desired}`;
}

/**
 * The average against the target. Missing instances count as if they were just right when it would go down, as idle when it
 * would go up; should that turn the direction, or bring it within the tolerance, nothing is changed.
 */
function readingOf(
  { name, averageValue: target }: MetricTarget,
  instances: readonly MeasuredInstance[],
  current: number,
): MetricReading {
  const values = instances.flatMap(({ ready, values: of }) => {
    const value = of.get(name);
    return ready && value !== undefined && Number.isFinite(value) && value >= 0 ? [value] : [];
  });
  const missing = Math.max(current, instances.length) - values.length;
  const sum = values.reduce((a, b) => a + b, 0);
  const isSound = Number.isFinite(target) && target > 0 && Number.isFinite(sum);
  if (values.length === 0 || !isSound) return { name, target, missing };
  const average = sum / values.length;
  const reading = { name, target, missing, current: average };
  const ratio = average / target;
  if (isWithinTolerance(ratio)) return { ...reading, replicas: current };
  if (missing === 0) return { ...reading, replicas: Math.ceil(rounded(ratio * values.length)) };
  const filled = sum + (ratio < 1 ? missing * target : 0);
  const all = values.length + missing;
  const cautious = filled / all / target;
  const turns = ratio > 1 !== cautious > 1;
  const replicas =
    isWithinTolerance(cautious) || turns ? current : Math.ceil(rounded(cautious * all));
  // Never against the direction that made it look: more known instances than asked for would otherwise shrink a rise.
  const kept = ratio > 1 ? Math.max(replicas, current) : Math.min(replicas, current);
  return { ...reading, replicas: kept };
}

function isWithinTolerance(ratio: number): boolean {
  return Math.abs(ratio - 1) <= TOLERANCE + 1e-9;
}

/** 3.0000000001 replicas are 3. */
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
