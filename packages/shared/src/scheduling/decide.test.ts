import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Capacity } from "../model/capacity.ts";
import { device, gpuRequest } from "../testing/devices.ts";
import { decide, summary } from "./decide.ts";
import {
  allocatable,
  type DeviceFacts,
  free,
  HARDWARE_ID_LABEL,
  NO_CAPACITY,
  type NodeFacts,
  type PlacementRequest,
  release,
  reserve,
  type SiteFacts,
  type Snapshot,
} from "./facts.ts";
import { FILTER_NAMES, FILTERS } from "./filter.ts";
import { WHOLE_DEVICES_ONLY } from "./gpu/values.ts";
import { CANDIDATES_MAX, shortened } from "./select.ts";
import { ARTICLE_PARTS, weightsOf } from "./weights.ts";

const GI = 2 ** 30;
const WEIGHTS = weightsOf(undefined);

const site = (over: Partial<SiteFacts> = {}): SiteFacts => ({
  name: "s1",
  known: true,
  labels: {},
  taints: [],
  ...over,
});

/** Whole devices, the first ones in use; of an amount that is no count, none. */
const cards = (count: number, used: number): readonly DeviceFacts[] =>
  Array.from({ length: count > 0 && count <= 64 ? count : 0 }, (_, index) =>
    device(index, { freeMilli: index < used ? 0 : 1_000 }),
  );

const wholeGpus = (gpuCount: number): Pick<PlacementRequest, "amounts" | "gpu"> => ({
  amounts: { ...NO_CAPACITY, gpuCount },
  ...(gpuCount === 0 ? {} : { gpu: gpuRequest({ count: gpuCount }) }),
});

