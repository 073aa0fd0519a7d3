import type {
  AffinityTerm,
  Placement,
  ReplicaScheduling,
  SpreadConstraint,
} from "@flotilla/shared/model/resources/placement";
import type { Cause } from "../api-error.ts";
import { duplicates, forbiddenValue, invalidValue, requiredValue } from "../causes.ts";
import { selectorCauses } from "./selector-checks.ts";

/** What contradicts itself in how a placement shares replicas out and in its affinities. */
export function divisionCauses(field: string, placement: Placement | undefined): Cause[] {
  if (placement === undefined) return [];
  const { replicaScheduling, spreadConstraints = [] } = placement;
  return [
    ...replicaSchedulingCauses(`${field}.replicaScheduling`, replicaScheduling),
    ...spreadCauses(`${field}.spreadConstraints`, spreadConstraints),
    ...(["affinity", "antiAffinity"] as const).flatMap((name) => {
      const { required = [], preferred = [] } = placement[name] ?? {};
      return [
        ...required.flatMap((t, i) => termCauses(`${field}.${name}.required[${i}]`, t)),
        ...preferred.flatMap((t, i) => termCauses(`${field}.${name}.preferred[${i}]`, t)),
      ];
    }),
  ];
}

function replicaSchedulingCauses(
  field: string,
  scheduling: ReplicaScheduling | undefined,
): Cause[] {
  if (scheduling === undefined) return [];
  const { replicaSchedulingType: type, replicaDivisionPreference: preference } = scheduling;
  const { weightPreference } = scheduling;
  const weightsMeant = type !== "Duplicated" && (preference ?? "Weighted") === "Weighted";
  return [
    ...(type === "Duplicated" && preference !== undefined
      ? [
          forbiddenValue(
            `${field}.replicaDivisionPreference`,
            "nothing is divided when `replicaSchedulingType` is 'Duplicated'; remove one of them",
          ),
        ]
      : []),
    ...(weightPreference !== undefined && !weightsMeant
      ? [
          forbiddenValue(
            `${field}.weightPreference`,
            "weights count only when `replicaSchedulingType` is 'Divided' and `replicaDivisionPreference` is 'Weighted'",
          ),
        ]
      : []),
    ...weightCauses(`${field}.weightPreference`, weightPreference),
  ];
}

function weightCauses(field: string, weights: ReplicaScheduling["weightPreference"]): Cause[] {
  const list = weights?.staticWeightList;
  if (weights === undefined || list === undefined) return [];
  return [
    ...(weights.dynamicWeight === undefined
      ? []
      : [
          forbiddenValue(
            `${field}.dynamicWeight`,
            "may not be specified together with `staticWeightList`; remove one of them",
          ),
        ]),
    ...(list.some((entry) => entry.weight > 0)
      ? []
      : [
          invalidValue(
            `${field}.staticWeightList`,
            list.map((e) => e.weight),
            "at least one weight must be above 0",
          ),
        ]),
    ...list.flatMap((entry, i) =>
      selectorCauses(
        `${field}.staticWeightList[${i}].targetCluster.labelSelector`,
        entry.targetCluster.labelSelector,
      ),
    ),
  ];
}

function spreadCauses(field: string, constraints: readonly SpreadConstraint[]): Cause[] {
  return [
    ...duplicates(
      constraints,
      (c) => (c.spreadByField === "cluster" ? "site" : c.spreadByField),
      (index) => `${field}[${index}].spreadByField`,
    ),
    ...constraints.flatMap(({ minGroups, maxGroups }, index) =>
      minGroups !== undefined && maxGroups !== undefined && minGroups > maxGroups
        ? [
            invalidValue(
              `${field}[${index}].minGroups`,
              minGroups,
              `must be at most maxGroups (${maxGroups})`,
            ),
          ]
        : [],
    ),
  ];
}

/** A term that names nobody would mean every instance of the namespace, most likely by mistake. */
function termCauses(field: string, term: AffinityTerm): Cause[] {
  const { application, component, labelSelector } = term;
  const empty =
    Object.keys(labelSelector?.matchLabels ?? {}).length === 0 &&
    (labelSelector?.matchExpressions ?? []).length === 0;
  return [
    ...(application === undefined && component === undefined && empty
      ? [
          requiredValue(
            `${field}.application`,
            "name an application, a component, or a labelSelector that is not empty",
          ),
        ]
      : []),
    ...selectorCauses(`${field}.labelSelector`, labelSelector),
  ];
}
