import { describe, expect, test } from "vitest";
import { Trial } from "../engine/trial.ts";
import { type DeviceFacts, NO_CAPACITY, type NodeFacts, type PlacementRequest } from "../facts.ts";
import { WHOLE_DEVICES_ONLY } from "../gpu/values.ts";
import { weightsOf } from "../weights.ts";
import { FleetTable, UNKNOWN_NODE } from "./fleet-table.ts";
import { LabelTracker } from "./label-tracker.ts";
import { NodeClasses } from "./node-classes.ts";
import { MIX_REQUESTS_MAX, ObservedMix } from "./observed-mix.ts";
import { PERFORMANCE_COLUMNS_MAX } from "./performance-columns.ts";

const GI = 2 ** 30;
const device = (uuid: string, index: number): DeviceFacts => ({
  uuid,
  index,
  model: "NVIDIA A100",
  memoryBytes: 40 * GI,
  freeMilli: 1000,
  links: new Map(),
});
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
const gpuNode = (name: string, ...uuids: readonly string[]): NodeFacts =>
  node(name, {
    capacity: { ...node(name).capacity, gpuCount: uuids.length },
    devices: uuids.map(device),
  });
const request = (over: Partial<PlacementRequest> = {}): PlacementRequest => ({
  kind: "Deployment",
  amounts: { ...NO_CAPACITY, milliCpu: 500 },
  otherAmounts: {},
  runtime: "process",
  ports: [],
  placements: [],
  nodeSelector: {},
  tolerations: [],
  ...over,
});
const slice = (milli: number): PlacementRequest =>
  request({ gpu: { count: 1, milli, memoryBytes: 0, topologyRequired: false } });
const WEIGHTS = weightsOf(undefined);
const use = (milliCpu: number, ports: readonly string[] = []) => ({
  amounts: { ...NO_CAPACITY, milliCpu },
  ports,
});

describe("assignments", () => {
  test("count once by their id, and outlive updates, absence and return of their node", () => {
    const table = new FleetTable();
    table.assign("a", "n1", use(1_000));
    table.setNode(node("n1"));
    table.assign("a", "n1", use(1_000));
    expect(table.facts("n1")?.allocated.milliCpu).toBe(1_000);
    table.setNode(node("n1", { unschedulable: true }));
    table.removeNode("n1");
    expect([table.facts("n1"), table.nodeIndex("n1")]).toEqual([undefined, UNKNOWN_NODE]);
    table.setNode(node("n1"));
    expect(table.nodes.milliCpuFree[table.nodeIndex("n1")]).toBe(2_800);
    table.unassign("a");
    table.unassign("a");
    expect(table.facts("n1")?.allocated.milliCpu).toBe(0);
    expect(table.nodes.milliCpuFree[table.nodeIndex("n1")]).toBe(3_800);
  });

  test("hold their ports and devices, also of a device that goes away and comes back", () => {
    const table = new FleetTable();
    table.setNode(gpuNode("n1", "gpu-a", "gpu-b"));
    table.assign("a", "n1", {
      ...use(100, ["TCP/80"]),
      devices: [{ uuid: "gpu-b", milli: 700 }],
    });
    expect(table.decide(request({ ports: ["TCP/80"] }), WEIGHTS).node).toBeUndefined();
    table.setNode(gpuNode("n1", "gpu-a"));
    table.assign("b", "n1", { ...use(100), devices: [{ uuid: "gpu-a", milli: 800 }] });
    expect(table.decide(slice(300), WEIGHTS).node).toBeUndefined();
    table.setNode(gpuNode("n1", "gpu-a", "gpu-b"));
    expect(table.decide(slice(300), WEIGHTS).devices).toEqual([{ uuid: "gpu-b", milli: 300 }]);
    expect(table.decide(slice(301), WEIGHTS).node).toBeUndefined();
    expect(table.facts("n1")?.devices.map((d) => d.freeMilli)).toEqual([200, 300]);
  });

  test("take over the room that a round has reserved, and can be taken away by one", () => {
    const table = new FleetTable({ values: WHOLE_DEVICES_ONLY });
    table.setNode(gpuNode("n1", "gpu-a"));
    const shape = table.shapeOf(slice(600), WEIGHTS);
    const trial = new Trial(table.engine);
    const placed = trial.place(shape);
    if (placed === undefined) throw new Error("there is room");
    table.assign("a", "n1", table.useOf(placed), { reserved: true });
    expect(table.facts("n1")?.devices[0]?.freeMilli).toBe(400);
    expect(table.choose(shape)).toBe(-1);
    const held = table.placed("a");
    if (held === undefined) throw new Error("it is held");
    trial.release(held);
    expect(table.choose(shape)).toBe(table.nodeIndex("n1"));
    trial.reserve(held);
    table.unassign("a");
    expect(table.nodes.gpuFree[0]).toBe(1000);
  });
});