const node = (name: string, over: Partial<NodeFacts> = {}): NodeFacts => ({
  name,
  site: site(),
  life: "ready",
  unschedulable: false,
  labels: {},
  taints: [],
  runtimes: ["process"],
  capacity: { milliCpu: 4000, memoryBytes: 8 * GI, diskBytes: 64 * GI, gpuCount: 0 },
  allocated: NO_CAPACITY,
  devices: cards(over.capacity?.gpuCount ?? 0, over.allocated?.gpuCount ?? 0),
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

const snapshot = (...nodes: readonly NodeFacts[]): Snapshot =>
  new Map(nodes.map((n) => [n.name, n]));

const filterOf = (r: PlacementRequest, n: NodeFacts): string | undefined =>
  decide(r, snapshot(n), WEIGHTS).candidates[0]?.filter;

/** Whole devices only, each of which comes with 8 cores. */
const EIGHT_CORES_A_GPU = { ...WHOLE_DEVICES_ONLY, milliCpuPerGpu: 8_000 };

describe("filters", () => {
  test("the list of names is the list of filters, in order", () => {
    expect(FILTER_NAMES).toEqual(Object.keys(FILTERS));
  });

  test.each<[string, Partial<PlacementRequest>, Partial<NodeFacts>, string]>([
    ["NodeReady", {}, { life: "suspect" }, "node is suspect"],
    ["NodeReady", {}, { life: "registered" }, "node is registered"],
    ["Unschedulable", {}, { unschedulable: true }, "node is cordoned or drained"],
    [
      "Fleet",
      { fleet: { name: "f", exists: true, sites: new Set(["s2"]), siteLabels: new Map() } },
      {},
      "site s1 is no member of fleet f",
    ],
    [
      "Fleet",
      { fleet: { name: "f", exists: false, sites: new Set(), siteLabels: new Map() } },
      {},
      "fleet f does not exist",
    ],
    [
      "ClusterAffinity",
      { placements: [{ clusterAffinity: { clusterNames: ["a", "b"] } }] },
      {},
      "site s1 is not one of a, b",
    ],
    [
      "ClusterAffinity",
      { placements: [{ clusterSelector: { matchLabels: { "has-gpu": "true" } } }] },
      {},
      "asks has-gpu=true; site s1 has none",
    ],
    [
      "SiteAffinity",
      { placements: [{ siteAffinity: { exclude: ["s1"] } }] },
      {},
      "site s1 is excluded",
    ],
    [
      "NodeSelector",
      { nodeSelector: { matchLabels: { disk: "ssd" } } },
      { labels: { disk: "hdd" } },
      "asks disk=ssd; node has hdd",
    ],
    ["NodeSelector", { nodeName: "n9" }, {}, "asks for node n9"],
    [
      "Release",
      { releases: [{ release: "detector 2.3.0", hardwareIds: ["orin", "xavier"] }] },
      { labels: { [HARDWARE_ID_LABEL]: "pi-4" } },
      "detector 2.3.0 is made for orin, xavier; node is pi-4",
    ],
    [
      "Release",
      { releases: [{ release: "detector 2.3.0", hardwareIds: ["orin"] }] },
      {},
      "detector 2.3.0 is made for orin; node is of hardware that it does not tell",
    ],
    [
      "Release",
      { releases: [{ release: "detector 2.3.0", nodeLabels: { onnx: "1.20" } }] },
      { labels: { onnx: "1.18" } },
      "detector 2.3.0 asks onnx=1.20; node has 1.18",
    ],
    [
      "Release",
      { releases: [{ release: "detector 2.3.0", memoryBytes: 16 * GI }] },
      {},
      "detector 2.3.0 asks for a node of 16Gi memory; node has 8Gi",
    ],
    [
      "Taints",
      {},
      { taints: [{ key: "line", value: "a", effect: "NoSchedule" }] },
      "does not tolerate line=a:NoSchedule",
    ],
    [
      "Taints",
      {},
      { site: site({ taints: [{ key: "fire", effect: "NoExecute" }] }) },
      "does not tolerate fire:NoExecute",
    ],
    [
      "Runtime",
      { runtime: "container" },
      {},
      "a container without command needs a container runtime; the node has process",
    ],
    [
      "Compliance",
      { placements: [{ compliance: { "data-residency": "cn" } }] },
      { site: site({ labels: { "data-residency": "eu" } }) },
      "asks data-residency=cn; site s1 has eu",
    ],
    [
      "Resources",
      { amounts: { ...NO_CAPACITY, memoryBytes: 2 * GI } },
      {
        capacity: { milliCpu: 1000, memoryBytes: Math.ceil(GI / 0.95), diskBytes: 0, gpuCount: 0 },
      },
      "memory: asks 2Gi, 1Gi free",
    ],
    ["GpuDevices", wholeGpus(1), {}, "gpu: asks 1, the node has none"],
    [
      "Resources",
      { otherAmounts: { "amd.com/gpu": 1 } },
      {},
      "amd.com/gpu: asks 1, the node reports none",
    ],
    [
      "Resources",
      {},
      { instanceCount: 1_000 },
      "instances: the node has 1000, the most that one takes",
    ],
    [
      "Ports",
      { ports: ["TCP/8080"] },
      { ports: new Set(["TCP/8080"]) },
      "host port TCP/8080 is in use",
    ],
  ])("%s says why: %o %o", (filter, r, n, reason) => {
    const decision = decide(request(r), snapshot(node("n1", n)), WEIGHTS);
    expect(decision.node).toBeUndefined();
    expect(decision.candidates).toEqual([{ node: "n1", site: "s1", filter, reason }]);
  });

  test("a site counts as a cluster: named, selected, and its taints tolerated by clusterTolerations", () => {
    const gpuSite = site({
      name: "gpu-cluster",
      labels: { "has-gpu": "true" },
      taints: [{ key: "has-gpu", value: "true", effect: "NoSchedule" }],
    });
    const r = request({
      placements: [
        {
          clusterAffinity: { clusterNames: ["gpu-cluster"] },
          clusterSelector: { matchLabels: { "has-gpu": "true" } },
        },
        {
          clusterTolerations: [
            { key: "has-gpu", operator: "Equal", value: "true", effect: "NoSchedule" },
          ],
        },
      ],
    });
    expect(decide(r, snapshot(node("n1", { site: gpuSite })), WEIGHTS).node).toBe("n1");
  });

  test("a fleet's attributes of a member count as the site's labels", () => {
    const r = request({
      placements: [{ clusterSelector: { matchLabels: { "has-gpu": "true" } } }],
      fleet: {
        name: "f",
        exists: true,
        sites: new Set(["s1"]),
        siteLabels: new Map([["s1", { "has-gpu": "true" }]]),
      },
    });
    expect(decide(r, snapshot(node("n1")), WEIGHTS).node).toBe("n1");
  });

  test("the reserve is not given out", () => {
    const all = node("n1").capacity;
    expect(filterOf(request({ amounts: all }), node("n1"))).toBe("Resources");
    expect(filterOf(request({ amounts: allocatable(node("n1")) }), node("n1"))).toBeUndefined();
  });
});

describe("scores", () => {
  test("more room, less latency, a lower price and fewer siblings win, each by itself", () => {
    const better: readonly [Partial<NodeFacts>, Partial<NodeFacts>][] = [
      [{}, { allocated: { ...NO_CAPACITY, milliCpu: 2000 } }],
      [{ site: site({ latencyMs: 5 }) }, { site: site({ latencyMs: 80 }) }],
      [{ site: site({ pricePerNodeHour: 1 }) }, { site: site({ pricePerNodeHour: 2 }) }],
      [{}, { taints: [{ key: "spot", effect: "PreferNoSchedule" }] }],
      [
        { usage: { cpuRatio: 0.1, memoryUsedBytes: 0, diskUsedBytes: 0 } },
        { usage: { cpuRatio: 0.9, memoryUsedBytes: 0, diskUsedBytes: 0 } },
      ],
    ];
    for (const [good, bad] of better)
      expect(decide(request(), snapshot(node("a", bad), node("b", good)), WEIGHTS).node).toBe("b");
  });

  test("replicas spread over sites, tasks of a Job keep to one", () => {
    const nodes = snapshot(node("a"), node("b", { site: site({ name: "s2" }) }));
    const siblings = { byNode: new Map([["a", 1]]), bySite: new Map([["s1", 1]]) };
    expect(decide(request(), nodes, WEIGHTS, { adjustment: { siblings } }).node).toBe("b");
    expect(
      decide(request({ kind: "Job" }), nodes, WEIGHTS, { adjustment: { siblings } }).node,
    ).toBe("a");
  });

  test("within a site replicas spread over nodes", () => {
    const siblings = { byNode: new Map([["a", 1]]), bySite: new Map([["s1", 1]]) };
    expect(
      decide(request(), snapshot(node("a"), node("b")), WEIGHTS, { adjustment: { siblings } }).node,
    ).toBe("b");
  });

  test("a request without GPUs leaves the node with idle GPUs alone; one with GPUs fills a used one", () => {
    const gpus = (gpuCount: number): Capacity => ({ ...node("x").capacity, gpuCount });
    const idle = node("a", { capacity: gpus(4) });
    const used = node("b", { capacity: gpus(4), allocated: { ...NO_CAPACITY, gpuCount: 2 } });
    expect(decide(request(), snapshot(idle, node("c")), WEIGHTS).node).toBe("c");
    const asksGpus = request(wholeGpus(2));
    expect(decide(asksGpus, snapshot(idle, used), WEIGHTS).node).toBe("b");
  });

  test("a request without GPUs goes where its CPU is not what idle GPUs need", () => {
    const big = { ...node("x").capacity, milliCpu: 40_000, gpuCount: 4 };
    const used = { ...NO_CAPACITY, gpuCount: 2 };
    // 8 cores come with a GPU in use; on `a` the two idle ones need all that is left, on `b` there is more.
    const short = node("a", { capacity: big, allocated: { ...used, milliCpu: 22_000 } });
    const ample = node("b", { capacity: big, allocated: { ...used, milliCpu: 10_000 } });
    const asksCpu = request({ amounts: { ...NO_CAPACITY, milliCpu: 8_000 } });
    const { candidates } = decide(
      asksCpu,
      snapshot(short, ample),
      weightsOf({ resources: [{ name: "cpu", weight: 0 }] }),
      { values: EIGHT_CORES_A_GPU },
    );
    expect(candidates.map((c) => c.node)).toEqual(["b", "a"]);
  });

  test("the worked example of docs/scheduling.md comes out as written there", () => {
    const capacity = {
      milliCpu: 40_000,
      memoryBytes: 100 * GI,
      diskBytes: 1_000 * GI,
      gpuCount: 4,
    };
    const part = (name: string, pricePerNodeHour: number, milliCpu: number): NodeFacts =>
      node(name, {
        capacity,
        site: site({ name: `site-${name}`, pricePerNodeHour, latencyMs: 10 }),
        allocated: { ...NO_CAPACITY, milliCpu, gpuCount: 2 },
      });
    const asked = request({ amounts: { ...NO_CAPACITY, milliCpu: 8_000, memoryBytes: 10 * GI } });
    const { candidates } = decide(
      asked,
      snapshot(part("a", 2, 22_000), part("b", 2.5, 10_000)),
      WEIGHTS,
      { values: EIGHT_CORES_A_GPU },
    );
    expect(
      candidates.map((c) => [c.node, c.score?.toFixed(3), c.parts?.resource.toFixed(3)]),
    ).toEqual([
      ["b", "0.727", "0.500"],
      ["a", "0.625", "0.028"],
    ]);
  });

  test("equal nodes are taken by name, whatever their order", () => {
    expect(decide(request(), snapshot(node("b"), node("a")), WEIGHTS).node).toBe("a");
  });
});

describe("weights", () => {
  test("are the article's without a profile", () => {
    expect(weightsOf(undefined).parts).toEqual(ARTICLE_PARTS);
  });

  test("the article's profile raises cost to .3 before everything is brought to a sum of 1", () => {
    const { parts, resources } = weightsOf({
      resources: [{ name: "gpu", weight: 5 }],
      costAware: { enabled: true, weight: 0.3 },
      performanceAware: { enabled: true },
    });
    expect(parts.cost).toBeCloseTo(0.3 / 1.1, 5);
    expect(parts.resource).toBeCloseTo(0.3 / 1.1, 5);
    expect(resources).toEqual({ cpu: 1, memory: 0.8, gpu: 5, storage: 0.5 });
  });

  test("a part that is switched off weighs nothing; all zero counts as no profile", () => {
    expect(weightsOf({ costAware: { enabled: false } }).parts.cost).toBe(0);
    const zero = { resource: 0, performance: 0, cost: 0, compliance: 0, topology: 0 };
    expect(weightsOf({ scoreWeights: zero }).parts).toEqual(ARTICLE_PARTS);
  });
});

describe("explanations", () => {
  test("the summary counts by filter with an example", () => {
    const { candidates, wouldFit } = decide(
      request({ amounts: { ...NO_CAPACITY, memoryBytes: 100 * GI } }),
      snapshot(node("a"), node("b"), node("c", { life: "lost" })),
      WEIGHTS,
    );
    expect(summary({ candidates })).toBe(
      "0/3 nodes fit: 2 Resources (memory: asks 100Gi, 7.59Gi free), 1 NodeReady (node is lost)",
    );
    expect(wouldFit).toBe(
      "a would fit but for Resources: memory: asks 100Gi, 7.59Gi free (as would 1 more)",
    );
  });

  test("stored candidates are few: the best and one rejected of each filter at least, the rest counted", () => {
    const many = Array.from({ length: 50 }, (_, i) => node(`n${i}`));
    const others = [node("x", { life: "lost" }), node("y", { unschedulable: true })];
    const { candidates } = decide(request(), snapshot(...many, ...others), WEIGHTS);
    const short = shortened(candidates);
    expect(short.candidates).toHaveLength(CANDIDATES_MAX);
    expect(short.omitted).toBe(52 - CANDIDATES_MAX);
    expect(short.candidates.filter((c) => c.filter !== undefined).map((c) => c.node)).toEqual([
      "x",
      "y",
    ]);
    expect(short.candidates[0]).toEqual(candidates[0]);
  });
});

const hostile = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 20 }) },
  { weight: 1, arbitrary: fc.constantFrom(Number.NaN, 1e308, -5, Number.POSITIVE_INFINITY) },
);
const capacities = fc.record({
  milliCpu: hostile,
  memoryBytes: hostile,
  diskBytes: hostile,
  gpuCount: hostile,
});
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
const nodes: fc.Arbitrary<readonly NodeFacts[]> = fc
  .array(
    fc.record({
      capacity: capacities,
      life: fc.constantFrom("ready", "ready", "ready", "suspect", "lost"),
      unschedulable: fc.boolean(),
      siteName: fc.constantFrom("s1", "s2", "s3"),
      price: maybe(hostile),
      latency: maybe(hostile),
      cpuRatio: maybe(hostile),
    }),
    { maxLength: 12 },
  )
  .map((list) =>
    list.map((raw, i) =>
      node(`n${i}`, {
        capacity: raw.capacity,
        life: raw.life as NodeFacts["life"],
        unschedulable: raw.unschedulable,
        site: site({
          name: raw.siteName,
          ...(raw.price === undefined ? {} : { pricePerNodeHour: raw.price }),
          ...(raw.latency === undefined ? {} : { latencyMs: raw.latency }),
        }),
        ...(raw.cpuRatio === undefined
          ? {}
          : {
              usage: { cpuRatio: raw.cpuRatio, memoryUsedBytes: raw.cpuRatio, diskUsedBytes: 0 },
            }),
      }),
    ),
  );
