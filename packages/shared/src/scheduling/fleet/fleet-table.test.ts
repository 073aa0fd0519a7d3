import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LabelSelector } from "../../model/metadata.ts";
import { solveLinearProgram } from "../../platform/linear-program.ts";
import type { Adjustment } from "../adjustment.ts";
import { decide, summary } from "../decide.ts";
import { NO_NODE } from "../engine/engine.ts";
import {
  type Decision,
  type DeviceFacts,
  type GpuRequest,
  NO_CAPACITY,
  type NodeFacts,
  type PlacementRequest,
  type Siblings,
  type SiteFacts,
  type Use,
  type Weights,
} from "../facts.ts";
import { gpuValues } from "../gpu/values.ts";
import { weightsOf } from "../weights.ts";
import { FleetTable } from "./fleet-table.ts";

const GI = 2 ** 30;
const site = (over: Partial<SiteFacts> = {}): SiteFacts => ({
  name: "s1",
  known: true,
  labels: {},
  taints: [],
  ...over,
});
const node = (name: string, over: Partial<NodeFacts> = {}): NodeFacts => ({
  name,
  site: site(),
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
const VALUES = gpuValues(
  [
    { milliCpu: 8_000, gpuCount: 1, gpuMilli: 1000, count: 10 },
    { milliCpu: 2_000, gpuCount: 1, gpuMilli: 470, count: 5 },
    { milliCpu: 1_000, gpuCount: 1, gpuMilli: 320, count: 5 },
  ],
  solveLinearProgram,
);

const hostile = (max: number, factor = 1): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 20, arbitrary: fc.integer({ min: 0, max }).map((n) => n * factor) },
    { weight: 1, arbitrary: fc.constantFrom(Number.NaN, -1, 1e308, Number.POSITIVE_INFINITY, 0.5) },
  );
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
/** Without the members that are undefined. */
const said = <T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(members).filter(([, v]) => v !== undefined)) as never;

const sites = fc
  .record({
    name: fc.constantFrom("s1", "s2", "s3"),
    zone: fc.constantFrom("x", "y"),
    isTainted: fc.boolean(),
    price: maybe(hostile(5)),
    latency: maybe(hostile(100)),
    region: maybe(fc.constantFrom("eu", "us")),
  })
  .map(({ name, zone, isTainted, price, latency, region }) =>
    site({
      name,
      labels: { zone, "data-residency": zone === "x" ? "cn" : "eu" },
      taints: isTainted ? [{ key: "spot", effect: "PreferNoSchedule" }] : [],
      ...said({ pricePerNodeHour: price, latencyMs: latency, region }),
      egressPricePerGb: new Map([["eu", 0.02]]),
      latencies: new Map([["eu", latency ?? 1]]),
    }),
  );
const deviceLists = fc
  .array(
    fc.record({
      model: fc.constantFrom("NVIDIA A100", "NVIDIA T4"),
      mig: fc.constantFrom(undefined, undefined, undefined, "1g.10gb"),
      tier: fc.constantFrom("nvlink" as const, "pcie" as const, "system" as const),
    }),
    { maxLength: 4 },
  )
  .map(
    (list) =>
      (name: string): readonly DeviceFacts[] =>
        list.map(({ model, mig, tier }, index) => ({
          uuid: `${name}-gpu-${index}`,
          index,
          model,
          memoryBytes: 16 * GI,
          freeMilli: 1000,
          links: new Map(
            list.flatMap((_, other) =>
              other > index ? [[`${name}-gpu-${other}`, tier] as const] : [],
            ),
          ),
          ...(mig === undefined ? {} : { migProfile: mig }),
        })),
  );
