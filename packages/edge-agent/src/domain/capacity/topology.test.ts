import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Gpu, type GpuTier } from "@flotilla/shared/model/capacity";
import fc from "fast-check";
import { Compile } from "typebox/compile";
import { describe, expect, test } from "vitest";
import { parseCsv, toGpus } from "./nvidia.ts";
import { parseTopology } from "./topology.ts";

const FIXTURES = join(import.meta.dirname, "../../../test/fixtures/gpu");
const matrix = (name: string): string => readFileSync(join(FIXTURES, `${name}.txt`), "utf8");

/** `0-1 nvlink` … of every pair that is closer than `system`. */
const pairs = (text: string): readonly string[] =>
  [...parseTopology(text)].flatMap(([card, { links }]) =>
    (links ?? []).map(({ index, tier }) => `${card}-${index} ${tier}`),
  );

const numaNodes = (text: string): readonly (number | undefined)[] =>
  [...parseTopology(text).values()].map((card) => card.numaNode);

const allPairs = (count: number, tier: GpuTier): readonly string[] =>
  Array.from({ length: count }, (_, a) =>
    Array.from({ length: count }, (_, b) => (a < b ? [`${a}-${b} ${tier}`] : [])).flat(),
  ).flat();

describe("the matrix of nvidia-smi", () => {
  test("NVSwitch: every pair is linked; network cards are passed over", () => {
    expect(pairs(matrix("topology-8-nvswitch"))).toEqual(allPairs(8, "nvlink"));
    expect(numaNodes(matrix("topology-8-nvswitch"))).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  });

  test("PCIe behind two sockets: PHB and NODE are within a NUMA node, SYS is not told", () => {
    const text = matrix("topology-8-pcie-2-sockets");
    expect(pairs(text)).toEqual([...allPairs(6, "numa"), "6-7 numa"]);
    expect(numaNodes(text)).toEqual([0, 0, 0, 0, 0, 0, 1, 1]);
  });

  test("NVLinks of different width are one tier; an old driver tells no NUMA node", () => {
    expect(pairs(matrix("topology-4-nvlink"))).toEqual(allPairs(4, "nvlink"));
    expect(numaNodes(matrix("topology-4-nvlink"))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(pairs(matrix("topology-2-nvlink-pairs"))).toEqual(["0-1 nvlink", "2-3 nvlink"]);
  });

  test("a PCIe switch is closer than a host bridge; columns may stand apart by spaces", () => {
    const text = matrix("topology-8-pcie-switches");
    expect(pairs(text).filter((p) => p.endsWith("pcie"))).toEqual(
      ["0-1", "2-3", "4-5", "6-7"].map((p) => `${p} pcie`),
    );
    expect(pairs(text).filter((p) => p.endsWith("numa"))).toHaveLength(8);
    expect(pairs(matrix("topology-2-desktop"))).toEqual(["0-1 numa"]);
    expect(numaNodes(matrix("topology-2-desktop"))).toEqual([undefined, undefined]);
  });

  test("halves that differ count as the farther, affinity to two nodes as none", () => {
    const text =
      "\tGPU0\tGPU1\tCPU Affinity\tNUMA Affinity\nGPU0\t X \tNV2\t0-3\t0-1\nGPU1\tPIX\t X \t0-3\t1\n";
    expect(pairs(text)).toEqual(["0-1 pcie"]);
    expect(numaNodes(text)).toEqual([undefined, 1]);
  });

  test("one card, no text and an error of the tool have no pairs", () => {
    expect(pairs("\tGPU0\tCPU Affinity\tNUMA Affinity\nGPU0\t X \t0-11\tN/A\n")).toEqual([]);
    expect(pairs("")).toEqual([]);
    expect(pairs("Failed to run topology matrix: Not Supported\n")).toEqual([]);
    expect(pairs("GPU0\tX\tNV1\nGPU1\tNV1\tX\n")).toEqual([]);
  });

  test("whatever it reads gives a valid card", () => {
    const word = fc.constantFrom(
      "GPU0",
      "GPU1",
      "GPU99999",
      "X",
      "NV1",
      "SYS",
      "PIX",
      "CPU",
      "Affinity",
      "NUMA",
      "\t",
      "\n",
      "0",
      "N/A",
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(word, { maxLength: 60 }).map((w) => w.join("\t")),
    );
    const check = Compile(Gpu);
    fc.assert(
      fc.property(text, (topology) => {
        const rows = parseCsv("index, uuid, name\n0, GPU-a, NVIDIA X\n1, GPU-b, NVIDIA X\n");
        for (const gpu of toGpus(rows, { list: "", topology })) expect(check.Check(gpu)).toBe(true);
      }),
      { seed: 42 },
    );
  });
});

test("cards carry their links and NUMA node", () => {
  const rows = parseCsv(
    "index, uuid, name, memory.total [MiB]\n0, GPU-a, NVIDIA X, 10 MiB\n1, GPU-b, NVIDIA X, 10 MiB\n",
  );
  const topology =
    "\tGPU0\tGPU1\tCPU Affinity\tNUMA Affinity\nGPU0\t X \tNV4\t0-3\t0\nGPU1\tNV4\t X \t4-7\t1\n";
  expect(toGpus(rows, { list: "", topology })).toMatchObject([
    { uuid: "GPU-a", numaNode: 0, links: [{ index: 1, tier: "nvlink" }] },
    { uuid: "GPU-b", numaNode: 1 },
  ]);
});
