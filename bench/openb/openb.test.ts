import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FgdNode, fgdScore, fragmentation, type TypicalPod, typicalPods } from "./fgd.ts";
import { fleetOf } from "./fleet.ts";
import { knowledgeOf, POLICIES, type Policy, type Profile, placerOf } from "./policies.ts";
import { compare, findPublished } from "./published.ts";
import { type Replay, replay } from "./replay.ts";
import { placementsText } from "./report.ts";
import { type Arrivals, readArrivals, readNodes, readPods, type TracePod } from "./trace.ts";

let folder = "";
const file = (name: string): string => join(folder, name);

/** A small trace of the same kinds as the public one: 40 nodes, 300 pods, arrivals of well over the fleet's GPUs. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "openb-"));
  const random = new SeededRandom(5);
  const pick = (values: readonly string[]): string =>
    values[Math.floor(random.unit("pick") * values.length)] ?? "";
  const nodes = Array.from({ length: 40 }, (_, i) => {
    const [gpus, cores = "0", model] = pick([
      "8 96 G2",
      "2 104 T4",
      "2 16 P100",
      "4 32 V100",
    ]).split(" ");
    const memoryMib = Number(cores) * 4_096;
    return `node-${String(40 - i).padStart(2, "0")},${cores}000,${memoryMib},${gpus},${model}`;
  });
  const pods = Array.from({ length: 300 }, (_, i) => {
    const asked = pick(["1,1000", "1,1000", "1,810", "1,470", "1,230", "2,1000", "0,0"]);
    const spec = random.unit("spec") < 0.1 ? "T4|P100" : "";
    const cores = 1 + Math.floor(random.unit("cores") * 12);
    return `pod-${String(i).padStart(3, "0")},${cores * 1_000},${cores * 1_024},${asked},${spec}`;
  });
  writeFileSync(file("nodes.csv"), `sn,cpu_milli,memory_mib,gpu,model\n${nodes.join("\n")}\n`);
  writeFileSync(
    file("pods.csv"),
    `name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n${pods.join("\n")}\n`,
  );
  const ranks = Array.from({ length: 40 }, (_, i) => (i * 7) % 40);
  const arrivals = Array.from({ length: 400 }, () => Math.floor(random.unit("pod") * 300));
  writeArrivals("trace_42.u16.gz", [arrivals.length, ...arrivals, ...ranks]);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function writeArrivals(name: string, numbers: readonly number[]): void {
  const bytes = Buffer.alloc(numbers.length * 2);
  for (const [i, n] of numbers.entries()) bytes.writeUInt16LE(n, i * 2);
  writeFileSync(file(name), gzipSync(bytes));
}

function played(policy: Policy, profile: Profile = "gpu"): Replay {
  const [nodes, pods] = [readNodes(file("nodes.csv")), readPods(file("pods.csv"))];
  const arrivals = readArrivals(file("trace_42.u16.gz"), { nodes: 40, pods: 300 });
  const fleet = fleetOf(nodes, pods, arrivals.ranks);
  const placer = placerOf(policy, profile, knowledgeOf(pods), fleet);
  return replay(arrivals, fleet, { pods, placer });
}

describe("a replay", () => {
  test.each<[Policy, Profile]>([
    ...POLICIES.map((policy): [Policy, Profile] => [policy, "gpu"]),
    ["flotilla", "article"],
  ])(
    "of %s (%s) places nothing that does not fit, by the placements it writes",
    (policy, profile) => {
      const { placements, finalPercent, ...rest } = played(policy, profile);
      const pods = readPods(file("pods.csv"));
      const [head, ...lines] = placementsText({ placements, finalPercent, ...rest }, pods)
        .trimEnd()
        .split("\n");
      expect([head, lines.length]).toEqual(["arrival,pod,node,gpus", 400]);
      const free = new Map(
        readNodes(file("nodes.csv")).map((n) => [
          n.name,
          { ...n, gpus: Array.from({ length: n.gpuCount }, () => 1_000) },
        ]),
      );
      let used = 0;
      for (const line of lines) {
        const [, name, on, gpus = ""] = line.split(",");
        const [pod, node] = [pods.find((p) => p.name === name), free.get(on ?? "")];
        if (pod === undefined || node === undefined) continue;
        const devices = gpus === "" ? [] : gpus.split("+").map(Number);
        expect(new Set(devices).size).toBe(pod.gpuCount);
        expect(pod.models.length === 0 || pod.models.includes(node.model)).toBe(true);
        const left = {
          milliCpu: node.milliCpu - pod.milliCpu,
          memoryMib: node.memoryMib - pod.memoryMib,
        };
        for (const device of devices)
          node.gpus[device] = (node.gpus[device] ?? Number.NaN) - pod.gpuMilli;
        expect(Math.min(left.milliCpu, left.memoryMib, ...node.gpus)).toBeGreaterThanOrEqual(0);
        free.set(node.name, { ...node, ...left });
        used += pod.gpuCount * pod.gpuMilli;
      }
      const total = [...free.values()].reduce((sum, n) => sum + n.gpuCount * 1_000, 0);
      expect(finalPercent).toBeCloseTo((used / total) * 100, 9);
    },
  );

  test("is the same each time", () => {
    const { cpuSeconds: _a, ...first } = played("flotilla");
    const { cpuSeconds: _b, ...second } = played("flotilla");
    expect(second).toEqual(first);
  });

  test("is compared with the published curve beside the pods, column by column", () => {
    const mine = played("fgd");
    const columns = mine.curve.map((_, i) => i);
    const row = mine.curve.map((v) => (Number.isNaN(v) ? 0 : v).toFixed(2));
    writeFileSync(
      file("published_allocation.csv"),
      `workload,sc_policy,tune,seed,total_gpus,${columns.join()}\ntrace,06-FGD,1.3,42,99,${row.join()}\n`,
    );
    const published = findPublished([file("pods.csv")]);
    const whole = { ...mine, curve: mine.curve.map((v) => (Number.isNaN(v) ? 0 : v)) };
    expect(compare("fgd", whole, published)?.equal).toBe(true);
    const moved = { ...whole, curve: whole.curve.with(50, (whole.curve[50] ?? 0) + 0.02) };
    expect(compare("fgd", moved, published)?.equal).toBe(false);
    expect(compare("flotilla", whole, published)).toBeUndefined();
  });
});

describe("files that do not belong together", () => {
  test("are told apart by their numbers", () => {
    writeArrivals("short.u16.gz", [3, 0, 1]);
    expect(() => readArrivals(file("short.u16.gz"), { nodes: 2, pods: 2 })).toThrow(
      "belong together",
    );
    writeArrivals("foreign.u16.gz", [1, 9, 0, 1]);
    expect(() => readArrivals(file("foreign.u16.gz"), { nodes: 2, pods: 2 })).toThrow(
      "does not have",
    );
    writeArrivals("ranks.u16.gz", [1, 0, 1, 1]);
    expect(() => readArrivals(file("ranks.u16.gz"), { nodes: 2, pods: 2 })).toThrow("no order");
  });

  test("and columns that are missing or no numbers are named", () => {
    writeFileSync(file("bad.csv"), "sn,cpu_milli,memory_mib,model\na,1,1,x\n");
    expect(() => readNodes(file("bad.csv"))).toThrow("no column gpu");
    writeFileSync(file("bad.csv"), "sn,cpu_milli,memory_mib,gpu,model\na,-1,1,1,x\n");
    expect(() => readNodes(file("bad.csv"))).toThrow('cpu_milli is "-1"');
  });

  test("traces without gpu_spec allow any model", () => {
    mkdirSync(file("old"), { recursive: true });
    writeFileSync(
      file("old/pods.csv"),
      "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,0,500\n",
    );
    expect(readPods(file("old/pods.csv"))).toEqual([
      { name: "p", milliCpu: 1, memoryMib: 1, gpuCount: 0, gpuMilli: 0, models: [] },
    ]);
    expect(readFileSync(file("old/pods.csv"), "utf8")).not.toContain("gpu_spec");
  });
});

describe("FGD", () => {
  const pod = (over: Partial<TracePod>): TracePod => ({
    name: "p",
    milliCpu: 1_000,
    memoryMib: 1,
    gpuCount: 1,
    gpuMilli: 1_000,
    models: [],
    ...over,
  });
  const node = (over: Partial<FgdNode> = {}): FgdNode => ({
    milliCpuFree: 8_000,
    gpuFree: [1_000, 300],
    model: "T4",
    ...over,
  });
  const only = (over: Partial<TypicalPod>): readonly TypicalPod[] => [
    { milliCpu: 1_000, gpuCount: 1, gpuMilli: 500, gpuSpec: "", share: 1, ...over },
  ];

  test.each<[string, number, Partial<TypicalPod>, Partial<FgdNode>]>([
    ["only the pieces that are too small, where it fits", 300, {}, {}],
    ["all that is idle, where GPUs lack", 1_300, { gpuCount: 2 }, {}],
    ["all that is idle, where CPU lacks", 1_300, { milliCpu: 9_000 }, {}],
    ["all that is idle, for pods without GPUs", 1_300, { gpuCount: 0, gpuMilli: 0 }, {}],
    ["all that is idle, of another model", 1_300, { gpuSpec: "V100|P100" }, {}],
    ["nothing of a node that is full", 0, {}, { gpuFree: [0, 0] }],
  ])("counts %s", (_, expected, typical, of) => {
    expect(fragmentation(node(of), only(typical))).toBe(expected);
  });

  test("cuts the score to whole numbers, which decides ties: no change is 50, the slightest rise 49", () => {
    expect([fgdScore(100, 100), fgdScore(100, 100 + 1e-10), fgdScore(1_300, 300)]).toEqual([
      50, 49, 73,
    ]);
  });

  test("takes the most frequent kinds until they cover 95 %, of equally frequent ones the greater first", () => {
    const pods = [
      ...Array.from({ length: 90 }, () => pod({})),
      ...Array.from({ length: 4 }, () => pod({ milliCpu: 2_000 })),
      ...Array.from({ length: 4 }, () => pod({ milliCpu: 3_000 })),
      ...Array.from({ length: 2 }, () => pod({ gpuCount: 0, gpuMilli: 0 })),
    ];
    expect(typicalPods(pods).map((t) => [t.milliCpu, t.share.toFixed(4)])).toEqual([
      [1_000, (90 / 98).toFixed(4)],
      [3_000, (4 / 98).toFixed(4)],
      [2_000, (4 / 98).toFixed(4)],
    ]);
  });
});

test("arrivals keep their order and their name", () => {
  const { pods, name }: Arrivals = readArrivals(file("trace_42.u16.gz"), { nodes: 40, pods: 300 });
  expect([pods.length, name]).toEqual([400, "trace_42"]);
});