const nodesArbitrary = fc
  .array(
    fc.record({
      capacity: fc.record({
        milliCpu: hostile(16, 1000),
        memoryBytes: hostile(16),
        diskBytes: hostile(16),
      }),
      devices: deviceLists,
      site: sites,
      life: fc.constantFrom("ready" as const, "ready" as const, "ready" as const, "lost" as const),
      unschedulable: fc.constantFrom(false, false, false, true),
      disk: maybe(fc.constantFrom("ssd", "hdd", "tape")),
      cpuRatio: maybe(hostile(1, 0.37)),
      price: maybe(fc.record({ perHour: hostile(9), spotPerHour: hostile(4) })),
      measures: maybe(
        fc.record({ latencyP95Ms: hostile(90), networkBitsPerSecond: hostile(9, 1e8) }),
      ),
    }),
    { minLength: 1, maxLength: 14 },
  )
  .map((list) =>
    list.map((raw, i) => {
      const name = `n${String(i).padStart(2, "0")}`;
      const devices = raw.devices(name);
      return node(name, {
        capacity: {
          ...raw.capacity,
          gpuCount: devices.filter((d) => d.migProfile === undefined).length,
        },
        devices,
        site: raw.site,
        life: raw.life,
        unschedulable: raw.unschedulable,
        labels: { "kubernetes.io/hostname": name, ...said({ disk: raw.disk }) },
        taints: i % 5 === 4 ? [{ key: "line", value: "a", effect: "NoSchedule" }] : [],
        ...said({ price: raw.price, measures: raw.measures }),
        ...(raw.cpuRatio === undefined
          ? {}
          : { usage: { cpuRatio: raw.cpuRatio, memoryUsedBytes: 1, diskUsedBytes: 0 } }),
      });
    }),
  );
const gpuArbitrary: fc.Arbitrary<GpuRequest | undefined> = fc.option(
  fc
    .record({
      ask: fc.constantFrom([1, 1000], [1, 470], [1, 320], [2, 1000], [2, 320], [3, 1000]),
      mig: fc.constantFrom(undefined, undefined, undefined, "1g.10gb"),
      models: maybe(fc.constantFrom(["A100"], ["T4"])),
      topology: maybe(fc.constantFrom("nvlink" as const, "pcie" as const)),
      topologyRequired: fc.boolean(),
    })
    .map(({ ask, mig, models, topology, topologyRequired }) => ({
      count: ask[0] ?? 1,
      milli: mig === undefined ? (ask[1] ?? 1000) : 1000,
      memoryBytes: 0,
      topologyRequired: topologyRequired && topology !== undefined,
      ...said({ migProfile: mig, models, topology }),
    })),
  { nil: undefined },
);
const requestsArbitrary = fc.array(
  fc
    .record({
      kind: fc.constantFrom("Deployment" as const, "Job" as const),
      amounts: fc.record({
        milliCpu: hostile(4, 1000),
        memoryBytes: hostile(4),
        diskBytes: hostile(2),
      }),
      gpu: gpuArbitrary,
      ports: fc.constantFrom([], [], ["TCP/80"]),
      selector: fc.constantFrom<LabelSelector>(
        {},
        {},
        { matchLabels: { disk: "ssd" } },
        { matchExpressions: [{ key: "disk", operator: "NotIn" as const, values: ["hdd"] }] },
        { matchExpressions: [{ key: "disk", operator: "Exists" as const }] },
        { matchLabels: { "kubernetes.io/hostname": "n03" } },
      ),
      nodeName: fc.constantFrom(undefined, undefined, undefined, undefined, "n02"),
      compliance: fc.constantFrom(undefined, undefined, { "data-residency": "cn" }),
      data: fc.constantFrom(undefined, undefined, { region: "eu", gbPerDay: 10 }),
      latency: fc.constantFrom(undefined, undefined, { to: "eu", maxMs: 50 }),
      spot: fc.boolean(),
      releases: maybe(
        fc.array(
          fc.record({
            release: fc.constant("detector 1.0.0"),
            memoryBytes: fc.nat(20),
            nodeLabels: fc.constantFrom({}, {}, { disk: "ssd" }),
          }),
          { maxLength: 2 },
        ),
      ),
    })
    .map(({ amounts, gpu, selector, nodeName, compliance, data, latency, releases, ...rest }) => {
      const gpuCount = gpu?.migProfile === undefined && gpu?.milli === 1000 ? gpu.count : 0;
      return request({
        ...rest,
        amounts: { ...amounts, gpuCount },
        nodeSelector: selector,
        placements: [said({ compliance, data, latency })],
        ...said({ gpu, nodeName, releases }),
      });
    }),
  { minLength: 1, maxLength: 5 },
);
const weightsArbitrary = fc
  .record({
    cpu: hostile(3),
    gpu: hostile(5),
    cost: hostile(2),
    performance: hostile(2),
  })
  .map(({ cpu, gpu, cost, performance }) =>
    weightsOf({
      resources: [
        { name: "cpu", weight: cpu },
        { name: "gpu", weight: gpu },
      ],
      costAware: { enabled: true, weight: cost },
      performanceAware: { enabled: true, weight: performance },
    }),
  );