describe("rows", () => {
  test("grow with the fleet and are used again", () => {
    const table = new FleetTable({ mode: "tree" });
    for (let i = 0; i < 300; i++) {
      table.setNode(node(`n${i}`));
      if (i % 7 === 0) table.choose(table.shapeOf(request(), WEIGHTS));
      if (i % 5 === 4) table.removeNode(`n${i - 2}`);
    }
    expect(table.nodeCount).toBe(240);
    const counts = table.explain(request(), WEIGHTS).counts;
    expect([counts?.nodes, counts?.fitting]).toEqual([240, 240]);
    expect(table.nodes.nodeCount).toBeLessThan(400);
  });

  test("are chosen by name where all else is equal, whatever the order of telling", () => {
    const table = new FleetTable();
    for (const name of ["c", "a", "b"]) table.setNode(node(name));
    expect(table.decide(request(), WEIGHTS).node).toBe("a");
  });

  test("a Decision names the runner-up", () => {
    const table = new FleetTable();
    table.setNode(node("a"));
    table.setNode(node("b", { site: { ...node("b").site, latencyMs: 500 } }));
    const { candidates, omitted } = table.decide(request(), WEIGHTS);
    expect([candidates.map((c) => c.node), omitted]).toEqual([["a", "b"], 0]);
  });
});

describe("classes and shapes", () => {
  test("hostnames make no classes, but for those that a request names", () => {
    const labels = new LabelTracker();
    const classes = new NodeClasses({ labels });
    const numbers = (): number =>
      new Set(Array.from({ length: 50 }, (_, i) => classes.enter(node(`n${i}`)))).size;
    expect(numbers()).toBe(1);
    const named = request({
      nodeSelector: { matchLabels: { "kubernetes.io/hostname": "n7" } },
      nodeName: "n9",
    });
    labels.add(named);
    expect(numbers()).toBe(3);
    labels.remove(named);
    expect(numbers()).toBe(1);
  });

  test("equal requests share a shape; the oldest of too many is forgotten and made again", () => {
    const table = new FleetTable({ shapesMax: 2 });
    for (const name of ["a", "b", "c"]) table.setNode(node(name));
    const pinned = (name: string): PlacementRequest => request({ nodeName: name });
    const first = table.shapeOf(pinned("a"), WEIGHTS);
    expect(table.shapeOf(pinned("a"), weightsOf(undefined))).toBe(first);
    for (let round = 0; round < 3; round++)
      for (const name of ["a", "b", "c"])
        expect(table.decide(pinned(name), WEIGHTS).node).toBe(name);
    expect(table.shapeOf(pinned("a"), WEIGHTS)).not.toBe(first);
  });

  test("ways to measure beyond PERFORMANCE_COLUMNS_MAX are made again when asked for", () => {
    const table = new FleetTable({ mode: "tree" });
    table.setNode(node("far", { measures: { latencyP95Ms: 90, diskWritesPerSecond: 9_000 } }));
    table.setNode(node("near", { measures: { latencyP95Ms: 1, diskWritesPerSecond: 10 } }));
    const weighing = (latency: number) => ({
      ...WEIGHTS,
      performance: { latency, network: 0, disk: 1 },
    });
    for (const round of [0, 1])
      for (let i = 0; i <= PERFORMANCE_COLUMNS_MAX; i++)
        expect([round, i, table.decide(request(), weighing(i)).node]).toEqual([
          round,
          i,
          i < 2 ? "far" : "near",
        ]);
  });

  test("of many requests those that came last count most", () => {
    const mix = new ObservedMix();
    const asking = (milliCpu: number) => ({ milliCpu, gpuCount: 1, gpuMilli: 500 });
    for (let i = 0; i < MIX_REQUESTS_MAX; i++) mix.add(asking(1_000));
    for (let i = 0; i < 10; i++) mix.add(asking(2_000));
    expect(mix.entries().map((e) => e.count)).toEqual([MIX_REQUESTS_MAX / 2, 10]);
  });
});
