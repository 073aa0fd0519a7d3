import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Gpu, GpuUsage } from "@flotilla/shared/model/capacity";
import fc from "fast-check";
import { Compile } from "typebox/compile";
import { expect, test } from "vitest";
import {
  columnsToAsk,
  parseCsv,
  parseOfferedColumns,
  toGpus,
  toGpuUsage,
  WANTED_COLUMNS,
} from "./nvidia.ts";

const FIXTURES = join(import.meta.dirname, "../../../test/fixtures/gpu");
const cards = readdirSync(FIXTURES).filter((name) => name.startsWith("nvidia-"));
const NO_TEXTS = { list: "", topology: "" };
const read = (card: string, file: string): string =>
  readFileSync(join(FIXTURES, card, file), "utf8");

test.each(cards)(
  "%s is told with model, memory and driver, and what it does not tell is absent",
  (card) => {
    const [gpu] = toGpus(parseCsv(read(card, "load.csv")), {
      list: read(card, "list.txt"),
      topology: "",
    });
    const [usage] = toGpuUsage(parseCsv(read(card, "load.csv")));
    expect(Compile(Gpu).Check(gpu)).toBe(true);
    expect(Compile(GpuUsage).Check(usage)).toBe(true);
    expect(gpu?.model).toMatch(/^NVIDIA /);
    expect(gpu?.driverVersion).toBe(card.split("__")[1]);
    expect(usage?.temperatureCelsius).toBeGreaterThan(20);
  },
);

test("the cards' memory is what the vendor says", () => {
  const memoryMiB = (card: string): number =>
    (toGpus(parseCsv(read(card, "idle.csv")), NO_TEXTS)[0]?.memoryBytes ?? 0) / 2 ** 20;
  expect(memoryMiB("nvidia-h100-80gb-hbm3__590.48.01")).toBe(81_559);
  expect(memoryMiB("nvidia-geforce-rtx-2080-super__595.71.05")).toBe(8192);
});

test("MIG devices are listed by uuid with their profile's memory, and a MIG card tells no utilisation", () => {
  const card = "nvidia-h100-mig__590.48.01";
  const [gpu] = toGpus(parseCsv(read(card, "load.csv")), {
    list: read(card, "list.txt"),
    topology: "",
  });
  expect(gpu?.migEnabled).toBe(true);
  expect(gpu?.migDevices?.map((d) => [d.profile, (d.memoryBytes ?? 0) / 2 ** 30])).toEqual([
    ["3g.40gb", 40],
    ["2g.20gb", 20],
    ["1g.10gb", 10],
    ["1g.10gb", 10],
  ]);
  expect(new Set(gpu?.migDevices?.map((d) => d.uuid)).size).toBe(4);
  expect(toGpuUsage(parseCsv(read(card, "load.csv")))[0]).not.toHaveProperty("utilizationRatio");
});

test("columns are found by name wherever the driver puts them", () => {
  const rows = parseCsv(
    "utilization.gpu [%], uuid, extra.column, name\n55 %, GPU-1, [N/A], NVIDIA X\n",
  );
  expect(toGpuUsage(rows)).toEqual([{ uuid: "GPU-1", utilizationRatio: 0.55 }]);
});

test("only columns that the driver offers are asked for; without its help all are tried", () => {
  const help =
    'List of valid properties\n\n"uuid" or "gpu_uuid"\nGlobally unique.\n\n"name" or "gpu_name"\nThe "index" in a sentence is no column.\n';
  expect(columnsToAsk(parseOfferedColumns(help))).toEqual(["uuid", "name"]);
  expect(columnsToAsk(parseOfferedColumns(""))).toEqual(WANTED_COLUMNS);
});

test("garbage from the tool gives no card and no exception", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (csv, list) => {
      const rows = parseCsv(`uuid, name, ${csv}\n${csv}`);
      expect(
        toGpus(rows, { list, topology: list }).every((g) => Number.isFinite(g.memoryBytes)),
      ).toBe(true);
      expect(Array.isArray(toGpuUsage(rows))).toBe(true);
    }),
    { seed: 42 },
  );
});
