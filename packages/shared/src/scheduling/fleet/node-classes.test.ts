import { expect, test } from "vitest";
import { NO_CAPACITY, type NodeFacts, type PlacementRequest } from "../facts.ts";
import { weightsOf } from "../weights.ts";
import { FleetTable } from "./fleet-table.ts";

const site = { name: "s1", known: true, labels: {}, taints: [] };

function node(name: string, labels: Record<string, string>): NodeFacts {
  return {
    name,
    site,
    life: "ready",
    unschedulable: false,
    labels,
    taints: [],
    runtimes: ["process"],
    capacity: { milliCpu: 4_000, memoryBytes: 2 ** 33, diskBytes: 2 ** 36, gpuCount: 0 },
    devices: [],
    allocated: NO_CAPACITY,
    instanceCount: 0,
    ports: new Set(),
  };
}

const asking = (matchLabels: Record<string, string>): PlacementRequest => ({
  kind: "Deployment",
  amounts: { ...NO_CAPACITY, milliCpu: 100 },
  otherAmounts: {},
  runtime: "process",
  ports: [],
  placements: [],
  nodeSelector: { matchLabels },
  tolerations: [],
});

test("nodes that were alike are told apart by the first request that names a label, or a value of it", () => {
  const table = new FleetTable();
  const weights = weightsOf(undefined);
  for (const [name, labels] of [
    ["a", { pool: "x" }],
    ["b", {}],
    ["c", { pool: "y" }],
  ] as const)
    table.setNode(node(name, labels));
  const fits = (matchLabels: Record<string, string>): readonly string[] => {
    const { candidates } = table.explain(asking(matchLabels), weights);
    return candidates.filter((c) => c.filter === undefined).map((c) => c.node);
  };
  expect(fits({})).toEqual(["a", "b", "c"]);
  expect(fits({ pool: "x" })).toEqual(["a"]);
  expect(fits({ pool: "y" })).toEqual(["c"]);
  expect(fits({ pool: "z" })).toEqual([]);
  expect(fits({})).toEqual(["a", "b", "c"]);
});

test("nodes that were alike are told apart by memory that a release asks for, in either order", () => {
  for (const thresholds of [
    [2 ** 33, 2 ** 34],
    [2 ** 34, 2 ** 33],
  ]) {
    const table = new FleetTable();
    for (const [name, memoryBytes] of [
      ["a", 2 ** 32],
      ["b", 2 ** 33],
      ["c", 2 ** 35],
    ] as const)
      table.setNode({
        ...node(name, {}),
        capacity: { ...node(name, {}).capacity, memoryBytes },
      });
    const fits = (memoryBytes: number): string =>
      table
        .explain(
          { ...asking({}), releases: [{ release: "m 1.0.0", memoryBytes }] },
          weightsOf(undefined),
        )
        .candidates.filter((c) => c.filter === undefined)
        .map((c) => c.node)
        .join();
    expect(new Map(thresholds.map((t) => [t, fits(t)]))).toEqual(
      new Map([
        [2 ** 33, "b,c"],
        [2 ** 34, "c"],
      ]),
    );
    expect(fits(0)).toBe("a,b,c");
    expect(fits(2 ** 36)).toBe("");
  }
});
