import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { expect, test } from "vitest";
import { deviceTable } from "./device-table.ts";

const card = (index: number, more: object = {}) => ({
  uuid: `GPU-${index}`,
  index,
  vendor: "nvidia" as const,
  model: "NVIDIA A100",
  memoryBytes: 40 * 2 ** 30,
  ...more,
});

const holder = (kind: "Deployment" | "Job", phase: string, uuid: string, milli: number) =>
  ({
    spec: { desired: { kind }, devices: [{ uuid, milli }] },
    status: { reported: { phase } },
  }) as unknown as ObjectOf<"Assignment">;

test("each device is shown with what is free of it, and those that vanished with who looks for them", () => {
  const migDevices = [{ uuid: "MIG-1", profile: "1g.5gb", memoryBytes: 5 * 2 ** 30 }];
  const text = deviceTable(
    [
      card(0, {
        numaNode: 1,
        links: [
          { index: 1, tier: "nvlink" },
          { index: 2, tier: "nvlink" },
          { index: 3, tier: "numa" },
        ],
      }),
      card(1),
      card(2, { migEnabled: true, migDevices }),
    ],
    [
      holder("Deployment", "Running", "GPU-0", 250),
      holder("Deployment", "Running", "GPU-0", 500),
      holder("Job", "Succeeded", "GPU-1", 1000),
      holder("Deployment", "Running", "MIG-1", 1000),
      holder("Deployment", "Running", "GPU-9", 1000),
    ],
  );
  expect(text.split("\n").map((line) => line.trim().split(/\s{2,}/))).toEqual([
    [""],
    ["Devices:"],
    ["DEVICE", "MODEL", "MEMORY", "NUMA", "LINKS", "FREE MILLI"],
    ["GPU-0", "NVIDIA A100", "40Gi", "1", "nvlink 1,2; numa 3", "250"],
    ["GPU-1", "NVIDIA A100", "40Gi", "1000"],
    ["MIG-1", "NVIDIA A100 MIG 1g.5gb", "5Gi", "0"],
    ["GPU-9", "not reported any more", "-"],
    [""],
  ]);
  expect(deviceTable([], [])).toBe("");
});
