import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import type { ServedKind } from "../src/app/resources/ports.ts";
import {
  application,
  causesOf,
  deployment,
  refusal,
  STRICT,
  testResources,
} from "./support/resources.ts";

const queue = (spec: object, name = "q"): object => ({
  apiVersion: "scheduling.kurator.dev/v1alpha1",
  kind: "Queue",
  metadata: { name },
  spec,
});
const priorityClass = (name: string, fields: object): object => ({
  apiVersion: "scheduling.k8s.io/v1",
  kind: "PriorityClass",
  metadata: { name },
  ...fields,
});

async function causes(kind: ServedKind, body: object): Promise<readonly string[]> {
  const { service } = testResources();
  return causesOf(await refusal(() => service.create(kind, "", body, STRICT)));
}

test.each<[object, string]>([
  [
    { guarantee: { resource: { cpu: "8" } }, deserved: { cpu: "4" } },
    'spec.guarantee.resource[cpu]: Invalid value: "8": must be at most spec.deserved[cpu] (4): guarantee ≤ deserved ≤ capability',
  ],
  [
    { guarantee: { resource: { memory: "8Gi" } }, capability: { memory: "4Gi" } },
    'spec.guarantee.resource[memory]: Invalid value: "8Gi": must be at most spec.capability[memory] (4Gi)',
  ],
  [
    { deserved: { "nvidia.com/gpu": "8" }, capability: { "nvidia.com/gpu": 4 } },
    'spec.deserved[nvidia.com/gpu]: Invalid value: "8": must be at most spec.capability[nvidia.com/gpu] (4)',
  ],
  [
    { capability: { pods: "8" } },
    'spec.capability[pods]: Unsupported value: "pods": supported values: "cpu", "memory", "ephemeral-storage", "nvidia.com/gpu"',
  ],
  [{ weight: 0 }, "spec.weight: Invalid value: 0"],
  [{ weight: Number.NaN }, "spec.weight: Invalid value"],
  [{ deserved: { cpu: "-1" } }, 'spec.deserved[cpu]: Invalid value: "-1": must be an amount'],
  [{ deserved: { memory: "9e99" } }, 'spec.deserved[memory]: Invalid value: "9e99"'],
  [{ parent: "q" }, 'spec.parent: Invalid value: "q": a queue cannot be above itself'],
  [{ dequeueStrategy: "lifo" }, 'spec.dequeueStrategy: Unsupported value: "lifo"'],
])("a queue with %j is refused, naming field and mend", async (spec, cause) => {
  expect(await causes("Queue", queue(spec))).toEqual([expect.stringContaining(cause)]);
});

test("a queue may not be named like the fleet itself", async () => {
  expect(await causes("Queue", queue({}, "root"))).toEqual([
    'metadata.name: Invalid value: "root": is the name of the fleet itself: choose another',
  ]);
});

describe("a PriorityClass", () => {
  test("is written as Kubernetes writes it", async () => {
    const { service } = testResources();
    const fields = { globalDefault: false, description: "what pays", preemptionPolicy: "Never" };
    for (const [name, value] of [
      ["high-priority", 1_000],
      ["system-node-critical", 2_000_001_000],
    ] as const) {
      const body = priorityClass(name, { ...fields, value });
      const { object } = await service.create("PriorityClass", "", body, STRICT);
      expect(object).toMatchObject({ apiVersion: "scheduling.k8s.io/v1", ...fields, value });
    }
  });

  test("that is no number, or above what users may give, is refused", async () => {
    expect(await causes("PriorityClass", priorityClass("a", { value: 1e9 + 1 }))).toEqual([
      expect.stringContaining("value: Invalid value: 1000000001: must be at most 1000000000"),
    ]);
    expect(await causes("PriorityClass", priorityClass("a", {}))).toEqual([
      expect.stringContaining("value: Required value"),
    ]);
  });
});

test.each<[object, string]>([
  [
    { volcano: { minMember: 2 } },
    "spec.components[0].volcano.minMember: Invalid value: 2: must be at most replicas (1)",
  ],
  [
    { scheduling: { waitMax: "soon" } },
    'spec.components[0].scheduling.waitMax: Invalid value: "soon"',
  ],
  [
    { scheduling: { disruptionBudget: { maxUnavailable: "101%" } } },
    "spec.components[0].scheduling.disruptionBudget.maxUnavailable: Invalid value",
  ],
])("an Application with %j is refused, naming field and mend", async (fields, cause) => {
  const { service } = testResources();
  const body = application("shop", [{ ...deployment("web"), ...fields }]);
  const status = await refusal(() => service.create("Application", "default", body, STRICT));
  expect(causesOf(status)).toEqual([expect.stringContaining(cause)]);
});

test("an Application may say how it waits and what may be done to it", async () => {
  const { service } = testResources();
  const scheduling = {
    waitMax: "10m",
    estimate: "2h",
    preemption: "Never",
    movable: false,
    disruptionBudget: { maxUnavailable: "25%" },
  };
  const body = application("shop", [{ ...deployment("web"), scheduling }]);
  const { object } = await service.create("Application", "default", body, STRICT);
  expect(object).toMatchObject({ spec: { components: [{ scheduling }] } });
});

test("the example's queues and classes are taken as they stand", async () => {
  const { service } = testResources();
  const file = join(import.meta.dirname, "../../../examples/queues.yaml");
  const documents = parseAllDocuments(readFileSync(file, "utf8"));
  const names: string[] = [];
  for (const document of documents) {
    const manifest = document.toJS() as { kind: ServedKind; metadata: { name: string } };
    const { warnings } = await service.create(manifest.kind, "", manifest, STRICT);
    expect(warnings).toEqual([]);
    names.push(`${manifest.kind} ${manifest.metadata.name}`);
  }
  expect(names).toEqual([
    "Queue ai",
    "Queue ai-training",
    "Queue ai-inference",
    "PriorityClass high-priority",
    "PriorityClass patient",
  ]);
});