const stepsArbitrary = fc.array(
  fc.record({
    kind: fc.constantFrom(
      "place",
      "place",
      "place",
      "place",
      "unassign",
      "change",
      "remove",
      "add",
    ),
    pick: fc.nat(1_000),
  }),
  { maxLength: 60 },
);

const snapshotOf = (table: FleetTable, names: readonly string[]): Map<string, NodeFacts> =>
  new Map(
    names.flatMap((name) => {
      const facts = table.facts(name);
      return facts === undefined ? [] : [[name, facts] as const];
    }),
  );

/** What a decision of the engine takes. */
function useOf(table: FleetTable, asked: PlacementRequest, index: number): Use {
  const { amounts, ports, gpu } = asked;
  if (gpu === undefined) return { amounts, ports };
  const decision = decide(asked, snapshotOf(table, [table.nodeName(index)]), WEIGHTS, {
    values: VALUES,
  });
  return { amounts, ports, devices: decision.devices ?? [] };
}

const adjustments: fc.Arbitrary<Adjustment> = fc
  .record({
    siblings: maybe(fc.array(fc.nat(13), { maxLength: 6 })),
    required: maybe(
      fc.record({
        sites: fc.subarray(["s1", "s2", "s3"]),
        nodes: fc.subarray(["n01", "n02", "n09"]),
      }),
    ),
    barred: maybe(fc.subarray(["s1", "s3", "n00", "n04", "n05"])),
    preferred: maybe(
      fc.array(
        fc.tuple(
          fc.constantFrom("s1", "s2", "n00", "n01", "n07"),
          fc.constantFrom(-1, -0.5, 0.5, 1, 2, Number.NaN, 1e308),
        ),
      ),
    ),
  })
  .map(({ siblings, required, barred, preferred }) =>
    said({
      siblings: siblings === undefined ? undefined : siblingsOn(siblings),
      required:
        required === undefined
          ? undefined
          : [
              {
                sites: new Set(required.sites),
                nodes: new Set(required.nodes),
                reason: "asks for db on the same site",
              },
            ],
      barred: barred === undefined ? undefined : byDomain(barred.map((b) => [b, "is near db"])),
      preferred: preferred === undefined ? undefined : byDomain(preferred),
    }),
  );

/** Names that begin with s are sites. */
function byDomain<T>(entries: readonly (readonly [string, T])[]): {
  readonly sites: ReadonlyMap<string, T>;
  readonly nodes: ReadonlyMap<string, T>;
} {
  const isSite = ([name]: readonly [string, T]): boolean => name.startsWith("s");
  return {
    sites: new Map(entries.filter(isSite)),
    nodes: new Map(entries.filter((e) => !isSite(e))),
  };
}

/** Instances on these nodes; where each node is does not matter here, as long as it is always the same. */
function siblingsOn(nodes: readonly number[]): Siblings {
  const byNode = new Map<string, number>();
  const bySite = new Map<string, number>();
  for (const n of nodes) {
    const name = `n${String(n).padStart(2, "0")}`;
    const where = `s${(n % 3) + 1}`;
    byNode.set(name, (byNode.get(name) ?? 0) + 1);
    bySite.set(where, (bySite.get(where) ?? 0) + 1);
  }
  return { byNode, bySite };
}

interface Scenario {
  readonly table: FleetTable;
  readonly asked: PlacementRequest;
  readonly snapshot: Map<string, NodeFacts>;
}

/** Plays the steps; each that places asks `check` first. */
function play(
  table: FleetTable,
  { nodes, requests, weights, steps }: ReturnType<typeof worldOf>,
  check: (scenario: Scenario, at: number) => void,
): void {
  for (const n of nodes) table.setNode(n);
  let count = 0;
  for (const [at, { kind, pick }] of steps.entries()) {
    const facts = nodes[pick % nodes.length] ?? node("x");
    if (kind === "remove") table.removeNode(facts.name);
    else if (kind === "add") table.setNode(facts);
    else if (kind === "change")
      table.setNode({ ...facts, life: pick % 2 === 0 ? "ready" : "lost", usage: USAGE });
    else if (kind === "shrink")
      table.setNode({
        ...facts,
        devices: facts.devices.slice(1),
        capacity: {
          ...facts.capacity,
          milliCpu: 2_000,
          gpuCount: facts.devices.slice(1).filter((d) => d.migProfile === undefined).length,
        },
      });
    else if (kind === "unassign") table.unassign(`i${pick % Math.max(1, count)}`);
    else {
      const asked = requests[pick % requests.length] ?? request();
      const names = nodes.map((n) => n.name);
      check({ table, asked, snapshot: snapshotOf(table, names) }, at);
      const index = table.choose(table.shapeOf(asked, weights));
      if (index === NO_NODE) continue;
      table.assign(`i${count++}`, table.nodeName(index), useOf(table, asked, index));
    }
  }
}

