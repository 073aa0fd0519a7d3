import { expect, test } from "vitest";
import type { ObjectOf } from "../../../model/kinds.ts";
import { quantitiesOf, queueAmounts } from "./queue-amounts.ts";
import { QUEUES_MAX, resolveQueues } from "./resolve.ts";

const object = (name: string, spec: ObjectOf<"Queue">["spec"] = {}): ObjectOf<"Queue"> => ({
  apiVersion: "scheduling.kurator.dev/v1alpha1",
  kind: "Queue",
  metadata: { name, uid: name, generation: 1 },
  spec,
});
const TOTALS = { milliCpu: 64_000, memoryBytes: 2 ** 37, diskBytes: 2 ** 40, gpuMilli: 8_000 };

test("a queue is read with Volcano's defaults, and the default queue is always there", () => {
  const { queues, problems } = resolveQueues(
    [
      object("a", {
        parent: "root",
        guarantee: { resource: { cpu: "500m", "nvidia.com/gpu": 1 } },
        capability: { memory: "1Gi" },
        dequeueStrategy: "fifo",
      }),
    ],
    TOTALS,
  );
  expect(problems).toEqual([]);
  expect(queues).toEqual([
    {
      name: "a",
      weight: 1,
      priority: 0,
      open: true,
      reclaimable: true,
      dequeueStrategy: "fifo",
      guarantee: { milliCpu: 500, gpuMilli: 1_000 },
      capability: { memoryBytes: 2 ** 30 },
    },
    expect.objectContaining({ name: "default", weight: 1, open: true }),
  ]);
});

test.each<[string, readonly ObjectOf<"Queue">[], string, RegExp]>([
  ["a parent that is none", [object("a", { parent: "b" })], "ParentNotFound", /no queue "b"/],
  [
    "a circle of parents",
    [object("a", { parent: "b" }), object("b", { parent: "a" })],
    "ParentCycle",
    /a → b → a is a circle/,
  ],
  [
    "a closed queue above",
    [object("a", { state: "Closed" }), object("b", { parent: "a" })],
    "ParentClosed",
    /takes no new jobs/,
  ],
  [
    "children guaranteed more than their parent",
    [
      object("a", { guarantee: { resource: { cpu: 1 } } }),
      object("b", { parent: "a", guarantee: { resource: { cpu: 2 } } }),
    ],
    "GuaranteesOverParent",
    /raise spec.guarantee.resource, or lower theirs/,
  ],
  [
    "children that deserve more than their parent",
    [
      object("a", { deserved: { cpu: 1 } }),
      object("b", { parent: "a", deserved: { cpu: 1 } }),
      object("c", { parent: "a", deserved: { cpu: 1 } }),
    ],
    "DeservedOverParent",
    /each is cut alike/,
  ],
  [
    "a guarantee of more than the fleet has",
    [object("a", { guarantee: { resource: { "nvidia.com/gpu": 9 } } })],
    "GuaranteeOverFleet",
    /9 nvidia.com\/gpu is more than the fleet has \(8\)/,
  ],
])("%s is told, with the mend", (_what, objects, reason, message) => {
  const { problems } = resolveQueues(objects, TOTALS);
  expect(problems[0]).toMatchObject({ reason });
  expect(problems[0]?.message).toMatch(message);
});

test("what is below a closed queue is closed; a queue that is being deleted is none", () => {
  const gone = object("c");
  const { queues } = resolveQueues(
    [
      object("a", { state: "Closed" }),
      object("b", { parent: "a" }),
      { ...gone, metadata: { ...gone.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } },
    ],
    TOTALS,
  );
  expect(queues.map((q) => [q.name, q.open])).toEqual([
    ["a", false],
    ["b", false],
    ["default", true],
  ]);
});

test(`only the first ${QUEUES_MAX} queues by name count`, () => {
  const objects = Array.from({ length: QUEUES_MAX + 2 }, (_, i) => object(`q${10_000 + i}`));
  const { queues, problems } = resolveQueues(objects, TOTALS);
  expect(queues).toHaveLength(QUEUES_MAX + 1);
  expect(problems.map((p) => p.reason)).toEqual(["TooManyQueues", "TooManyQueues"]);
});

test("amounts come back as they were said", () => {
  const list = { cpu: "1500m", memory: "2Gi", "nvidia.com/gpu": "0.5" };
  const amounts = { milliCpu: 0, memoryBytes: 0, diskBytes: 0, gpuMilli: 0, ...queueAmounts(list) };
  expect(quantitiesOf(amounts)).toEqual(list);
  expect(queueAmounts({ cpu: "-1", memory: "lots" })).toEqual({});
});
