import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CapacityReading, Inventory } from "@flotilla/shared/model/capacity";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { Compile } from "typebox/compile";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MachineProbe } from "../src/adapters/probes/machine-probe.ts";
import { NvidiaSmi } from "../src/adapters/probes/nvidia-smi.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "flotilla-capacity-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const MIG = join(import.meta.dirname, "fixtures/gpu/nvidia-h100-mig__590.48.01");

/** A stand-in for the vendor's tool that answers with what a real card answered. */
function fakeNvidiaSmi(): string {
  const path = join(root, "nvidia-smi");
  const csv = readFileSync(join(MIG, "load.csv"), "utf8");
  const names = (csv.split("\n")[0] ?? "").split(",").map((c) => c.replace(/\[.*\]/, "").trim());
  const help = names.map((name) => `"${name}"\nText.\n`).join("\n");
  writeFileSync(
    path,
    `#!${process.execPath}
const [arg] = process.argv.slice(2);
if (arg === "-L") process.stdout.write(${JSON.stringify(readFileSync(join(MIG, "list.txt"), "utf8"))});
else if (arg === "--help-query-gpu") process.stdout.write(${JSON.stringify(help)});
else {
  const asked = arg.slice("--query-gpu=".length).split(",");
  const [header, row] = ${JSON.stringify(csv)}.split("\\n").map((l) => l.split(",").map((c) => c.trim()));
  const at = asked.map((name) => header.findIndex((h) => h.replace(/\\[.*\\]/, "").trim() === name));
  if (at.includes(-1)) { process.stdout.write('Field "x" is not a valid field to query.\\n'); process.exit(2); }
  process.stdout.write(at.map((i) => header[i]).join(", ") + "\\n" + at.map((i) => row[i]).join(", ") + "\\n");
}
`,
  );
  chmodSync(path, 0o755);
  return path;
}

function probe(options: { readonly nvidiaPaths: readonly string[]; readonly root?: string }): {
  probe: MachineProbe;
  log: RecordingLog;
  clock: ManualClock;
} {
  const log = new RecordingLog();
  const clock = new ManualClock();
  const nvidia = new NvidiaSmi({ paths: options.nvidiaPaths }, { log });
  return {
    log,
    clock,
    probe: new MachineProbe(
      {
        diskPath: root,
        runtimes: ["process"],
        ...(options.root === undefined ? {} : { root: options.root }),
      },
      { clock, log, nvidia },
    ),
  };
}

test("this machine's inventory and reading are valid and plausible", async () => {
  const { probe: machine } = probe({ nvidiaPaths: [] });
  const inventory = await machine.inventory();
  const reading = await machine.read();
  expect(Compile(Inventory).Errors(inventory)).toEqual([]);
  expect(Compile(CapacityReading).Errors(reading)).toEqual([]);
  expect(reading.capacity.milliCpu).toBeGreaterThan(0);
  expect(reading.capacity.memoryBytes).toBeGreaterThan(2 ** 27);
  expect(reading.usage.memoryUsedBytes).toBeLessThan(reading.capacity.memoryBytes);
  expect(inventory.gpus).toEqual([]);
});

test("GPUs and MIG devices come from the vendor's tool", async () => {
  const { probe: machine } = probe({ nvidiaPaths: [fakeNvidiaSmi()] });
  const inventory = await machine.inventory();
  expect(inventory.gpus.map((g) => [g.model, g.migDevices?.length])).toEqual([
    ["NVIDIA H100 80GB HBM3", 4],
  ]);
  const reading = await machine.read();
  expect(reading.capacity.gpuCount).toBe(1);
  expect(reading.usage.gpus?.[0]?.temperatureCelsius).toBeGreaterThan(20);
});

/** A stand-in for the tool that answers from files of this folder, so that a test can change the machine under it. */
function machineOf(cards: readonly (readonly [uuid: string, mig: string])[], list = ""): string {
  const path = join(root, "nvidia-smi");
  const csv = cards.map(([uuid, mig], i) => `${i}, ${uuid}, NVIDIA X, ${mig}, 1024 MiB`).join("\n");
  writeFileSync(
    join(root, "csv"),
    `index, uuid, name, mig.mode.current, memory.total [MiB]\n${csv}\n`,
  );
  writeFileSync(join(root, "list"), list);
  writeFileSync(
    path,
    `#!${process.execPath}
const { readFileSync, existsSync } = require("node:fs");
const args = process.argv.slice(2).join(" ");
const say = (name) => process.stdout.write(readFileSync(${JSON.stringify(root)} + "/" + name, "utf8"));
if (existsSync(${JSON.stringify(join(root, "broken"))})) process.exit(9);
if (args === "-L") say("list");
else if (args === "topo -m") process.stdout.write("\\tGPU0\\tGPU1\\tCPU Affinity\\nGPU0\\t X \\tNV4\\t0\\nGPU1\\tNV4\\t X \\t0\\n");
else if (args === "--help-query-gpu") process.exit(2);
else if (args.startsWith("--query-gpu=")) say("csv");
else process.exit(3);
`,
  );
  chmodSync(path, 0o755);
  return path;
}