const USAGE = { cpuRatio: 0.7, memoryUsedBytes: 0, diskUsedBytes: 0 };
const worlds = fc
  .tuple(nodesArbitrary, requestsArbitrary, weightsArbitrary, stepsArbitrary)
  .map(worldOf);

function worldOf([nodes, requests, weights, steps]: readonly [
  readonly NodeFacts[],
  readonly PlacementRequest[],
  Weights,
  readonly { readonly kind: string; readonly pick: number }[],
]): {
  readonly nodes: readonly NodeFacts[];
  readonly requests: readonly PlacementRequest[];
  readonly weights: Weights;
  readonly steps: readonly { readonly kind: string; readonly pick: number }[];
} {
  return { nodes, requests, weights, steps };
}

/** The best candidate; of equal ones the first row. */
function firstOf(table: FleetTable, { candidates, score }: Decision): string | undefined {
  return candidates
    .filter((c) => c.score !== undefined && c.score === score)
    .toSorted((a, b) => table.nodeIndex(a.node) - table.nodeIndex(b.node))[0]?.node;
}

const nameOf = (table: FleetTable, index: number): string | undefined =>
  index === NO_NODE ? undefined : table.nodeName(index);

describe("the choice", () => {
  test.each(["tree", "scan"] as const)(
    "is the one of decide, after any placements, releases and changes (%s)",
    (mode) => {
      fc.assert(
        fc.property(worlds, (world) => {
          play(new FleetTable({ mode, values: VALUES }), world, ({ table, asked, snapshot }) => {
            const index = table.choose(table.shapeOf(asked, world.weights));
            const expected = decide(asked, snapshot, world.weights, { values: VALUES });
            expect(nameOf(table, index)).toBe(firstOf(table, expected));
          });
        }),
        { seed: 42, numRuns: 300 },
      );
    },
  );

  test.each(["tree", "scan"] as const)(
    "with siblings and affinities is the one of decide too (%s)",
    (mode) => {
      fc.assert(
        fc.property(worlds, fc.array(adjustments, { minLength: 1 }), (world, adjusted) => {
          const { weights } = world;
          play(new FleetTable({ mode, values: VALUES }), world, (scenario, at) => {
            const { table, asked, snapshot } = scenario;
            const adjustment = adjusted[at % adjusted.length] ?? {};
            const expected = decide(asked, snapshot, weights, { values: VALUES, adjustment });
            const decision = table.decide(asked, weights, adjustment);
            expect(decision.node).toBe(firstOf(table, expected));
            expect(decision.score).toBe(expected.score);
            const same = expected.candidates.find((c) => c.node === decision.node);
            expect(decision.parts).toEqual(same?.parts);
          });
        }),
        { seed: 43, numRuns: 300 },
      );
    },
  );
});

describe("the explanation", () => {
  test("counts every node as decide does, and says what would make it fit", () => {
    fc.assert(
      fc.property(worlds, adjustments, (world, adjustment) => {
        const { weights } = world;
        play(new FleetTable({ values: VALUES }), world, ({ table, asked, snapshot }) => {
          const expected = decide(asked, snapshot, weights, { values: VALUES, adjustment });
          const told = table.explain(asked, weights, adjustment, { countMax: 100 });
          const order = (c: Decision["candidates"]): unknown =>
            c.toSorted((a, b) => (a.node < b.node ? -1 : 1));
          expect(order(told.candidates)).toEqual(order(expected.candidates));
          expect(summary(told).replace(/\(.*?\)/g, "")).toBe(
            summary(expected).replace(/\(.*?\)/g, ""),
          );
          expect(told.score).toBe(expected.score);
          expect(told.wouldFit).toBe(expected.wouldFit);
          const short = table.explain(asked, weights, adjustment, { countMax: 4 });
          expect(short.candidates.length).toBeLessThanOrEqual(4);
          expect(short.candidates.length + (short.omitted ?? 0)).toBe(snapshot.size);
        });
      }),
      { seed: 44, numRuns: 200 },
    );
  });
});
