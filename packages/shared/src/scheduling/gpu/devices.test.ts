import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { GpuTier } from "../../model/capacity.ts";
import type { DeviceShare } from "../../model/desired-state.ts";
import { device, gpuRequest, linkedDevices } from "../../testing/devices.ts";
import {
  type DeviceFacts,
  type GpuRequest,
  NO_CAPACITY,
  type NodeFacts,
  release,
  reserve,
} from "../facts.ts";
import { chooseDevices, EXHAUSTIVE_DEVICES_MAX, farthestTier } from "./choose-devices.ts";
import { gpuDevices } from "./devices-filter.ts";
import { matchesModel } from "./model-name.ts";
import { GPU_TIERS, tierRank } from "./tiers.ts";
import type { GpuValues } from "./values.ts";

const chosen = (
  devices: readonly DeviceFacts[],
  over: Partial<GpuRequest>,
  values?: GpuValues,
): readonly string[] | undefined => chooseDevices({ devices }, gpuRequest(over), values);

const reason = (devices: readonly DeviceFacts[], over: Partial<GpuRequest>): string | undefined =>
  gpuDevices({ gpu: gpuRequest(over), amounts: NO_CAPACITY }, { devices });

/** Two boards of four: within one by `near`, to the other across sockets. */
const twoBoards = (near: GpuTier): readonly DeviceFacts[] =>
  linkedDevices(
    Array.from({ length: 8 }, (_, i) =>
      Array.from({ length: 8 }, (_, j) => (i < 4 === j < 4 ? near : "system")),
    ),
  );

const inUse = (devices: readonly DeviceFacts[], ...indexes: number[]): readonly DeviceFacts[] =>
  devices.map((d) => (indexes.includes(d.index) ? { ...d, freeMilli: 0 } : d));

describe("a model is asked for by whole words of its name", () => {
  test.each([
    ["NVIDIA A100-SXM4-80GB", "A100", true],
    ["NVIDIA A100-SXM4-80GB", "nvidia a100 sxm4 80gb", true],
    ["NVIDIA A100-SXM4-80GB", "NVIDIA-A100-SXM4-80GB", true],
    ["NVIDIA RTX A1000", "A100", false],
    ["NVIDIA L40S", "L40", false],
    ["NVIDIA GeForce RTX 4090", "RTX 4090", true],
    ["NVIDIA GeForce RTX 4090", "RTX 90", false],
    ["NVIDIA H100 80GB HBM3", "", false],
    ["NVIDIA H100 80GB HBM3", " - ", false],
  ])("%s asked as %j: %s", (model, asked, matches) => {
    expect(matchesModel(model, asked)).toBe(matches);
  });
});

describe("choice", () => {
  test("a slice goes where it loses least worth, then on the fullest device", () => {
    const devices = [device(0), device(1, { freeMilli: 700 }), device(2, { freeMilli: 650 })];
    expect(chosen(devices, { milli: 600 })).toEqual(["GPU-2"]);
    // What 700 free is worth to others is lost with 600 of it; an idle device loses less.
    const worth = Array.from({ length: 1001 }, (_, free) =>
      free === 1000 ? 1 : free >= 650 ? 0.75 : free >= 400 ? 0.5 : 0,
    );
    const values = { worth, milliCpuPerGpu: 0, prices: { sizes: [], prices: [] } };
    expect(chosen(devices, { milli: 600 }, values as unknown as GpuValues)).toEqual(["GPU-0"]);
  });

  test("whole devices are the closest ones, of equal ones the lowest indexes", () => {
    const devices = twoBoards("nvlink");
    expect(chosen(devices, { count: 4 })).toEqual(["GPU-0", "GPU-1", "GPU-2", "GPU-3"]);
    expect(chosen(inUse(devices, 0, 1), { count: 4 })).toEqual([
      "GPU-4",
      "GPU-5",
      "GPU-6",
      "GPU-7",
    ]);
    expect(chosen(inUse(devices, 0, 1), { count: 2 })).toEqual(["GPU-2", "GPU-3"]);
    expect(chosen(inUse(devices, 0, 1, 5), { count: 4 })).toHaveLength(4);
  });

  test("with a required topology there is no choice among devices that are farther apart", () => {
    const devices = inUse(twoBoards("pcie"), 0, 5);
    const asked = { count: 4, topologyRequired: true } as const;
    expect(chosen(devices, { ...asked, topology: "pcie" })).toBeUndefined();
    expect(chosen(devices, { ...asked, topology: "numa", count: 3 })).toEqual([
      "GPU-1",
      "GPU-2",
      "GPU-3",
    ]);
    expect(chosen(devices, { ...asked, topology: "nvlink", count: 2 })).toBeUndefined();
    expect(chosen(devices, { count: 4, topology: "pcie" })).toHaveLength(4);
  });

  test("an asked topology comes before what slices are worth", () => {
    const devices = twoBoards("nvlink").map((d) =>
      d.index === 0 || d.index === 4 ? { ...d, freeMilli: 500 } : d,
    );
    const slices = { count: 2, milli: 500 };
    expect(chosen(devices, slices)).toEqual(["GPU-0", "GPU-4"]);
    expect(chosen(devices, { ...slices, topology: "nvlink" })).toEqual(["GPU-0", "GPU-1"]);
  });

  test("MIG devices are given by profile, cards never to who asks a profile", () => {
    const mig = (index: number, migProfile: string): DeviceFacts =>
      device(index, { uuid: `MIG-${index}`, migProfile });
    const devices = [mig(0, "1g.10gb"), mig(1, "2g.20gb"), mig(2, "1g.10gb"), device(3)];
    expect(chosen(devices, { migProfile: "1g.10gb", count: 2 })).toEqual(["MIG-0", "MIG-2"]);
    expect(chosen(devices, { migProfile: "1g.10gb", count: 3 })).toBeUndefined();
    expect(chosen(devices, {})).toEqual(["GPU-3"]);
  });

  test.each([Number.NaN, -1, 0, 0.5, 1e308, Number.POSITIVE_INFINITY])(
    "%s devices, or milli of one, is no request",
    (value) => {
      const devices = [device(0), device(1)];
      expect(chosen(devices, { count: value })).toBeUndefined();
      expect(reason(devices, { count: value })).toMatch(/^gpu/);
      if (value === 0.5) return;
      expect(chosen(devices, { milli: value })).toBeUndefined();
      expect(reason(devices, { milli: value })).toMatch(/^gpu/);
    },
  );
});

