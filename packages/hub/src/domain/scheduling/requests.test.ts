import type { Placement } from "@flotilla/shared/model/resources/placement";
import type { Container } from "@flotilla/shared/model/workload";
import { describe, expect, test } from "vitest";
import { requestsOf } from "./requests.ts";

type Quantities = Readonly<Record<string, string | number>>;

const container = (name: string, requests: Quantities, limits?: Quantities): Container => ({
  name,
  command: ["/bin/true"],
  resources: { requests: { ...requests }, ...(limits === undefined ? {} : { limits }) },
});

const requested = (
  each: readonly Quantities[],
  ...placements: readonly Placement[]
): ReturnType<typeof requestsOf> =>
  requestsOf(
    each.map((r, i) => container(`c${i}`, r)),
    placements,
  );

const PLAIN = { memoryBytes: 0, topologyRequired: false };

describe("what an instance asks of accelerators", () => {
  test("nothing, when no container does", () => {
    const { gpu, amounts } = requested([{ cpu: "500m", memory: "1Gi" }]);
    expect(gpu).toBeUndefined();
    expect(amounts).toEqual({ milliCpu: 500, memoryBytes: 2 ** 30, diskBytes: 0, gpuCount: 0 });
    expect(requested([{ "nvidia.com/gpu": 0 }]).gpu).toBeUndefined();
  });

  test("whole cards, together over its containers; a limit counts where there is no request", () => {
    const { gpu, amounts, otherAmounts } = requestsOf(
      [container("a", { "nvidia.com/gpu": 1 }), container("b", {}, { "nvidia.com/gpu": "2" })],
      [],
    );
    expect(gpu).toEqual({ ...PLAIN, count: 3, milli: 1000 });
    expect(amounts.gpuCount).toBe(3);
    expect(otherAmounts).toEqual({});
  });

  test("a slice of one device, or of as many as stand beside it; whole cards are none of it", () => {
    const one = requested([{ "edge.kurator.dev/gpu-milli": 250 }]);
    expect(one.gpu).toEqual({ ...PLAIN, count: 1, milli: 250 });
    expect([one.amounts.gpuCount, one.otherAmounts]).toEqual([0, {}]);
    const four = requested([{ "edge.kurator.dev/gpu-milli": "500", "nvidia.com/gpu": 4 }]);
    expect(four.gpu).toEqual({ ...PLAIN, count: 4, milli: 500 });
    expect(four.amounts.gpuCount).toBe(0);
    const whole = requested([{ "edge.kurator.dev/gpu-milli": 1000 }]);
    expect([whole.gpu?.milli, whole.amounts.gpuCount]).toEqual([1000, 1]);
  });

  test("MIG devices by profile, as NVIDIA's device plugin names them", () => {
    const { gpu, amounts, otherAmounts } = requested([{ "nvidia.com/mig-1g.5gb": 2 }]);
    expect(gpu).toEqual({ ...PLAIN, count: 2, milli: 1000, migProfile: "1g.5gb" });
    expect([amounts.gpuCount, otherAmounts]).toEqual([0, {}]);
    expect(requested([{ "nvidia.com/mig-1g.10gb.me": 1 }]).gpu?.migProfile).toBe("1g.10gb.me");
  });

  test("what no node can serve together stays an amount that no node has", () => {
    expect(
      requested([{ "nvidia.com/mig-1g.5gb": 1 }, { "nvidia.com/mig-2g.10gb": 1 }]),
    ).toMatchObject({
      otherAmounts: { "nvidia.com/mig-1g.5gb": 1, "nvidia.com/mig-2g.10gb": 1 },
    });
    expect(requested([{ "nvidia.com/mig-1g.5gb": 1, "nvidia.com/gpu": 1 }])).toMatchObject({
      otherAmounts: { "nvidia.com/mig-1g.5gb": 1 },
    });
    expect(requested([{ "nvidia.com/mig-large": 1 }]).otherAmounts).toEqual({
      "nvidia.com/mig-large": 1,
    });
    expect(requested([{ "nvidia.com/gpu": "many" }]).gpu?.count).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("what all placements say of them holds together", () => {
    const { gpu } = requested(
      [{ "nvidia.com/gpu": 2 }],
      { gpu: { models: ["A100", "H100"], memory: "40Gi", topology: "numa" } },
      {
        gpu: {
          models: ["H100", "H200"],
          memory: "24Gi",
          topology: "nvlink",
          topologyRequired: true,
        },
      },
    );
    expect(gpu).toEqual({
      count: 2,
      milli: 1000,
      models: ["H100"],
      memoryBytes: 40 * 2 ** 30,
      topology: "nvlink",
      topologyRequired: true,
    });
    const apart = requested(
      [{ "nvidia.com/gpu": 1 }],
      { gpu: { models: ["A100"] } },
      { gpu: { models: ["H100"] } },
    );
    expect(apart.gpu?.models).toEqual([]);
  });
});
