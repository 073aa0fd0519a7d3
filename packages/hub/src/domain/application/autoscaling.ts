import { isoTime, parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import { parseMilliCpu, parseQuantity } from "@flotilla/shared/kernel/quantity";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { AutoscalingStatus, Component } from "@flotilla/shared/model/resources/application";
import type { Autoscaling, AutoscalingMetric } from "@flotilla/shared/model/resources/placement";
import type { PropagationPolicySpec } from "@flotilla/shared/model/resources/policy";
import {
  type MeasuredInstance,
  type MetricTarget,
  recommend,
} from "@flotilla/shared/scheduling/autoscale/recommend";
import { effectivePlacement } from "@flotilla/shared/scheduling/division/effective-placement";
import { replicasOf } from "./component.ts";
import { isAvailable } from "./instance-state.ts";

/** Stabilisation of a lower recommendation when nothing is said (Kubernetes' default), seconds. */
export const SCALE_DOWN_WINDOW_SECONDS_DEFAULT = 300;
/** CPU utilisation that is aimed at when no metric is named (Kubernetes' default), percent. */
export const CPU_UTILIZATION_DEFAULT = 80;

/** How the reading of CPU utilisation is named. */
const CPU = "cpu";

type Assignment = ObjectOf<"Assignment">;

export interface AutoscalingInput {
  readonly application: ObjectOf<"Application">;
  readonly policy: PropagationPolicySpec | undefined;
  readonly assignments: readonly Assignment[];
  /** Whether what the node last said still holds. */
  readonly isHeardOf: (node: string) => boolean;
  readonly nowMs: number;
}

/** What the autoscaler finds now of each component that it is asked for, ready to be written into the status. */
export function autoscalingOf(input: AutoscalingInput): readonly AutoscalingStatus[] {
  return input.application.spec.components.flatMap((component) => {
    const effective = effectivePlacement(input.policy, undefined, component);
    const { autoscaling } = effective;
    return autoscaling === undefined ? [] : [ofComponent(component, autoscaling, input)];
  });
}

function ofComponent(
  component: Component,
  autoscaling: Autoscaling,
  { application, assignments, isHeardOf, nowMs }: AutoscalingInput,
): AutoscalingStatus {
  const before = application.status?.autoscaling?.find((a) => a.component === component.name);
  const current = replicasOf(component, autoscaling, application.status);
  const own = assignments.filter((a) => a.spec.component === component.name);
  const { scaleUp, scaleDown } = autoscaling.behavior ?? {};
  const down = scaleDown?.stabilizationWindowSeconds ?? SCALE_DOWN_WINDOW_SECONDS_DEFAULT;
  const { desiredReplicas, recommendations, readings, reason } = recommend({
    minReplicas: autoscaling.minReplicas,
    maxReplicas: autoscaling.maxReplicas,
    targets: targetsOf(autoscaling),
    currentReplicas: current,
    instances: own.map((a) => measured(a, isHeardOf)),
    recommendations: (before?.recommendations ?? []).flatMap(({ at, replicas }) => {
      const atMs = parseIsoTimeMs(at);
      return atMs === undefined ? [] : [{ atMs, replicas }];
    }),
    scaleUpWindowMs: (scaleUp?.stabilizationWindowSeconds ?? 0) * 1_000,
    scaleDownWindowMs: down * 1_000,
    nowMs,
  });
  const lastScaleTime = desiredReplicas === current ? before?.lastScaleTime : isoTime(nowMs);
  return {
    component: component.name,
    desiredReplicas,
    currentReplicas: current,
    ...(lastScaleTime === undefined ? {} : { lastScaleTime }),
    recommendations: recommendations.map((r) => ({ at: isoTime(r.atMs), replicas: r.replicas })),
    metrics: readings.map(({ name, target, current: value, missing }) => ({
      name,
      target,
      missing,
      ...(value === undefined ? {} : { current: Math.round(value * 10) / 10 }),
    })),
    message: asksForCpu(component) || !usesCpu(autoscaling) ? reason : NO_CPU_REQUEST,
  };
}

const NO_CPU_REQUEST =
  "utilisation cannot be told of what asks for no CPU; set resources.requests.cpu of its containers";

function usesCpu(autoscaling: Autoscaling): boolean {
  return targetsOf(autoscaling).some((t) => t.name === CPU);
}

function asksForCpu({ template }: Component): boolean {
  return template.spec.template.spec.containers.some(
    ({ resources }) =>
      (parseMilliCpu(resources?.requests?.["cpu"] ?? resources?.limits?.["cpu"] ?? 0) ?? 0) > 0,
  );
}

/** CPU in percent of the request, other metrics in their own unit. */
function targetsOf({ metrics }: Autoscaling): readonly MetricTarget[] {
  if (metrics === undefined || metrics.length === 0)
    return [{ name: CPU, averageValue: CPU_UTILIZATION_DEFAULT }];
  return metrics.flatMap((m) => targetOf(m) ?? []);
}

function targetOf(metric: AutoscalingMetric): MetricTarget | undefined {
  const { pods, resource } = metric;
  if (pods !== undefined)
    return {
      name: pods.metric.name,
      averageValue: parseQuantity(pods.target.averageValue ?? 0) ?? 0,
    };
  const percent = resource?.target.averageUtilization ?? metric.averageUtilization;
  return percent === undefined ? undefined : { name: CPU, averageValue: percent };
}

function measured(
  assignment: Assignment,
  isHeardOf: AutoscalingInput["isHeardOf"],
): MeasuredInstance {
  const { node, requests } = assignment.spec;
  const { milliCpu, metrics = {} } = assignment.status?.reported ?? {};
  const ready = isAvailable(assignment) && node !== undefined && isHeardOf(node);
  const percent =
    milliCpu === undefined || !(requests.milliCpu > 0)
      ? undefined
      : (milliCpu / requests.milliCpu) * 100;
  return {
    ready,
    values: new Map([
      ...Object.entries(metrics),
      ...(percent === undefined ? [] : [[CPU, percent] as const]),
    ]),
  };
}
