import type { CapacityReading, Inventory } from "@flotilla/shared/model/capacity";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { OutboxDraft } from "../state/ports.ts";
import { CAPACITY_INTERVAL_MS, CapacityCollector } from "./capacity-collector.ts";

const INVENTORY: Inventory = {
  architecture: "arm64",
  operatingSystem: "Linux",
  kernelVersion: "6",
  cpuModel: "",
  manufacturer: "",
  machineModel: "",
  runtimes: ["process"],
  gpus: [],
};

let stop: AbortController;
beforeEach(() => {
  stop = new AbortController();
});
afterEach(() => stop.abort());

test("without a session nothing is written, however the load moves, and with one the next reading is", async () => {
  const clock = new ManualClock();
  const queued: OutboxDraft[] = [];
  let hasSession = false;
  let reads = 0;
  const reading = (): CapacityReading => ({
    capacity: { milliCpu: 1_000, memoryBytes: 2 ** 30, diskBytes: 2 ** 30, gpuCount: 0 },
    usage: { cpuRatio: reads++ % 2, memoryUsedBytes: 0, diskUsedBytes: 0 },
  });
  const collector = new CapacityCollector(
    {},
    {
      probe: {
        inventory: () => Promise.resolve(INVENTORY),
        read: () => Promise.resolve(reading()),
      },
      store: { enqueue: (draft) => void queued.push(draft) },
      clock,
      log: silentLog(),
      metrics: new RecordingMetrics(),
      hasSession: () => hasSession,
      onReport: () => undefined,
    },
  );
  await collector.prepare();
  void collector.run(stop.signal);
  for (let pass = 0; pass < 400; pass++) await clock.advance(CAPACITY_INTERVAL_MS);
  expect(queued).toEqual([]);
  // A session begins with a birth, which counts as sent.
  expect(collector.birthFacts()?.reading.usage.cpuRatio).toBe((reads - 1) % 2);
  hasSession = true;
  await clock.advance(CAPACITY_INTERVAL_MS);
  expect(queued).toHaveLength(1);
});

test("cards that are others than at the start go with the next report, and with every birth after it", async () => {
  const clock = new ManualClock();
  const queued: OutboxDraft[] = [];
  const card = { uuid: "GPU-b", index: 0, vendor: "nvidia", model: "X", memoryBytes: 1 } as const;
  let gpus: Pick<CapacityReading, "gpus"> = {};
  const collector = new CapacityCollector(
    {},
    {
      probe: {
        inventory: () => Promise.resolve(INVENTORY),
        read: () =>
          Promise.resolve({
            capacity: { milliCpu: 1_000, memoryBytes: 2 ** 30, diskBytes: 2 ** 30, gpuCount: 1 },
            usage: { cpuRatio: 0, memoryUsedBytes: 0, diskUsedBytes: 0 },
            ...gpus,
          }),
      },
      store: { enqueue: (draft) => void queued.push(draft) },
      clock,
      log: silentLog(),
      metrics: new RecordingMetrics(),
      hasSession: () => true,
      onReport: () => undefined,
    },
  );
  await collector.prepare();
  expect(collector.birthFacts()?.inventory.gpus).toEqual([]);
  void collector.run(stop.signal);
  await clock.advance(CAPACITY_INTERVAL_MS);
  expect(queued).toEqual([]);
  gpus = { gpus: [card] };
  await clock.advance(CAPACITY_INTERVAL_MS);
  await clock.advance(CAPACITY_INTERVAL_MS);
  expect(queued).toMatchObject([{ kind: "report", body: { reading: gpus } }]);
  expect(collector.birthFacts()?.inventory.gpus).toEqual([card]);
});
