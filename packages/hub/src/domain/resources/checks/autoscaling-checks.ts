import { parseQuantity } from "@flotilla/shared/kernel/quantity";
import type { Autoscaling, AutoscalingMetric } from "@flotilla/shared/model/resources/placement";
import type { Cause } from "../api-error.ts";
import { invalidValue, requiredValue, unsupportedValue } from "../causes.ts";

const METRIC_TYPES: readonly string[] = ["CPU", "Resource", "Pods"];

/** The bounds of an autoscaling, and metrics that nobody could measure. */
export function autoscalingCauses(field: string, autoscaling: Autoscaling | undefined): Cause[] {
  if (autoscaling === undefined) return [];
  const { minReplicas, maxReplicas, metrics = [], endpoint } = autoscaling;
  return [
    ...(minReplicas <= maxReplicas
      ? []
      : [
          invalidValue(
            `${field}.minReplicas`,
            minReplicas,
            `must be less than or equal to maxReplicas (${maxReplicas})`,
          ),
        ]),
    ...metrics.flatMap((metric, index) => metricCauses(`${field}.metrics[${index}]`, metric)),
    ...(endpoint === undefined && metrics.some((m) => m.type === "Pods")
      ? [
          requiredValue(
            `${field}.endpoint`,
            "say the port at which each instance tells its metrics",
          ),
        ]
      : []),
  ];
}

function metricCauses(field: string, metric: AutoscalingMetric): Cause[] {
  switch (metric.type.toLowerCase()) {
    case "cpu":
      return utilizationCauses(`${field}.averageUtilization`, metric.averageUtilization);
    case "resource":
      return resourceCauses(`${field}.resource`, metric.resource);
    case "pods":
      return podsCauses(`${field}.pods`, metric.pods);
    default:
      return [unsupportedValue(`${field}.type`, metric.type, METRIC_TYPES)];
  }
}

function resourceCauses(field: string, resource: AutoscalingMetric["resource"]): Cause[] {
  if (resource === undefined) return [requiredValue(field, "name the resource and its target")];
  const { name, target } = resource;
  return [
    ...(name === "cpu" ? [] : [unsupportedValue(`${field}.name`, name, ["cpu"])]),
    ...(target.type === "Utilization"
      ? utilizationCauses(`${field}.target.averageUtilization`, target.averageUtilization)
      : [unsupportedValue(`${field}.target.type`, target.type, ["Utilization"])]),
  ];
}

function podsCauses(field: string, pods: AutoscalingMetric["pods"]): Cause[] {
  if (pods === undefined) return [requiredValue(field, "name the metric and its target")];
  const { type, averageValue } = pods.target;
  const at = `${field}.target`;
  if (type !== "AverageValue") return [unsupportedValue(`${at}.type`, type, ["AverageValue"])];
  if (averageValue === undefined)
    return [requiredValue(`${at}.averageValue`, "say what one instance should have on average")];
  return (parseQuantity(averageValue) ?? 0) > 0
    ? []
    : [invalidValue(`${at}.averageValue`, averageValue, "must be a quantity above 0")];
}

function utilizationCauses(field: string, utilization: number | undefined): Cause[] {
  return utilization === undefined
    ? [requiredValue(field, "say the percentage of the requested CPU, for example 70")]
    : [];
}