describe("the filter says what stands in the way", () => {
  const cards = [device(0), device(1, { freeMilli: 100 })];
  const migCard = [device(0, { uuid: "MIG-1", migProfile: "2g.20gb" })];
  test.each<[readonly DeviceFacts[], Partial<GpuRequest>, string | undefined]>([
    [cards, {}, undefined],
    [[], { count: 2 }, "gpu: asks 2, the node has none"],
    [cards, { count: 2 }, "gpu: asks 2, 1 free"],
    [cards, { count: 3 }, "gpu: asks 3, the node has 2"],
    [migCard, {}, "gpu: asks 1, the node's are in MIG mode: ask for nvidia.com/mig-2g.20gb"],
    [migCard, { migProfile: "1g.10gb" }, "gpu: asks MIG profile 1g.10gb, the node has 2g.20gb"],
    [cards, { migProfile: "1g.10gb" }, "gpu: asks MIG profile 1g.10gb, the node has no MIG device"],
    [
      cards,
      { models: ["H100", "H200"] },
      "gpu model: asks 1 of H100, H200; the node has NVIDIA A100-SXM4-80GB",
    ],
    [
      cards,
      { models: [] },
      "gpu model: the placements of fleet and component have no model in common",
    ],
    [
      cards,
      { memoryBytes: 96 * 2 ** 30 },
      "gpu memory: asks 1 with 96Gi each; the node's have at most 80Gi",
    ],
    [
      [device(0, { freeMilli: 200 }), device(1, { freeMilli: 100 })],
      { milli: 250 },
      "gpu: asks a slice of 250 milli, the emptiest device has 200 free",
    ],
    [cards, { milli: 250, count: 2 }, "gpu: asks slices of 250 milli on 2 devices, 1 have it free"],
    [
      twoBoards("pcie"),
      { count: 5, topology: "pcie", topologyRequired: true },
      "gpu topology: asks 5 within pcie, the closest free ones are system",
    ],
    [twoBoards("pcie"), { count: 5, topology: "pcie" }, undefined],
  ])("%#", (devices, over, expected) => {
    expect(reason(devices, over)).toBe(expected);
  });
});

const tier = fc.constantFrom(...GPU_TIERS);
const links = (size: number): fc.Arbitrary<readonly (readonly GpuTier[])[]> =>
  fc
    .array(tier, { minLength: size * size, maxLength: size * size })
    .map((flat) =>
      Array.from({ length: size }, (_, i) =>
        Array.from(
          { length: size },
          (_, j) => flat[Math.min(i, j) * size + Math.max(i, j)] ?? "system",
        ),
      ),
    );