const requests = fc
  .record({ amounts: capacities, kind: fc.constantFrom("Deployment" as const, "Job" as const) })
  .map(({ amounts, kind }) => request({ ...wholeGpus(amounts.gpuCount), amounts, kind }));

describe("properties", () => {
  test("no node is ever over-committed, and what was refused has a reason", () => {
    fc.assert(
      fc.property(nodes, fc.array(requests, { maxLength: 30 }), (list, asked) => {
        const state = new Map(list.map((n) => [n.name, n]));
        for (const r of asked) {
          const { node: name, candidates, devices } = decide(r, state, WEIGHTS);
          expect(candidates).toHaveLength(state.size);
          for (const c of candidates)
            expect((c.reason ?? "") !== "" && c.filter !== undefined).toBe(c.score === undefined);
          const taken = name === undefined ? undefined : state.get(name);
          if (taken !== undefined)
            state.set(taken.name, reserve(taken, { ...r, ...(devices && { devices }) }));
        }
        for (const n of state.values())
          for (const left of [...Object.values(free(n)), ...n.devices.map((d) => d.freeMilli)])
            expect(left).toBeGreaterThanOrEqual(0);
      }),
      { seed: 42, numRuns: 300 },
    );
  });

  test("the same input gives the same output in any order of nodes, and the winner has the greatest finite score", () => {
    fc.assert(
      fc.property(nodes, requests, (list, r) => {
        const first = decide(r, snapshot(...list), WEIGHTS);
        expect(decide(r, snapshot(...list.toReversed()), WEIGHTS)).toEqual(first);
        const scores = first.candidates.flatMap((c) => (c.score === undefined ? [] : [c.score]));
        for (const s of scores) expect(s >= 0 && s <= 1).toBe(true);
        expect(first.node === undefined).toBe(scores.length === 0);
        expect(first.score ?? Number.NEGATIVE_INFINITY).toBe(Math.max(...scores));
      }),
      { seed: 42, numRuns: 300 },
    );
  });

  test("a node after reserve and release is as it was", () => {
    const r = request({ ports: ["TCP/80"] });
    expect(release(reserve(node("a"), r), r)).toEqual(node("a"));
  });
});
