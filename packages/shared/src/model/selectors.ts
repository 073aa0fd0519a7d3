import type { LabelSelector, Taint, Toleration } from "./metadata.ts";

type Labels = Readonly<Record<string, string>>;

/** True when the labels satisfy every part of the selector; an absent selector selects everything. */
export function matchesSelector(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (selector === undefined) return true;
  const equal = Object.entries(selector.matchLabels ?? {}).every(
    ([k, v]) => labelOf(labels, k) === v,
  );
  return equal && (selector.matchExpressions ?? []).every((e) => matchesExpression(e, labels));
}

/** Own labels only: `constructor` and its like are inherited by every object. */
function labelOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function matchesExpression(
  expression: NonNullable<LabelSelector["matchExpressions"]>[number],
  labels: Labels,
): boolean {
  const value = labelOf(labels, expression.key);
  switch (expression.operator) {
    case "In":
      return value !== undefined && (expression.values ?? []).includes(value);
    case "NotIn":
      return value === undefined || !(expression.values ?? []).includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}

/** True when one of the tolerations accepts the taint (core/v1 Toleration.ToleratesTaint). */
export function toleratesTaint(tolerations: readonly Toleration[], taint: Taint): boolean {
  return tolerations.some(
    (t) =>
      (t.effect === undefined || t.effect === taint.effect) &&
      (t.key === undefined ? t.operator === "Exists" : t.key === taint.key) &&
      (t.operator === "Exists" || (t.value ?? "") === (taint.value ?? "")),
  );
}
