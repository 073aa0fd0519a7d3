import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Component } from "@flotilla/shared/model/resources/application";
import { matchesSelector } from "@flotilla/shared/model/selectors";
import type { Cause } from "../api-error.ts";
import { duplicates, forbiddenValue, invalidValue } from "../causes.ts";
import { dnsLabelCauses } from "../names.ts";
import { pinCauses } from "./artifact-checks.ts";
import { autoscalingCauses } from "./autoscaling-checks.ts";
import { divisionCauses } from "./division-checks.ts";
import { gpuRequestCauses } from "./gpu-checks.ts";
import { podTemplateCauses } from "./pod-checks.ts";
import { placementCauses, selectorCauses } from "./selector-checks.ts";

/** What is wrong with an Application beyond its types. */
export function applicationCauses(application: ObjectOf<"Application">): Cause[] {
  const { components } = application.spec;
  const at = (index: number): string => `spec.components[${index}]`;
  return [
    ...duplicates(
      components,
      (c) => c.name,
      (index) => `${at(index)}.name`,
    ),
    ...components.flatMap((component, index) => componentCauses(at(index), component)),
    ...dependencyCauses(components),
  ];
}

function componentCauses(field: string, component: Component): Cause[] {
  const template = `${field}.template.spec.template`;
  return [
    ...dnsLabelCauses(`${field}.name`, component.name),
    ...placementCauses(`${field}.placement`, component.placement),
    ...divisionCauses(`${field}.placement`, component.placement),
    ...(component.type === "Job" ? jobCauses(field, component) : []),
    ...autoscalingCauses(`${field}.autoscaling`, component.autoscaling),
    ...pinCauses(`${field}.artifacts`, component),
    ...gangCauses(`${field}.volcano.minMember`, component),
    ...podTemplateCauses(template, component.template.spec.template, component.type),
    ...gpuRequestCauses(
      { containers: `${template}.spec.containers`, placement: `${field}.placement` },
      component.template.spec.template.spec.containers,
      component.placement?.gpu,
    ),
    ...(component.type === "Deployment"
      ? deploymentSelectorCauses(`${field}.template.spec.selector`, component.template.spec)
      : []),
  ];
}

/** A gang that can never be whole would wait for ever. */
function gangCauses(field: string, component: Component): Cause[] {
  const minMember = component.volcano?.minMember;
  if (minMember === undefined) return [];
  const [most, of] = membersMax(component);
  return minMember > most
    ? [
        invalidValue(
          field,
          minMember,
          `must be at most ${of} (${most}): so many members never run at once`,
        ),
      ]
    : [];
}

/** Most instances that run at once, and the fields that say so. */
function membersMax(component: Component): readonly [number, string] {
  if (component.type === "Job") {
    const { completions = 1, parallelism = 1 } = component.template.spec;
    return [Math.min(completions, parallelism), "completions and parallelism"];
  }
  const { replicas = 1 } = component.template.spec;
  return [Math.max(replicas, component.autoscaling?.maxReplicas ?? 0), "replicas"];
}

/** What counts for the replicas of a Deployment alone. */
function jobCauses(
  field: string,
  { placement, autoscaling }: Extract<Component, { type: "Job" }>,
): Cause[] {
  const given = {
    "placement.replicaScheduling": placement?.replicaScheduling,
    "placement.spreadConstraints": placement?.spreadConstraints,
    autoscaling,
  };
  return Object.entries(given).flatMap(([name, value]) =>
    value === undefined
      ? []
      : [
          forbiddenValue(
            `${field}.${name}`,
            "only the replicas of a Deployment are shared out and scaled; remove it, or make the component a Deployment",
          ),
        ],
  );
}

function deploymentSelectorCauses(
  field: string,
  spec: Extract<Component, { type: "Deployment" }>["template"]["spec"],
): Cause[] {
  if (spec.selector === undefined) return [];
  const labels = spec.template.metadata?.labels ?? {};
  return [
    ...selectorCauses(field, spec.selector),
    ...(matchesSelector(spec.selector, labels)
      ? []
      : [invalidValue(field, spec.selector, "`selector` does not match template `labels`")]),
  ];
}

/** Names that are nobody's, and circles: a component in one would wait for itself for ever. */
function dependencyCauses(components: readonly Component[]): Cause[] {
  const names = new Set(components.map((c) => c.name));
  const unknown = components.flatMap((component, index) =>
    (component.dependsOn ?? []).flatMap((name, i) =>
      names.has(name)
        ? []
        : [
            invalidValue(
              `spec.components[${index}].dependsOn[${i}]`,
              name,
              `no component has this name; there are ${[...names].map((n) => JSON.stringify(n)).join(", ")}`,
            ),
          ],
    ),
  );
  const circle = circleOf(components);
  if (circle === undefined) return unknown;
  const index = components.findIndex((c) => c.name === circle[0]);
  return [
    ...unknown,
    invalidValue(
      `spec.components[${index}].dependsOn`,
      circle[1],
      `components depend on each other in a circle: ${circle.join(" → ")}`,
    ),
  ];
}

/** Names along a circle, the first one again at the end; undefined when there is none. */
function circleOf(components: readonly Component[]): readonly string[] | undefined {
  const dependsOn = new Map(components.map((c) => [c.name, c.dependsOn ?? []]));
  // Kahn: take away what depends on nothing that is left; what cannot be taken away is in a circle or behind one.
  const left = new Set(dependsOn.keys());
  for (let removed = true; removed; ) {
    removed = false;
    for (const name of left)
      if (!(dependsOn.get(name) ?? []).some((d) => left.has(d))) removed = left.delete(name);
  }
  let name = [...left][0];
  const path: string[] = [];
  while (name !== undefined && !path.includes(name)) {
    path.push(name);
    name = (dependsOn.get(name) ?? []).find((d) => left.has(d));
  }
  return name === undefined ? undefined : [...path.slice(path.indexOf(name)), name];
}
