import type { Gpu } from "@flotilla/shared/model/capacity";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DeviceClaims } from "./device-claims.ts";
import { devicesOf } from "./devices.ts";

const gpu = (index: number, over: Partial<Gpu> = {}): Gpu => ({
  uuid: `GPU-${index}`,
  index,
  vendor: "nvidia",
  model: "NVIDIA A100-SXM4-40GB",
  memoryBytes: 40 * 2 ** 30,
  ...over,
});

const NOTHING = new Map<string, string>();

describe("devices of a node", () => {
  test("a pair that is told once is linked on both sides; what is told twice counts as the farther", () => {
    const devices = devicesOf(
      [
        gpu(1),
        gpu(0, {
          numaNode: 1,
          links: [
            { index: 1, tier: "nvlink" },
            { index: 2, tier: "pcie" },
          ],
        }),
        gpu(2, {
          links: [
            { index: 0, tier: "numa" },
            { index: 2, tier: "nvlink" },
            { index: 9, tier: "nvlink" },
          ],
        }),
      ],
      NOTHING,
    );
    expect(devices.map((d) => [d.uuid, d.index, Object.fromEntries(d.links)])).toEqual([
      ["GPU-0", 0, { "GPU-1": "nvlink", "GPU-2": "numa" }],
      ["GPU-1", 1, { "GPU-0": "nvlink" }],
      ["GPU-2", 2, { "GPU-0": "numa" }],
    ]);
    expect(devices[0]).toMatchObject({ freeMilli: 1000, numaNode: 1, memoryBytes: 40 * 2 ** 30 });
  });

  test("a card in MIG mode is its MIG devices, or nothing when it has none", () => {
    const migDevices = [
      { uuid: "MIG-1", profile: "1g.5gb+me", memoryBytes: 5 * 2 ** 30 },
      { uuid: "MIG-2", profile: "2g.10gb" },
    ];
    const devices = devicesOf(
      [
        gpu(0, { migEnabled: true, migDevices }),
        gpu(1, { migEnabled: true }),
        gpu(2, { migEnabled: false }),
      ],
      NOTHING,
    );
    expect(devices.map((d) => [d.uuid, d.index, d.migProfile, d.memoryBytes])).toEqual([
      ["MIG-1", 0, "1g.5gb.me", 5 * 2 ** 30],
      ["MIG-2", 1, "2g.10gb", 0],
      ["GPU-2", 2, undefined, 40 * 2 ** 30],
    ]);
  });

  test("one uuid is one device, and what is withheld is none", () => {
    const twins = [gpu(0), gpu(1, { uuid: "GPU-0" }), gpu(2)];
    expect(devicesOf(twins, NOTHING).map((d) => d.uuid)).toEqual(["GPU-0", "GPU-2"]);
    expect(devicesOf(twins, new Map([["GPU-0", "other"]])).map((d) => d.uuid)).toEqual(["GPU-2"]);
  });
});

const none = (): boolean => false;
const claim = (node: string, createdAt: string, ...uuids: string[]) => ({ node, createdAt, uuids });

describe("a device that two nodes report", () => {
  test("belongs to the node that was enrolled first, until that one says it no more", () => {
    const claims = new DeviceClaims();
    expect(claims.put(claim("young", "2026-02-01", "GPU-1", "GPU-2"))).toEqual([]);
    expect(claims.put(claim("old", "2026-01-01", "GPU-1"))).toEqual(["young"]);
    expect([...claims.withheldFrom("young", none)]).toEqual([["GPU-1", "old"]]);
    expect([...claims.withheldFrom("old", none)]).toEqual([]);
    expect(claims.put(claim("old", "2026-01-01"))).toEqual(["young"]);
    expect([...claims.withheldFrom("young", none)]).toEqual([]);
    claims.put(claim("old", "2026-01-01", "GPU-2"));
    expect(claims.drop("old")).toEqual(["young"]);
    expect([...claims.withheldFrom("young", none)]).toEqual([]);
  });

  test("is given to nobody anew while the younger one has it in use", () => {
    const claims = new DeviceClaims();
    claims.put(claim("old", "2026-01-01", "GPU-1"));
    claims.put(claim("young", "2026-02-01", "GPU-1"));
    const inUse = (node: string): boolean => node === "young";
    expect([...claims.withheldFrom("old", inUse)]).toEqual([["GPU-1", "young"]]);
    expect([...claims.withheldFrom("young", inUse)]).toEqual([["GPU-1", "old"]]);
  });

  test("whatever nodes come, go and use, it is never open on two of them, nor on one while another uses it", () => {
    const step = fc.record({
      node: fc.constantFrom("a", "b", "c"),
      uuids: fc.uniqueArray(fc.constantFrom("GPU-1", "GPU-2", "GPU-3"), { maxLength: 3 }),
      kind: fc.constantFrom("report" as const, "report" as const, "drop" as const, "end" as const),
    });
    const createdAt = { a: "2026-01-02", b: "2026-01-02", c: "2026-01-01" } as const;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const claims = new DeviceClaims();
        const reports = new Map<string, readonly string[]>();
        const held = new Map<string, Set<string>>();
        const isInUse = (node: string, uuid: string): boolean => held.get(node)?.has(uuid) === true;
        for (const { node, uuids, kind } of steps) {
          if (kind === "end") held.delete(node);
          else if (kind === "drop") claims.drop(node);
          else claims.put(claim(node, createdAt[node as "a"], ...uuids));
          if (kind !== "end") reports.set(node, kind === "drop" ? [] : uuids);
          for (const uuid of ["GPU-1", "GPU-2", "GPU-3"]) {
            const reporters = [...reports.keys()].filter((n) => reports.get(n)?.includes(uuid));
            const open = reporters.filter((n) => !claims.withheldFrom(n, isInUse).has(uuid));
            expect(open.length).toBeLessThanOrEqual(1);
            for (const taker of open) {
              expect(reporters.filter((n) => n !== taker && isInUse(n, uuid))).toEqual([]);
              held.set(taker, (held.get(taker) ?? new Set()).add(uuid));
            }
          }
        }
      }),
      { seed: 42, numRuns: 300 },
    );
  });
});
