import { expect, test } from "vitest";
import {
  application,
  causesOf,
  deployment,
  refusal,
  STRICT,
  testResources,
} from "./support/resources.ts";

const GPU = "nvidia.com/gpu";
const MILLI = "edge.kurator.dev/gpu-milli";
const CONTAINERS = "spec.components[0].template.spec.template.spec.containers";
const PLACEMENT = "spec.components[0].placement.gpu";
const at = (name: string, index = 0): string =>
  `${CONTAINERS}[${index}].resources.requests[${name}]`;

type Quantities = Readonly<Record<string, string | number>>;

/** A component of one container per set of requests. */
function component(
  requests: readonly Quantities[],
  gpu?: object,
): Readonly<Record<string, unknown>> {
  const base = deployment("a");
  const pod = base.template.spec.template.spec;
  const containers = requests.map((r, index) => ({
    ...pod.containers[0],
    name: `c${index}`,
    resources: { requests: r },
  }));
  const template = { spec: { template: { spec: { ...pod, containers } } } };
  return { ...base, template, ...(gpu === undefined ? {} : { placement: { gpu } }) };
}

test.each<[string, Readonly<Record<string, unknown>>]>([
  ["whole cards of a model", component([{ [GPU]: 2 }], { models: ["A100"], topology: "nvlink" })],
  ["a slice", component([{ [MILLI]: 250 }], { memory: "16Gi" })],
  ["slices of several devices", component([{ [MILLI]: "1000", [GPU]: 8 }])],
  ["cards of two containers", component([{ [GPU]: 1 }, { [GPU]: 1 }])],
  ["a MIG device", component([{ "nvidia.com/mig-1g.5gb": 1 }], { models: ["A100"] })],
])("%s can be asked for", async (_, asked) => {
  const { service } = testResources();
  const body = application("app", [asked]);
  expect(await service.create("Application", "default", body, STRICT)).toMatchObject({
    warnings: [],
  });
});

test.each<[string, Readonly<Record<string, unknown>>, string]>([
  [
    "no slice",
    component([{ [MILLI]: 0 }]),
    `${at(MILLI)}: Invalid value: 0: must be 1 to 1000 thousandths of a device; ${GPU} says of how many`,
  ],
  [
    "a slice of more than a device",
    component([{ [MILLI]: 2500 }]),
    `${at(MILLI)}: Invalid value: 2500: must be 1 to 1000 thousandths`,
  ],
  [
    "more cards than a node has",
    component([{ [GPU]: 65 }]),
    `${at(GPU)}: Invalid value: 65: must be at most 64, the most devices of one node`,
  ],
  [
    "slices in two containers",
    component([{ [MILLI]: 250 }, { [MILLI]: 250 }]),
    `${at(MILLI, 1)}: Forbidden: containers of an instance share its devices: ask for the slice in one container`,
  ],
  [
    "a slice here, a card there",
    component([{ [MILLI]: 250 }, { [GPU]: 1 }]),
    `${at(GPU, 1)}: Forbidden: another container asks for ${MILLI}: ask for both in the same container`,
  ],
  [
    "a slice of no card",
    component([{ [MILLI]: 250, [GPU]: 0 }]),
    `${at(GPU)}: Invalid value: 0: must be at least 1 beside ${MILLI}; leave it out for a slice of one device`,
  ],
  [
    "a MIG profile that is none",
    component([{ "nvidia.com/mig-big": 1 }]),
    `${at("nvidia.com/mig-big")}: Invalid value: "nvidia.com/mig-big": must name a MIG profile, as nvidia.com/mig-1g.10gb does`,
  ],
  [
    "two MIG profiles",
    component([{ "nvidia.com/mig-1g.5gb": 1 }, { "nvidia.com/mig-2g.10gb": 1 }]),
    `${at("nvidia.com/mig-2g.10gb", 1)}: Forbidden: an instance gets MIG devices of one profile; it asks for nvidia.com/mig-1g.5gb`,
  ],
  [
    "MIG with a slice",
    component([{ "nvidia.com/mig-1g.5gb": 1, [MILLI]: 500 }]),
    `${at(MILLI)}: Forbidden: a MIG device is given away whole and not beside cards: leave out this or nvidia.com/mig-1g.5gb`,
  ],
  [
    "models of no card",
    component([{ cpu: 1 }], { models: ["A100"] }),
    `${PLACEMENT}: Forbidden: no container asks for a GPU: add ${GPU}, ${MILLI} or nvidia.com/mig-… to its resources`,
  ],
  [
    "no model",
    component([{ [GPU]: 1 }], { models: [] }),
    `${PLACEMENT}.models: Invalid value: []: must name a model; leave it out for any`,
  ],
  [
    "a model without a word",
    component([{ [GPU]: 1 }], { models: ["A100", " - "] }),
    `${PLACEMENT}.models[1]: Invalid value: " - ": must be words of a model's name`,
  ],
  [
    "no memory",
    component([{ [GPU]: 1 }], { memory: 0 }),
    `${PLACEMENT}.memory: Invalid value: 0: must be an amount of bytes such as 24Gi`,
  ],
  [
    "a required topology of no name",
    component([{ [GPU]: 2 }], { topologyRequired: true }),
    `${PLACEMENT}.topology: Required value: topologyRequired needs one of nvlink, pcie, numa`,
  ],
  [
    "a topology of one card",
    component([{ [GPU]: 1 }], { topology: "nvlink" }),
    `${PLACEMENT}.topology: Forbidden: is between devices and the instance asks for one: leave it out, or ask for ${GPU} of 2 or more`,
  ],
  [
    "a topology of MIG devices",
    component([{ "nvidia.com/mig-1g.5gb": 2 }], { topology: "pcie" }),
    `${PLACEMENT}.topology: Forbidden: MIG devices have no links to each other; leave it out`,
  ],
])("%s is refused, with the field and the mend", async (_, asked, cause) => {
  const { service } = testResources();
  const status = await refusal(() =>
    service.create("Application", "default", application("app", [asked]), STRICT),
  );
  expect(causesOf(status)).toEqual([expect.stringContaining(cause)]);
});
