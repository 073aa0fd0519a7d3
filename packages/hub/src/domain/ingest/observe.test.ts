import { expect, test } from "vitest";
import {
  assignment,
  desiredInstance,
  edgeNode,
  gpus,
  inventory,
  reading,
  reportedInstance,
} from "../../../test/support/node-builders.ts";
import { type Observation, observe } from "./observe.ts";

const NOW = "2026-11-25T16:00:00.000Z";
const LATER = "2026-11-25T17:00:00.000Z";
const birth = { agentVersion: "1.0.0", bootId: "boot-1", inventory: inventory() };
const reported = { acceptedRevision: 3, convergedRevision: 2, instances: [] };

function born(change: Partial<Observation> = {}) {
  return observe(
    edgeNode("n1"),
    [],
    { epoch: 1, birth, reading: reading(), reported, ...change },
    NOW,
  ).node;
}

const conditionOf = (node: ReturnType<typeof born>, type: string) =>
  node.status?.conditions?.find((c) => c.type === type);

test("a birth makes a node ready, with all that it says of itself", () => {
  const { node, happenings } = observe(
    edgeNode("n1"),
    [],
    { epoch: 5, birth, reading: reading(), reported },
    NOW,
  );
  expect(node.status).toMatchObject({
    life: "ready",
    epoch: 5,
    agentVersion: "1.0.0",
    bootId: "boot-1",
    inventory: inventory(),
    capacity: reading().capacity,
    usage: reading().usage,
    acceptedRevision: 3,
    convergedRevision: 2,
  });
  expect(conditionOf(node, "Ready")).toMatchObject({ status: "True", lastTransitionTime: NOW });
  expect(happenings).toMatchObject([{ reason: "NodeReady" }]);
});

test("an empty heartbeat of a ready node changes nothing at all", () => {
  const node = born();
  const after = observe(node, [], { epoch: 1 }, LATER);
  expect(after.node).toBe(node);
  expect(after.happenings).toEqual([]);
});

test("usage is written when it moved beyond its step, measured from what was written", () => {
  const node = born();
  const hardly = reading({ usage: { cpuRatio: 0.24 } });
  expect(observe(node, [], { epoch: 1, reading: hardly }, LATER).node).toBe(node);
  const moved = reading({ usage: { cpuRatio: 0.26 } });
  expect(observe(node, [], { epoch: 1, reading: moved }, LATER).node.status?.usage).toEqual(
    moved.usage,
  );
});

test("a heartbeat brings a lost node back, and says so", () => {
  const lost = edgeNode("n1", { ...born().status, life: "lost" });
  const { node, happenings } = observe(lost, [], { epoch: 1 }, LATER);
  expect(node.status?.life).toBe("ready");
  expect(happenings).toMatchObject([{ reason: "NodeReady", type: "Normal" }]);
});

test("a new boot id is a reboot; a new epoch alone is not", () => {
  const again = observe(born(), [], { epoch: 2, birth }, LATER);
  expect(again.happenings).toEqual([]);
  const rebooted = observe(born(), [], { epoch: 2, birth: { ...birth, bootId: "boot-2" } }, LATER);
  expect(rebooted.happenings).toMatchObject([{ reason: "Rebooted" }]);
});

test("a capacity that jumps is not believed until a second reading says the same", () => {
  const node = born();
  const lie = reading({ capacity: { milliCpu: 4_000_000 } });
  const once = observe(node, [], { epoch: 1, reading: lie }, LATER);
  expect(once.node.status?.capacity).toEqual(reading().capacity);
  expect(conditionOf(once.node, "CapacityInvalid")?.status).toBe("True");
  expect(once.happenings).toMatchObject([{ type: "Warning", reason: "CapacityInvalid" }]);
  const twice = observe(once.node, [], { epoch: 1, reading: lie }, LATER);
  expect(twice.node.status?.capacity).toEqual(lie.capacity);
  expect(conditionOf(twice.node, "CapacityInvalid")).toMatchObject({
    status: "False",
    reason: "CapacityConfirmed",
  });
});

test("two different jumps confirm nothing, and a reading as before clears the condition", () => {
  const lies = [1_000_000, 9_000_000].map((milliCpu) => reading({ capacity: { milliCpu } }));
  let node = born();
  for (const lie of lies) node = observe(node, [], { epoch: 1, reading: lie }, LATER).node;
  expect(node.status?.capacity).toEqual(reading().capacity);
  expect(conditionOf(node, "CapacityInvalid")?.status).toBe("True");
  node = observe(node, [], { epoch: 1, reading: reading() }, LATER).node;
  expect(conditionOf(node, "CapacityInvalid")?.status).toBe("False");
});

test("eight GPUs that appear are no lie, and a machine that shrinks to nothing is one", () => {
  const eight = observe(
    born(),
    [],
    { epoch: 1, reading: reading({ capacity: { gpuCount: 8 } }) },
    NOW,
  );
  expect(eight.node.status?.capacity?.gpuCount).toBe(8);
  const none = observe(
    born(),
    [],
    { epoch: 1, reading: reading({ capacity: { diskBytes: 0 } }) },
    NOW,
  );
  expect(none.node.status?.capacity).toEqual(reading().capacity);
});

