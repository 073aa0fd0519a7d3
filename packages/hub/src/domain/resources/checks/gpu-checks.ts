import { parseBytes, parseQuantity } from "@flotilla/shared/kernel/quantity";
import { GPUS_MAX } from "@flotilla/shared/model/capacity";
import {
  GPU_MILLI_RESOURCE,
  GPU_RESOURCE,
  migProfileOf,
} from "@flotilla/shared/model/gpu-resources";
import type { Placement } from "@flotilla/shared/model/resources/placement";
import type { Container } from "@flotilla/shared/model/workload";
import { MILLI_PER_GPU } from "@flotilla/shared/scheduling/gpu/request-mix";
import type { Cause } from "../api-error.ts";
import { forbiddenValue, invalidValue, requiredValue } from "../causes.ts";

type GpuPlacement = NonNullable<Placement["gpu"]>;

/** What is wrong with `placement.gpu` by itself. */
export function gpuPlacementCauses(field: string, gpu: GpuPlacement | undefined): Cause[] {
  if (gpu === undefined) return [];
  const { models, memory, topology, topologyRequired } = gpu;
  return [
    ...(models?.length === 0
      ? [invalidValue(`${field}.models`, [], "must name a model; leave it out for any")]
      : []),
    ...(models ?? []).flatMap((model, index) =>
      /[^\s_-]/.test(model)
        ? []
        : [invalidValue(`${field}.models[${index}]`, model, "must be words of a model's name")],
    ),
    ...(memory === undefined || (parseBytes(memory) ?? 0) > 0
      ? []
      : [invalidValue(`${field}.memory`, memory, "must be an amount of bytes such as 24Gi")]),
    ...(topologyRequired === true && topology === undefined
      ? [requiredValue(`${field}.topology`, "topologyRequired needs one of nvlink, pcie, numa")]
      : []),
  ];
}

/** One accelerator resource of one container, with where it stands. */
interface Asked {
  readonly container: number;
  readonly name: string;
  readonly value: string | number;
  readonly field: string;
}

/** What is wrong with what the containers of an instance ask of accelerators together, and with the placement beside it. */
export function gpuRequestCauses(
  fields: { readonly containers: string; readonly placement: string },
  containers: readonly Container[],
  gpu: GpuPlacement | undefined,
): Cause[] {
  const asked = containers.flatMap((c, index) => askedOf(fields.containers, c, index));
  const amounts = asked.flatMap((a) => amountCauses(a));
  if (amounts.length > 0) return amounts;
  const counted = asked.filter((a) => parseQuantity(a.value) !== 0);
  return [
    ...sliceCauses(asked),
    ...migCauses(counted),
    ...placementCauses(`${fields.placement}.gpu`, counted, gpu),
  ];
}

/** A limit counts where there is no request. */
function askedOf(field: string, { resources }: Container, container: number): readonly Asked[] {
  const { requests = {}, limits = {} } = resources ?? {};
  return Object.entries({ ...limits, ...requests }).flatMap(([name, value]) => {
    if (!isGpuResource(name)) return [];
    const part = Object.hasOwn(requests, name) ? "requests" : "limits";
    const at = `${field}[${container}].resources.${part}[${name}]`;
    return [{ container, name, value, field: at }];
  });
}

function isGpuResource(name: string): boolean {
  return name === GPU_RESOURCE || name === GPU_MILLI_RESOURCE || migProfileOf(name) !== undefined;
}

function amountCauses({ name, value, field }: Asked): Cause[] {
  const amount = parseQuantity(value) ?? Number.NaN;
  if (name === GPU_MILLI_RESOURCE)
    return amount >= 1 && amount <= MILLI_PER_GPU
      ? []
      : [
          invalidValue(
            field,
            value,
            `must be 1 to ${MILLI_PER_GPU} thousandths of a device; ${GPU_RESOURCE} says of how many`,
          ),
        ];
  if (migProfileOf(name) === "")
    return [invalidValue(field, name, "must name a MIG profile, as nvidia.com/mig-1g.10gb does")];
  return amount <= GPUS_MAX
    ? []
    : [invalidValue(field, value, `must be at most ${GPUS_MAX}, the most devices of one node`)];
}

/** Devices belong to the instance: a slice is asked for in one place, of a count that stands beside it. */
function sliceCauses(asked: readonly Asked[]): Cause[] {
  const slices = asked.filter((a) => a.name === GPU_MILLI_RESOURCE);
  const [first, ...more] = slices;
  if (first === undefined) return [];
  const apart = asked.filter(
    (a) =>
      a.name === GPU_RESOURCE && a.container !== first.container && parseQuantity(a.value) !== 0,
  );
  const none = asked.filter((a) => a.name === GPU_RESOURCE && parseQuantity(a.value) === 0);
  return [
    ...more.map((a) =>
      forbiddenValue(
        a.field,
        "containers of an instance share its devices: ask for the slice in one container",
      ),
    ),
    ...apart.map((a) =>
      forbiddenValue(
        a.field,
        `another container asks for ${GPU_MILLI_RESOURCE}: ask for both in the same container`,
      ),
    ),
    ...none
      .filter((a) => a.container === first.container)
      .map((a) =>
        invalidValue(
          a.field,
          a.value,
          `must be at least 1 beside ${GPU_MILLI_RESOURCE}; leave it out for a slice of one device`,
        ),
      ),
  ];
}

function migCauses(asked: readonly Asked[]): Cause[] {
  const mig = asked.filter((a) => migProfileOf(a.name) !== undefined);
  const [first] = mig;
  if (first === undefined) return [];
  const profiles = mig
    .filter((a) => a.name !== first.name)
    .map((a) =>
      forbiddenValue(
        a.field,
        `an instance gets MIG devices of one profile; it asks for ${first.name}`,
      ),
    );
  const cards = asked
    .filter((a) => migProfileOf(a.name) === undefined)
    .map((a) =>
      forbiddenValue(
        a.field,
        `a MIG device is given away whole and not beside cards: leave out this or ${first.name}`,
      ),
    );
  return [...profiles, ...cards];
}

function placementCauses(
  field: string,
  asked: readonly Asked[],
  gpu: GpuPlacement | undefined,
): Cause[] {
  if (gpu === undefined) return [];
  if (asked.length === 0)
    return [
      forbiddenValue(
        field,
        `no container asks for a GPU: add ${GPU_RESOURCE}, ${GPU_MILLI_RESOURCE} or nvidia.com/mig-… to its resources`,
      ),
    ];
  if (gpu.topology === undefined) return [];
  const at = `${field}.topology`;
  if (asked.some((a) => migProfileOf(a.name) !== undefined))
    return [forbiddenValue(at, "MIG devices have no links to each other; leave it out")];
  const count = asked
    .filter((a) => a.name === GPU_RESOURCE)
    .reduce((sum, a) => sum + (parseQuantity(a.value) ?? 0), 0);
  return count >= 2
    ? []
    : [
        forbiddenValue(
          at,
          `is between devices and the instance asks for one: leave it out, or ask for ${GPU_RESOURCE} of 2 or more`,
        ),
      ];
}