test("cards that come, go or are cut up are told with the next reading, and what stays is not", async () => {
  const path = machineOf([
    ["GPU-a", "Disabled"],
    ["GPU-b", "Disabled"],
  ]);
  const { probe: machine } = probe({ nvidiaPaths: [path] });
  const { gpus } = await machine.inventory();
  expect(gpus.map((g) => [g.uuid, g.links])).toEqual([
    ["GPU-a", [{ index: 1, tier: "nvlink" }]],
    ["GPU-b", undefined],
  ]);
  expect(await machine.read()).not.toHaveProperty("gpus");
  machineOf([["GPU-a", "Disabled"]]);
  const lost = await machine.read();
  expect(lost.gpus?.map((g) => g.uuid)).toEqual(["GPU-a"]);
  expect(lost.capacity.gpuCount).toBe(1);
  const mig = "GPU 0: NVIDIA X (UUID: GPU-a)\n  MIG 1g.10gb     Device  0: (UUID: MIG-1)\n";
  machineOf([["GPU-a", "Enabled"]], mig);
  expect((await machine.read()).gpus?.[0]?.migDevices?.map((d) => d.uuid)).toEqual(["MIG-1"]);
  machineOf([["GPU-a", "Enabled"]], mig.replace("MIG-1", "MIG-2"));
  const cut = await machine.read();
  expect(cut.gpus?.[0]?.migDevices?.map((d) => d.uuid)).toEqual(["MIG-2"]);
  expect(Compile(CapacityReading).Errors(cut)).toEqual([]);
  // A driver that does not answer has not lost its cards.
  writeFileSync(join(root, "broken"), "");
  expect((await machine.read()).gpus).toEqual(cut.gpus);
});

test("cards of a driver that comes up after the agent are told when they are there", async () => {
  const path = machineOf([["GPU-a", "Disabled"]]);
  writeFileSync(join(root, "broken"), "");
  const { probe: machine } = probe({ nvidiaPaths: [path] });
  expect((await machine.inventory()).gpus).toEqual([]);
  expect((await machine.read()).capacity.gpuCount).toBe(0);
  rmSync(join(root, "broken"));
  const reading = await machine.read();
  expect([reading.capacity.gpuCount, reading.gpus?.map((g) => g.uuid)]).toEqual([1, ["GPU-a"]]);
});

test("a tool that fails is said once, and everything else is still read", async () => {
  const broken = join(root, "nvidia-smi");
  writeFileSync(broken, `#!${process.execPath}\nprocess.exit(9);\n`);
  chmodSync(broken, 0o755);
  const { probe: machine, log } = probe({ nvidiaPaths: [broken] });
  expect((await machine.inventory()).gpus).toEqual([]);
  await machine.read();
  await machine.read();
  expect(log.lines.filter((line) => line.message.startsWith("nvidia-smi failed"))).toHaveLength(1);
});

test("a machine that tells nothing gives a reading of zeros, not an exception", async () => {
  const { probe: machine } = probe({ nvidiaPaths: [], root: join(root, "empty") });
  const reading = await machine.read();
  expect(Compile(CapacityReading).Check(reading)).toBe(true);
  expect(reading.capacity.memoryBytes).toBe(0);
});

test("network rates are over the time between two readings", async () => {
  const fake = join(root, "fs");
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(fake, path)), { recursive: true });
    writeFileSync(join(fake, path), text);
  };
  const eth0 = (received: number): string =>
    `a\nb\n eth0: ${received} 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0\n`;
  write("proc/net/dev", eth0(1000));
  const { probe: machine, clock } = probe({ nvidiaPaths: [], root: fake });
  expect((await machine.read()).usage).not.toHaveProperty("networkReceiveBytesPerSecond");
  await clock.advance(10_000);
  write("proc/net/dev", eth0(51_000));
  expect((await machine.read()).usage.networkReceiveBytesPerSecond).toBe(5000);
});