test("cards that a reading tells take the place of those of the birth, and their coming and going is told", () => {
  const [a, b] = gpus("n1", 2);
  const withCards = (...cards: readonly (typeof a)[]) => ({
    ...reading(),
    gpus: cards.filter((c) => c !== undefined),
  });
  const observed = (node: ReturnType<typeof born>, ...cards: readonly (typeof a)[]) =>
    observe(node, [], { epoch: 1, reading: withCards(...cards) }, LATER);
  const first = born({
    birth: { ...birth, inventory: { ...inventory(), gpus: withCards(a).gpus } },
  });
  const grown = observed(first, a, b);
  expect(grown.node.status?.inventory).toEqual({ ...inventory(), gpus: withCards(a, b).gpus });
  expect(grown.happenings).toEqual([
    { type: "Normal", reason: "DevicesAdded", message: "2 GPUs, 1 before; new: GPU-n1-1" },
  ]);
  const shrunk = observed(grown.node, b);
  expect(shrunk.happenings).toEqual([
    {
      type: "Warning",
      reason: "DevicesRemoved",
      message: "1 GPUs, 2 before; not reported any more: GPU-n1-0",
    },
  ]);
  expect(observed(shrunk.node, b).node).toBe(shrunk.node);
  const silent = observe(shrunk.node, [], { epoch: 1, reading: reading() }, LATER);
  expect(silent.node.status?.inventory?.gpus).toEqual(withCards(b).gpus);
});

test("memory pressure begins at its high mark and ends only below its low one", () => {
  const at = (ratio: number) =>
    reading({ usage: { memoryUsedBytes: Math.round(ratio * 8 * 2 ** 30) } });
  let node = born();
  const pressures = [0.94, 0.96, 0.92, 0.89].map((ratio) => {
    node = observe(node, [], { epoch: 1, reading: at(ratio) }, LATER).node;
    return conditionOf(node, "MemoryPressure")?.status;
  });
  expect(pressures).toEqual(["False", "True", "True", "False"]);
});

test("what a node reports of its assignments is written there, and cleared when it is no longer reported", () => {
  const api = assignment("api-0", "n1");
  const instance = reportedInstance("shop.web.api-0");
  const first = observe(
    born(),
    [api],
    { epoch: 1, reported: { ...reported, instances: [instance] } },
    NOW,
  );
  expect(first.assignments).toMatchObject([{ status: { reported: instance, reportedBy: "n1" } }]);
  const again = observe(
    born(),
    first.assignments,
    { epoch: 1, reported: { ...reported, instances: [instance] } },
    LATER,
  );
  expect(again.assignments).toEqual([]);
  const gone = observe(born(), first.assignments, { epoch: 1, reported }, LATER);
  expect(gone.assignments[0]?.status).toEqual({});
});

test("an instance that is not assigned to the node is counted and written nowhere", () => {
  const elsewhere = assignment("api-0", "n2");
  const { assignments, unassignedCount } = observe(
    born(),
    [elsewhere],
    {
      epoch: 1,
      reported: {
        ...reported,
        instances: [reportedInstance("shop.web.api-0"), reportedInstance("__proto__")],
      },
    },
    NOW,
  );
  expect(assignments).toEqual([]);
  expect(unassignedCount).toBe(2);
});

test("an assignment that moved away keeps what the old node said until that node has stopped it", () => {
  const moved = {
    ...assignment("api-0", "n2"),
    status: { reported: reportedInstance("shop.web.api-0"), reportedBy: "n1" },
  };
  const still = {
    ...reported,
    instances: [reportedInstance("shop.web.api-0", { phase: "Stopping" })],
  };
  expect(observe(born(), [moved], { epoch: 1, reported: still }, NOW).assignments).toEqual([]);
  expect(observe(born(), [moved], { epoch: 1, reported }, NOW).assignments[0]?.status).toEqual({});
});

test("the end of a Job's instance is final: a node that lost its records runs it again and takes no room for it", () => {
  const desired = desiredInstance("shop.web.api-0", { kind: "Job" });
  const job = assignment("api-0", "n1", desired);
  const told = (instances: readonly ReturnType<typeof reportedInstance>[]) => ({
    epoch: 1,
    reported: { ...reported, instances: [...instances] },
  });
  const done = reportedInstance("shop.web.api-0", { phase: "Succeeded", ready: false });
  const [ended] = observe(born(), [job], told([done]), NOW).assignments;
  expect(ended?.status?.reported?.phase).toBe("Succeeded");
  if (ended === undefined) return;
  const again = reportedInstance("shop.web.api-0", { phase: "Running" });
  expect(observe(born(), [ended], told([again]), LATER).assignments).toEqual([]);
  expect(observe(born(), [ended], told([]), LATER).assignments).toEqual([]);
  const changed = {
    ...ended,
    spec: { ...ended.spec, desired: { ...desired, specDigest: "digest-2" } },
  };
  expect(observe(born(), [changed], told([again]), LATER).assignments).toHaveLength(1);
});
