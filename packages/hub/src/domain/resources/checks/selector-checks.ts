import type { LabelSelector, Taint, Toleration } from "@flotilla/shared/model/metadata";
import type { Placement } from "@flotilla/shared/model/resources/placement";
import type { Cause } from "../api-error.ts";
import { duplicates, forbiddenValue, invalidValue, requiredValue } from "../causes.ts";
import { labelsCauses, labelValueCauses, qualifiedNameCauses } from "../names.ts";
import { gpuPlacementCauses } from "./gpu-checks.ts";

/** A label selector that could match nothing by mistake. */
export function selectorCauses(field: string, selector: LabelSelector | undefined): Cause[] {
  if (selector === undefined) return [];
  return [
    ...labelsCauses(`${field}.matchLabels`, selector.matchLabels ?? {}),
    ...(selector.matchExpressions ?? []).flatMap((expression, index) => {
      const at = `${field}.matchExpressions[${index}]`;
      const values = expression.values ?? [];
      const wantsValues = expression.operator === "In" || expression.operator === "NotIn";
      return [
        ...qualifiedNameCauses(`${at}.key`, expression.key),
        ...values.flatMap((value, i) => labelValueCauses(`${at}.values[${i}]`, value)),
        ...(wantsValues && values.length === 0
          ? [requiredValue(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'")]
          : []),
        ...(!wantsValues && values.length > 0
          ? [
              forbiddenValue(
                `${at}.values`,
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
              ),
            ]
          : []),
      ];
    }),
  ];
}

/** Tolerations as core/v1 validates them. */
export function tolerationCauses(
  field: string,
  tolerations: readonly Toleration[] | undefined,
): Cause[] {
  return (tolerations ?? []).flatMap((toleration, index) => {
    const at = `${field}[${index}]`;
    const { key, operator, value, effect, tolerationSeconds } = toleration;
    return [
      ...(key === undefined || key === "" ? [] : qualifiedNameCauses(`${at}.key`, key)),
      ...((key === undefined || key === "") && operator !== "Exists"
        ? [
            invalidValue(
              `${at}.operator`,
              operator ?? "Equal",
              'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            ),
          ]
        : []),
      ...(operator === "Exists" && value !== undefined && value !== ""
        ? [invalidValue(`${at}.value`, value, "value must be empty when `operator` is 'Exists'")]
        : []),
      ...(tolerationSeconds !== undefined && effect !== "NoExecute"
        ? [
            invalidValue(
              `${at}.effect`,
              effect ?? "",
              "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ),
          ]
        : []),
    ];
  });
}

/** Taints: a grammar, and one per key and effect. */
export function taintCauses(field: string, taints: readonly Taint[] | undefined): Cause[] {
  return [
    ...(taints ?? []).flatMap((taint, index) => [
      ...qualifiedNameCauses(`${field}[${index}].key`, taint.key),
      ...labelValueCauses(`${field}[${index}].value`, taint.value ?? ""),
    ]),
    ...duplicates(
      taints ?? [],
      (t) => `${t.key}:${t.effect}`,
      (index) => `${field}[${index}]`,
    ),
  ];
}

/** Every selector and toleration of a placement, and what it says of accelerators. */
export function placementCauses(field: string, placement: Placement | undefined): Cause[] {
  if (placement === undefined) return [];
  return [
    ...selectorCauses(
      `${field}.clusterAffinity.labelSelector`,
      placement.clusterAffinity?.labelSelector,
    ),
    ...selectorCauses(`${field}.clusterSelector`, placement.clusterSelector),
    ...selectorCauses(`${field}.siteSelector`, placement.siteSelector),
    ...selectorCauses(`${field}.nodeSelector`, placement.nodeSelector),
    ...tolerationCauses(`${field}.clusterTolerations`, placement.clusterTolerations),
    ...tolerationCauses(`${field}.tolerations`, placement.tolerations),
    ...gpuPlacementCauses(`${field}.gpu`, placement.gpu),
  ];
}