/** Every set of `count` of these. */
function sets<T>(all: readonly T[], count: number): readonly (readonly T[])[] {
  if (count === 0) return [[]];
  return all.flatMap((first, i) => sets(all.slice(i + 1), count - 1).map((s) => [first, ...s]));
}

const rankOf = (devices: readonly DeviceFacts[]): number =>
  tierRank(farthestTier(devices) ?? "nvlink");

describe("properties", () => {
  test("up to eight devices no set is closer than the chosen one", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: EXHAUSTIVE_DEVICES_MAX }).chain(links),
        fc.integer({ min: 1, max: 8 }),
        (matrix, count) => {
          const devices = linkedDevices(matrix);
          const uuids = chosen(devices, { count });
          expect(uuids === undefined).toBe(count > devices.length);
          if (uuids === undefined) return;
          const best = Math.min(...sets(devices, count).map(rankOf));
          expect(rankOf(devices.filter((d) => uuids.includes(d.uuid)))).toBe(best);
        },
      ),
      { seed: 42, numRuns: 150 },
    );
  });

  test("beyond eight, the closest set is found where closeness is transitive", () => {
    // Each device sits on a socket, a switch of it, and a board of that.
    const places = fc.array(
      fc.record({
        socket: fc.integer({ min: 0, max: 1 }),
        bridge: fc.integer({ min: 0, max: 1 }),
        board: fc.integer({ min: 0, max: 1 }),
      }),
      { minLength: 9, maxLength: 12 },
    );
    fc.assert(
      fc.property(places, fc.integer({ min: 2, max: 5 }), (list, count) => {
        const devices = linkedDevices(
          list.map((a) =>
            list.map((b): GpuTier => {
              if (a.socket !== b.socket) return "system";
              if (a.bridge !== b.bridge) return "numa";
              return a.board === b.board ? "nvlink" : "pcie";
            }),
          ),
        );
        const uuids = chosen(devices, { count }) ?? [];
        const best = Math.min(...sets(devices, count).map(rankOf));
        expect(rankOf(devices.filter((d) => uuids.includes(d.uuid)))).toBe(best);
      }),
      { seed: 42, numRuns: 60 },
    );
  });

  const asked = fc.record({
    count: fc.integer({ min: 1, max: 4 }),
    milli: fc.constantFrom(1, 110, 250, 500, 810, 1000),
    mig: fc.boolean(),
    back: fc.integer({ min: 0, max: 3 }),
  });

  test("through any reserves and releases no slice is given twice and all comes back", () => {
    const start = [
      ...twoBoards("nvlink"),
      ...[8, 9].map((i) => device(i, { uuid: `MIG-${i}`, migProfile: "1g.10gb" })),
    ];
    fc.assert(
      fc.property(fc.array(asked, { maxLength: 60 }), (requests) => {
        let node = nodeWith(start);
        const held: (readonly DeviceShare[])[] = [];
        for (const { count, milli, mig, back } of requests) {
          if (back === 0 && held.length > 0)
            node = release(node, { amounts: NO_CAPACITY, ports: [], devices: held.shift() ?? [] });
          const gpu = gpuRequest(
            mig ? { count: Math.min(2, count), migProfile: "1g.10gb" } : { count, milli },
          );
          const uuids = chooseDevices(node, gpu);
          expect(uuids === undefined).toBe(
            gpuDevices({ gpu, amounts: NO_CAPACITY }, node) !== undefined,
          );
          if (uuids === undefined) continue;
          expect(new Set(uuids).size).toBe(gpu.count);
          const devices = uuids.map((uuid) => ({ uuid, milli: gpu.milli }));
          held.push(devices);
          node = reserve(node, { amounts: NO_CAPACITY, ports: [], devices });
          for (const d of node.devices) {
            const given = held.flat().filter((share) => share.uuid === d.uuid);
            const sum = given.reduce((milliSum, share) => milliSum + share.milli, 0);
            expect(sum).toBeLessThanOrEqual(1000);
            expect(d.freeMilli).toBe(1000 - sum);
          }
        }
        for (const devices of held)
          node = release(node, { amounts: NO_CAPACITY, ports: [], devices });
        expect(node.devices).toEqual(start);
      }),
      { seed: 42, numRuns: 200 },
    );
  });
});

function nodeWith(devices: readonly DeviceFacts[]): NodeFacts {
  return {
    name: "a",
    site: { name: "s", known: true, labels: {}, taints: [] },
    life: "ready",
    unschedulable: false,
    labels: {},
    taints: [],
    runtimes: ["process"],
    capacity: { ...NO_CAPACITY, gpuCount: devices.length },
    allocated: NO_CAPACITY,
    devices,
    instanceCount: 0,
    ports: new Set(),
  };
}
