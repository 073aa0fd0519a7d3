import { parseQuantity } from "@flotilla/shared/kernel/quantity";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { USER_PRIORITY_MAX } from "@flotilla/shared/model/resources/queue";
import type { ResourceList } from "@flotilla/shared/model/workload";
import { AMOUNT_MAX } from "@flotilla/shared/scheduling/engine/shape";
import type { Amounts } from "@flotilla/shared/scheduling/round/amounts";
import {
  QUEUE_RESOURCES,
  queueAmounts,
  ROOT_QUEUE,
} from "@flotilla/shared/scheduling/round/queue/queue-amounts";
import type { Cause } from "../api-error.ts";
import { invalidValue, unsupportedValue } from "../causes.ts";

/** Priority classes of Kubernetes' own components, which may have a value above what users may give. */
const SYSTEM_PREFIX = "system-";

/** What contradicts itself within one queue; what contradicts other queues is told in its status. */
export function queueCauses({ metadata, spec }: ObjectOf<"Queue">): Cause[] {
  const limits: Readonly<Record<string, ResourceList | undefined>> = {
    "spec.guarantee.resource": spec.guarantee?.resource,
    "spec.deserved": spec.deserved,
    "spec.capability": spec.capability,
  };
  return [
    ...nameCauses(metadata.name, spec.parent),
    ...Object.entries(limits).flatMap(([field, list = {}]) => amountCauses(field, list)),
    ...overCauses(limits, "spec.guarantee.resource", "spec.deserved"),
    ...overCauses(limits, "spec.guarantee.resource", "spec.capability"),
    ...overCauses(limits, "spec.deserved", "spec.capability"),
  ];
}

function nameCauses(name: string, parent: string | undefined): Cause[] {
  return [
    ...(name === ROOT_QUEUE
      ? [invalidValue("metadata.name", name, "is the name of the fleet itself: choose another")]
      : []),
    ...(parent === name
      ? [invalidValue("spec.parent", parent, "a queue cannot be above itself: name another")]
      : []),
  ];
}

function amountCauses(field: string, list: ResourceList): Cause[] {
  return Object.entries(list).flatMap(([name, quantity]) => {
    const at = `${field}[${name}]`;
    if (!QUEUE_RESOURCES.includes(name)) return [unsupportedValue(at, name, QUEUE_RESOURCES)];
    return isSoundAmount(queueAmounts({ [name]: quantity }))
      ? []
      : [invalidValue(at, quantity, "must be an amount that a fleet can have, 0 or more")];
  });
}

function isSoundAmount(amounts: Partial<Amounts> | undefined): boolean {
  const [amount] = Object.values(amounts ?? {});
  return amount !== undefined && amount <= AMOUNT_MAX;
}

/** Amounts of one list that are greater than those of another that names them too. */
function overCauses(
  limits: Readonly<Record<string, ResourceList | undefined>>,
  field: string,
  most: string,
): Cause[] {
  return Object.entries(limits[field] ?? {}).flatMap(([name, quantity]) => {
    const limit = limits[most]?.[name];
    if (limit === undefined) return [];
    const isOver = (parseQuantity(quantity) ?? 0) > (parseQuantity(limit) ?? 0);
    return isOver
      ? [
          invalidValue(
            `${field}[${name}]`,
            quantity,
            `must be at most ${most}[${name}] (${limit}): guarantee ≤ deserved ≤ capability`,
          ),
        ]
      : [];
  });
}

export function priorityClassCauses({ metadata, value }: ObjectOf<"PriorityClass">): Cause[] {
  return value > USER_PRIORITY_MAX && !metadata.name.startsWith(SYSTEM_PREFIX)
    ? [
        invalidValue(
          "value",
          value,
          `must be at most ${USER_PRIORITY_MAX}; greater ones are for names that begin with ${SYSTEM_PREFIX}`,
        ),
      ]
    : [];
}
